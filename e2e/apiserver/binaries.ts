/**
 * Finds a kube-apiserver and an etcd to test against, in the order a contributor expects: KUBEBUILDER_ASSETS,
 * envtest binaries already on the machine, else built from the pinned Go module beside this file.
 */
import { execFile, spawn } from 'node:child_process'
import { mkdir, readdir, readFile, rename, stat } from 'node:fs/promises'
import { homedir } from 'node:os'
import path from 'node:path'
import { promisify } from 'node:util'

const run = promisify(execFile)

/** Oldest Kubernetes the product supports: CEL and server-side apply rules it relies on. */
export const MINIMUM_MINOR = 33

export interface ControlPlaneBinaries {
  etcd: string
  kubeApiserver: string
  /** Where they came from, for the log line. */
  source: string
}

export interface FindOptions {
  /** Folder of the pinned `go.mod`. */
  moduleFolder: string
  /** Folder that keeps what was built, one sub-folder for each pair of versions. */
  cacheFolder: string
  environment: Readonly<Record<string, string | undefined>>
  say: (line: string) => void
}

const isFile = async (file: string): Promise<boolean> => {
  try {
    return (await stat(file)).isFile()
  } catch {
    return false
  }
}

async function inFolder(folder: string, source: string): Promise<ControlPlaneBinaries | undefined> {
  const found = {
    etcd: path.join(folder, 'etcd'),
    kubeApiserver: path.join(folder, 'kube-apiserver'),
    source,
  }
  return (await isFile(found.etcd)) && (await isFile(found.kubeApiserver)) ? found : undefined
}

/** The folders envtest's own tools use, newest Kubernetes first. */
async function envtestFolders(): Promise<string[]> {
  const store = path.join(homedir(), '.local/share/kubebuilder-envtest/k8s')
  const versions = await readdir(store).catch(() => [])
  const newestFirst = versions.sort((a, b) => b.localeCompare(a, 'en', { numeric: true }))
  return [...newestFirst.map((version) => path.join(store, version)), '/usr/local/kubebuilder/bin']
}

async function newEnough(binaries: ControlPlaneBinaries): Promise<boolean> {
  const { stdout } = await run(binaries.kubeApiserver, ['--version'], { timeout: 30_000 })
  const minor = /v1\.(\d+)\./.exec(stdout)?.[1]
  return minor !== undefined && Number(minor) >= MINIMUM_MINOR
}

/** Resolves to binaries that can be started; builds them when there are none. Rejects with what to install. */
export async function findBinaries(options: FindOptions): Promise<ControlPlaneBinaries> {
  const assets = options.environment['KUBEBUILDER_ASSETS']
  if (assets) {
    const given = await inFolder(assets, 'KUBEBUILDER_ASSETS')
    if (!given)
      throw new Error(`KUBEBUILDER_ASSETS is ${assets}, which does not hold etcd and kube-apiserver`)
    if (!(await newEnough(given)))
      throw new Error(`kube-apiserver in ${assets} is older than 1.${MINIMUM_MINOR}`)
    return given
  }
  for (const folder of await envtestFolders()) {
    const found = await inFolder(folder, folder)
    if (found && (await newEnough(found))) return found
  }
  return buildBinaries(options)
}

const TARGETS = [
  { module: 'go.etcd.io/etcd/server/v3', target: 'go.etcd.io/etcd/server/v3', output: 'etcd' },
  { module: 'k8s.io/kubernetes', target: 'k8s.io/kubernetes/cmd/kube-apiserver', output: 'kube-apiserver' },
] as const

/** Versions of the two programs, read from go.mod, which is the only place that pins them. */
export function pinnedVersions(goMod: string): { kubernetes: string; etcd: string } {
  const version = (module: string): string => {
    const line = goMod.split('\n').find((text) =>
      text
        .replace(/^\s*require /, '')
        .trim()
        .startsWith(`${module} v`),
    )
    const found = line && /\sv(\d+\.\d+\.\d+)/.exec(line)?.[1]
    if (!found) throw new Error(`go.mod names no version of ${module}`)
    return `v${found}`
  }
  return { kubernetes: version(TARGETS[1].module), etcd: version(TARGETS[0].module) }
}

/** Where built binaries are or would be; the tests' make target asks whether they are there already. */
export async function cachedFolder(
  options: Pick<FindOptions, 'moduleFolder' | 'cacheFolder'>,
): Promise<string> {
  const versions = pinnedVersions(await readFile(path.join(options.moduleFolder, 'go.mod'), 'utf8'))
  const name = `kubernetes-${versions.kubernetes}-etcd-${versions.etcd}-${process.platform}-${process.arch}`
  return path.join(options.cacheFolder, name)
}

async function buildBinaries(options: FindOptions): Promise<ControlPlaneBinaries> {
  const folder = await cachedFolder(options)
  const cached = await inFolder(folder, folder)
  if (cached) return cached
  await run('go', ['version']).catch(() => {
    throw new Error(
      'no kube-apiserver found: set KUBEBUILDER_ASSETS to a folder with etcd and kube-apiserver (setup-envtest), or install Go 1.24 or newer',
    )
  })
  options.say(`building etcd and kube-apiserver into ${folder}: about ten minutes the first time`)
  await mkdir(folder, { recursive: true })
  const { kubernetes } = pinnedVersions(await readFile(path.join(options.moduleFolder, 'go.mod'), 'utf8'))
  for (const { target, output } of TARGETS) {
    const started = performance.now()
    const file = path.join(folder, output)
    await goBuild({ ...options, target, version: kubernetes, output: `${file}.${process.pid}.tmp` })
    // Renamed when complete: an interrupted build never leaves a binary that looks ready.
    await rename(`${file}.${process.pid}.tmp`, file)
    options.say(`built ${output} in ${Math.round((performance.now() - started) / 1000)} s`)
  }
  return {
    etcd: path.join(folder, 'etcd'),
    kubeApiserver: path.join(folder, 'kube-apiserver'),
    source: folder,
  }
}

interface GoBuild {
  moduleFolder: string
  target: string
  output: string
  version: string
}

function goBuild(build: GoBuild): Promise<void> {
  const [major, minor] = build.version.slice(1).split('.')
  const stamp = 'k8s.io/component-base/version'
  // Without the stamp `/version` says v0.0.0, and clients that check for a minimum version refuse the server.
  const flags = `-s -w -X ${stamp}.gitVersion=${build.version} -X ${stamp}.gitMajor=${major} -X ${stamp}.gitMinor=${minor}`
  const args = ['build', '-trimpath', '-buildvcs=false', '-ldflags', flags, '-o', build.output, build.target]
  return new Promise((resolve, reject) => {
    const child = spawn('go', args, {
      cwd: build.moduleFolder,
      env: { ...process.env, CGO_ENABLED: '0' },
      stdio: ['ignore', 'inherit', 'inherit'],
    })
    child.once('error', reject)
    child.once('exit', (code) =>
      code === 0 ? resolve() : reject(new Error(`go build ${build.target} ended with code ${code}`)),
    )
  })
}
