/**
 * `make image`: the image of operator, brokers and routes as an OCI archive, with its SBOM, in `.cache/image`. By docker
 * or podman and the Dockerfile where one works; else by `tar`, on a base of Debian packages.
 *
 * IMAGE: its name, `localhost/hublet:VERSION` when left out. BASE_IMAGE, NODE_IMAGE: for the Dockerfile.
 * IMAGE_BUILDER: docker, podman or tar, in place of the first that works.
 * IMAGE_PLATFORMS: such as linux/amd64,linux/arm64, by docker or tar; the one of this machine when left out.
 * `--again` builds it once more, and fails when that is another image.
 */
import { execFile, spawn } from 'node:child_process'
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { promisify } from 'node:util'
import { gatherApp } from './app-files.ts'
import { readContents } from './contents.ts'
import { makeDebianBase } from './debian-base.ts'
import { knownArchitectures, nodeProgram, ownArchitecture } from './node-program.ts'
import { type Layer, writeOciArchive } from './oci-archive.ts'
import { type Lock, softwareBill } from './software-bill.ts'

const ROOT = path.resolve(import.meta.dirname, '../..')
const OUTPUT = path.join(ROOT, '.cache/image')
const ARCHIVE = path.join(OUTPUT, 'hublet.oci.tar')

const BUILDERS = ['docker', 'podman', 'tar'] as const
type Builder = (typeof BUILDERS)[number]

/** What the Dockerfile says. */
const CONFIG = {
  User: '65532:65532',
  Env: [
    'PATH=/nodejs/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
    'NODE_ENV=production',
  ],
  WorkingDir: '/app',
  Cmd: ['node', 'operator/main.ts'],
}

/** The engine has to answer: a docker without its daemon builds nothing. */
async function works(engine: string): Promise<boolean> {
  try {
    await promisify(execFile)(engine, ['info'], { timeout: 15_000 })
    return true
  } catch {
    return false
  }
}

async function chooseBuilder(): Promise<Builder> {
  const asked = process.env['IMAGE_BUILDER']
  if (asked !== undefined && asked !== '') {
    const found = BUILDERS.find((one) => one === asked)
    if (found === undefined) throw new Error(`IMAGE_BUILDER: expected ${BUILDERS.join(', ')}, got ${asked}`)
    return found
  }
  for (const engine of ['docker', 'podman'] as const) if (await works(engine)) return engine
  return 'tar'
}

function show(command: string, args: readonly string[]): Promise<void> {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { cwd: ROOT, stdio: 'inherit' })
    child.once('error', reject)
    child.once('exit', (code) =>
      code === 0 ? resolve() : reject(new Error(`${command} ${args[0]} ended with code ${code}`)),
    )
  })
}

/** Such as linux/arm64; none: that of this machine. */
function askedPlatforms(builder: Builder): string[] {
  const platforms = (process.env['IMAGE_PLATFORMS'] || '').split(',').filter((one) => one !== '')
  if (builder === 'podman' && platforms.length > 0)
    throw new Error('IMAGE_PLATFORMS: needs docker or tar, and podman builds here')
  return platforms
}

/** By tar: what Debian and npm have under these names. */
function architectures(): string[] {
  const known = knownArchitectures().map((one) => `linux/${one}`)
  const asked = askedPlatforms('tar')
  const other = asked.find((one) => !known.includes(one))
  if (other !== undefined)
    throw new Error(`IMAGE_PLATFORMS: expected some of ${known.join(', ')}, got ${other}`)
  return asked.length === 0 ? [ownArchitecture()] : asked.map((one) => one.slice('linux/'.length))
}

async function buildByEngine(engine: 'docker' | 'podman', name: string, isAgain: boolean): Promise<void> {
  const bases = ['BASE_IMAGE', 'NODE_IMAGE'].flatMap((key) =>
    process.env[key] ? ['--build-arg', `${key}=${process.env[key]}`] : [],
  )
  const afresh = isAgain ? ['--no-cache'] : []
  if (engine === 'docker') {
    const platforms = askedPlatforms(engine)
    // Times of the build would stand in the image and in what is said about it.
    const still = ['--build-arg', 'SOURCE_DATE_EPOCH=0', '--provenance=false']
    const output = `type=oci,dest=${ARCHIVE},rewrite-timestamp=true`
    const platform = platforms.length === 0 ? [] : ['--platform', platforms.join(',')]
    const args = [...bases, ...still, ...afresh, ...platform, '--tag', name, '--output', output]
    await show('docker', ['buildx', 'build', ...args, '.'])
    return
  }
  await show('podman', ['build', ...bases, ...afresh, '--timestamp', '0', '--tag', name, '.'])
  await rm(ARCHIVE, { force: true })
  await show('podman', ['save', '--format', 'oci-archive', '--output', ARCHIVE, name])
}

async function buildByTar(name: string): Promise<void> {
  const app: Layer = { folder: path.join(OUTPUT, 'app'), at: 'app' }
  await gatherApp(app.folder)
  const images = []
  for (const architecture of architectures()) {
    const base: Layer = { folder: path.join(OUTPUT, `base-${architecture}`), at: '.' }
    const fetched = path.join(OUTPUT, 'node')
    const node = await nodeProgram(architecture, fetched)
    await makeDebianBase({ folder: base.folder, architecture, node })
    await rm(fetched, { recursive: true, force: true })
    images.push({ architecture, layers: [base, app] })
  }
  const workFolder = path.join(OUTPUT, 'layout')
  await writeOciArchive({ images, config: CONFIG, name, workFolder, archive: ARCHIVE })
  for (const { folder } of images.flatMap(({ layers }) => layers))
    await rm(folder, { recursive: true, force: true })
}

/** What names the images of the archive, one an architecture. */
async function digestOf(archive: string): Promise<string> {
  const { stdout } = await promisify(execFile)('tar', ['-xOf', archive, 'index.json'])
  const { manifests } = JSON.parse(stdout) as { manifests: Array<{ digest: string }> }
  return manifests.map(({ digest }) => digest).join(' ')
}

async function build(builder: Builder, name: string, isAgain = false): Promise<string> {
  if (builder === 'tar') await buildByTar(name)
  else await buildByEngine(builder, name, isAgain)
  const digest = await digestOf(ARCHIVE)
  process.stdout.write(`${digest}\n`)
  return digest
}

const lock = JSON.parse(await readFile(path.join(ROOT, 'package-lock.json'), 'utf8')) as Lock
const name = process.env['IMAGE'] || `localhost/hublet:${lock.version}`
await mkdir(OUTPUT, { recursive: true })
const builder = await chooseBuilder()
askedPlatforms(builder)
process.stdout.write(`building ${name} by ${builder}\n`)
const digest = await build(builder, name)
if (process.argv[2] === '--again' && (await build(builder, name, true)) !== digest)
  throw new Error('built twice from the same files, and it is not the same image')
const contents = await readContents(ARCHIVE, path.join(OUTPUT, 'contents'))
if (!contents.some(({ kind }) => kind === 'node')) throw new Error('no Node was found in the image')
await writeFile(path.join(OUTPUT, 'hublet.cdx.json'), softwareBill(contents, lock))
process.stdout.write('.cache/image/hublet.oci.tar\n.cache/image/hublet.cdx.json\n')
