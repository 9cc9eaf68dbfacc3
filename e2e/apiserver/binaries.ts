/**
 * Finds a kube-apiserver, an etcd and a kubectl to test with, in the order a contributor expects: KUBEBUILDER_ASSETS,
 * envtest binaries already on the machine, else built from the pinned Go module beside this file.
 */
import { execFile, spawn } from 'node:child_process'
import { readdir, readFile } from 'node:fs/promises'
import { homedir } from 'node:os'
import path from 'node:path'
import { promisify } from 'node:util'
import { buildOnce, isFile } from '../build-lock.ts'

const run = promisify(execFile)
/** A kube-apiserver takes ten minutes on two cores. */
const BUILD_LIMIT_MS = 40 * 60_000

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

/** The kubectl that tests drive: KUBECTL, one beside the binaries above, PATH's when new enough, else built. */
export async function findKubectl(options: FindOptions): Promise<string> {
  const given = options.environment['KUBECTL']
  if (given) return given
  const assets = options.environment['KUBEBUILDER_ASSETS']
  const folders = [...(assets ? [assets] : []), ...(await envtestFolders()), await cachedFolder(options)]
  for (const folder of folders) {
    const file = path.join(folder, 'kubectl')
    if ((await isFile(file)) && (await isNewKubectl(file))) return file
  }
  if (await isNewKubectl('kubectl')) return 'kubectl'
  const hint = `set KUBECTL to one of 1.${MINIMUM_MINOR} or later, or install Go 1.24 or newer`
  return build(options, KUBECTL, `no kubectl found: ${hint}`)
}

/** A program of the pinned release and no other, built when it is not there. */
export const findPinned = (options: FindOptions, name: keyof typeof PINNED): Promise<string> =>
  build(options, PINNED[name], `no ${name} found: install Go 1.24 or newer to build it`)

async function isNewKubectl(file: string): Promise<boolean> {
  try {
    const { stdout } = await run(file, ['version', '--client', '--output=json'], { timeout: 30_000 })
    const { clientVersion } = JSON.parse(stdout) as { clientVersion?: { gitVersion?: string } }
    return Number(/^v1\.(\d+)\./.exec(clientVersion?.gitVersion ?? '')?.[1]) >= MINIMUM_MINOR
  } catch {
    return false
  }
}

interface Target {
  /** Go package of the program. */
  program: string
  output: string
}

const ETCD: Target = { program: 'go.etcd.io/etcd/server/v3', output: 'etcd' }
const API_SERVER: Target = { program: 'k8s.io/kubernetes/cmd/kube-apiserver', output: 'kube-apiserver' }
const KUBECTL: Target = { program: 'k8s.io/kubernetes/cmd/kubectl', output: 'kubectl' }
const kubernetes = (output: string): Target => ({ program: `k8s.io/kubernetes/cmd/${output}`, output })
/** All that a node needs, of one release. */
const PINNED = {
  etcd: ETCD,
  'kube-apiserver': API_SERVER,
  kubectl: KUBECTL,
  'kube-controller-manager': kubernetes('kube-controller-manager'),
  'kube-scheduler': kubernetes('kube-scheduler'),
  'kube-proxy': kubernetes('kube-proxy'),
  kubelet: kubernetes('kubelet'),
} as const

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
  return { kubernetes: version('k8s.io/kubernetes'), etcd: version('go.etcd.io/etcd/server/v3') }
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
  const hint =
    'no kube-apiserver found: set KUBEBUILDER_ASSETS to a folder with etcd and kube-apiserver (setup-envtest), or install Go 1.24 or newer'
  const etcd = await build(options, ETCD, hint)
  const kubeApiserver = await build(options, API_SERVER, hint)
  return { etcd, kubeApiserver, source: path.dirname(etcd) }
}

/** The program in the cache, built when it is not there; rejects with `withoutGo` where that can't be done. */
async function build(options: FindOptions, target: Target, withoutGo: string): Promise<string> {
  const folder = await cachedFolder(options)
  const file = path.join(folder, target.output)
  const onWait = () => options.say(`another process is building ${target.output}: waiting for it`)
  return await buildOnce(file, { limitMs: BUILD_LIMIT_MS, onWait }, async (unfinished) => {
    await run('go', ['version']).catch(() => {
      throw new Error(withoutGo)
    })
    options.say(`building ${target.output} into ${folder}: minutes the first time`)
    const { kubernetes } = pinnedVersions(await readFile(path.join(options.moduleFolder, 'go.mod'), 'utf8'))
    const started = performance.now()
    await goBuild({ ...options, target: target.program, version: kubernetes, output: unfinished })
    options.say(`built ${target.output} in ${Math.round((performance.now() - started) / 1000)} s`)
  })
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
