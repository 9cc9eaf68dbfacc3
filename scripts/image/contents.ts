/** What packages an image has, read from its archive, whoever made it. */
import { execFile } from 'node:child_process'
import { lstat, mkdir, readFile, rm, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { promisify } from 'node:util'

const run = promisify(execFile)
const LIMIT_MS = 5 * 60_000
const NODE = /(^|\/)bin\/node$/
/** In every Node, of whatever build: where its source is. */
const NODE_VERSION = /\/download\/release\/v(\d+\.\d+\.\d+)\//
const DEBIAN = /(^|\/)var\/lib\/dpkg\/(status|status\.d\/[^/]+)$/
/** Of a package itself; what is deeper is part of one. */
const NPM = /(^|\/)node_modules\/(@[^/]+\/)?[^/@.][^/]*\/package\.json$/
const OURS = /^([.]?\/)?app\//
const TELLING = [NODE, DEBIAN, NPM]

export interface ImagePackage {
  kind: 'deb' | 'node' | 'npm'
  name: string
  version: string
  /** Absent for what runs on all. */
  architecture?: string
  /** A package of npm that the base brought along. */
  isOfBase?: boolean
}

interface Manifest {
  manifests?: Array<{ digest: string; platform?: { architecture: string } }>
  layers?: Array<{ digest: string }>
}

/** Packages of all images in an archive of the OCI layout, sorted, each once. `folder` is emptied, used and removed. */
export async function readContents(archive: string, folder: string): Promise<ImagePackage[]> {
  await rm(folder, { recursive: true, force: true })
  await mkdir(folder, { recursive: true })
  await run('tar', ['-xf', archive, '-C', folder], { timeout: LIMIT_MS })
  const blob = (digest: string) => path.join(folder, 'blobs', digest.replace(':', '/'))
  const layers = new Set<string>()
  const follow = async (file: string): Promise<void> => {
    const manifest = JSON.parse(await readFile(file, 'utf8')) as Manifest
    for (const { digest } of manifest.layers ?? []) layers.add(digest)
    // What is said about an image stands beside it, as one of no architecture.
    for (const { digest, platform } of manifest.manifests ?? [])
      if (platform?.architecture !== 'unknown') await follow(blob(digest))
  }
  await follow(path.join(folder, 'index.json'))
  const found = new Map<string, ImagePackage>()
  for (const digest of layers)
    for (const one of await packagesOfLayer(blob(digest), path.join(folder, 'layer')))
      found.set(idOf(one), one)
  await rm(folder, { recursive: true })
  return [...found.values()].sort((a, b) => (idOf(a) < idOf(b) ? -1 : 1))
}

/** As package URLs name it. */
export function idOf({ kind, name, version, architecture }: ImagePackage): string {
  if (kind === 'npm') return `pkg:npm/${name.replace('@', '%40')}@${version}`
  if (kind === 'node') return `pkg:generic/node@${version}`
  return `pkg:deb/debian/${encodeURIComponent(name)}@${encodeURIComponent(version)}?arch=${architecture}`
}

async function packagesOfLayer(layer: string, folder: string): Promise<ImagePackage[]> {
  const { stdout } = await run('tar', ['-tf', layer], { timeout: LIMIT_MS, maxBuffer: 64 * 1024 * 1024 })
  const wanted = stdout.split('\n').filter((name) => TELLING.some((pattern) => pattern.test(name)))
  if (wanted.length === 0) return []
  await rm(folder, { recursive: true, force: true })
  await mkdir(folder)
  const names = `${folder}.names`
  await writeFile(names, wanted.join('\n'))
  const from = ['--verbatim-files-from', '--files-from', names]
  await run('tar', ['-xf', layer, '-C', folder, ...from], { timeout: LIMIT_MS })
  const packages: ImagePackage[] = []
  for (const name of wanted) packages.push(...(await packagesOf(path.join(folder, name), name)))
  return packages
}

async function packagesOf(file: string, name: string): Promise<ImagePackage[]> {
  // A link to what another line is about, perhaps in another layer.
  if (!(await lstat(file)).isFile()) return []
  const bytes = await readFile(file)
  if (NODE.test(name)) {
    const version = NODE_VERSION.exec(bytes.toString('latin1'))?.[1]
    return version === undefined ? [] : [{ kind: 'node', name: 'node', version }]
  }
  const text = bytes.toString()
  if (DEBIAN.test(name)) return debianPackages(text)
  const { name: npm, version } = JSON.parse(text) as { name?: string; version?: string }
  if (!npm || !version) return []
  return [{ kind: 'npm', name: npm, version, ...(OURS.test(name) ? {} : { isOfBase: true }) }]
}

function debianPackages(text: string): ImagePackage[] {
  const field = (stanza: string, name: string) => new RegExp(`^${name}: (\\S+)$`, 'm').exec(stanza)?.[1]
  return text.split(/\n\n+/).flatMap((stanza) => {
    const [name, version, architecture] = ['Package', 'Version', 'Architecture'].map((key) =>
      field(stanza, key),
    )
    return name && version && architecture ? [{ kind: 'deb' as const, name, version, architecture }] : []
  })
}
