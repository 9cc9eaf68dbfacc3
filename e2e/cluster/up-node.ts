/** A real node without docker: control plane, kubelet and containerd from ordinary packages, in namespaces of their own. */
import { access, mkdir, mkdtemp, readdir, readFile, rm, rmdir } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { waitUntil } from '../../test-support/wait.ts'
import {
  apiServer,
  type ClusterFiles,
  controllerManager,
  etcd,
  NODE_NAME,
  SERVER,
  scheduler,
  writeClusterFiles,
} from './control-plane.ts'
import { imageArchive, pauseArchive, REDIS_IMAGE, redisArchive } from './images.ts'
import { enter, makeNamespaces, type Service, startService } from './namespaces.ts'
import { CONTAINERD_SOCKET, containerd, coredns, kubelet, kubeProxy, writeNodeFiles } from './node.ts'
import { PREVIOUS_IMAGE, previousImageArchive } from './previous-image.ts'
import { findPrograms, type NodePrograms } from './programs.ts'
import { run } from './run.ts'
import { type ClusterState, ROOT, STATE, say, writeState } from './state.ts'
import { localVolumes } from './storage.ts'

const READY = { timeoutMs: 180_000, intervalMs: 250 }
const CGROUPS = '/sys/fs/cgroup'
const CGROUP = /^(kubepods|pods?$)/

/** Why this machine cannot hold a node; undefined: it can. */
export function whyNoNode(): string | undefined {
  if (process.platform !== 'linux') return `a node needs Linux, and this is ${process.platform}`
  if (process.getuid?.() !== 0) return 'a node needs root: for namespaces, mounts and cgroups'
  return undefined
}

/** The same, tried out: makes the namespaces and a control group of a node, and takes them away again. */
export async function whyNoNamespaces(): Promise<string | undefined> {
  const folder = await mkdtemp(path.join(tmpdir(), 'hublet-node-'))
  const group = path.join(CGROUPS, path.basename(folder))
  try {
    await run('bash', [path.join(ROOT, 'scripts/test-tools.sh'), 'node'])
    process.kill(await makeNamespaces(folder), 'SIGKILL')
    await mkdir(group)
    await rmdir(group)
    return undefined
  } catch (error) {
    return `this machine lets nobody make a node: ${error instanceof Error ? error.message : String(error)}`
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

export async function upNode(image: string): Promise<ClusterState> {
  await run('bash', [path.join(ROOT, 'scripts/test-tools.sh'), 'node'])
  const programs = await findPrograms()
  await rm(STATE, { recursive: true, force: true })
  await mkdir(path.join(STATE, 'logs'), { recursive: true })
  say('making images')
  const previous = await previousImageArchive()
  const archives = [
    await pauseArchive(programs.pause),
    await redisArchive(),
    await imageArchive(),
    ...(previous === undefined ? [] : [previous]),
  ]
  const files = await writeClusterFiles(STATE)
  await writeNodeFiles(files)
  const holder = await makeNamespaces(STATE)
  const { auditLog } = files
  const kubeConfig = files.kubeConfig('admin')
  const images = {
    image,
    ...(previous === undefined ? {} : { previousImage: PREVIOUS_IMAGE }),
    redisImage: REDIS_IMAGE,
  }
  const state: ClusterState = { kind: 'node', kubeConfig, auditLog, holder, ...images }
  // Known from now on, so that what is half up can be taken down.
  await writeState(state)
  const node: Node = { holder, programs, files }
  await startControlPlane(node)
  await startNode(node, archives)
  await waitForNode(node)
  return state
}

interface Node {
  holder: number
  programs: NodePrograms
  files: ClusterFiles
}

const start = ({ holder }: Node, service: Service) => startService(holder, path.join(STATE, 'logs'), service)

const kubectl = ({ holder, programs, files }: Node, ...args: string[]): Promise<string> =>
  enter(holder, programs.kubectl, ['--kubeconfig', files.kubeConfig('admin'), ...args])

async function startControlPlane(node: Node): Promise<void> {
  const { programs, files } = node
  start(node, etcd(programs, files))
  start(node, apiServer(programs, files))
  await until('the API server is ready', () => kubectl(node, 'get', '--raw', '/readyz'))
  say(`API server ready at ${SERVER}`)
  start(node, controllerManager(programs, files))
  start(node, scheduler(programs, files))
}

async function startNode(node: Node, archives: readonly string[]): Promise<void> {
  const { holder, programs, files } = node
  start(node, containerd(files))
  const ctr = (...args: string[]) =>
    enter(holder, 'ctr', ['--address', CONTAINERD_SOCKET, '--namespace', 'k8s.io', ...args])
  await until('containerd answers', () => ctr('version'))
  for (const archive of archives) await ctr('images', 'import', archive)
  start(node, kubelet(programs, files))
  start(node, kubeProxy(programs, files))
  start(node, coredns(programs, files))
}

async function waitForNode(node: Node): Promise<void> {
  await until('the node has registered', () => kubectl(node, 'get', 'node', NODE_NAME))
  await kubectl(node, 'wait', '--for=condition=Ready', `node/${NODE_NAME}`, '--timeout=180s')
  const manifest = path.join(STATE, 'objects.json')
  await localVolumes(manifest, path.join(STATE, 'volumes'))
  await kubectl(node, 'apply', '--server-side', '-f', manifest)
  const account = () => kubectl(node, 'get', 'serviceaccount', 'default', '--namespace', 'default')
  await until('namespaces get their accounts', account)
  say(`node ${NODE_NAME} ready`)
}

/** Asks until it is answered; what stopped it is told by the logs. */
async function until(what: string, ask: () => Promise<string>): Promise<void> {
  const given = async () => {
    await ask()
    return true
  }
  await waitUntil(`${what} (logs: ${path.join(STATE, 'logs')})`, given, READY)
}

/** Ends everything by ending the process that holds the namespaces, then removes what stays outside of them. */
export async function downNode({ holder }: ClusterState): Promise<void> {
  if (holder !== undefined && (await isHolder(holder))) process.kill(holder, 'SIGKILL')
  const left = async () => (await controlGroups()).length === 0
  await waitUntil('control groups of pods are gone', left, { timeoutMs: 60_000, intervalMs: 200 })
  await rm(STATE, { recursive: true, force: true })
}

/** A pid may have become another process since. */
async function isHolder(pid: number): Promise<boolean> {
  const text = await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')
  return text.includes('while :; do sleep 600; done')
}

export async function isNodeUp({ holder, kubeConfig }: ClusterState): Promise<boolean> {
  if (holder === undefined || !(await isHolder(holder))) return false
  const programs = await findPrograms()
  return enter(holder, programs.kubectl, ['--kubeconfig', kubeConfig, 'get', 'node', NODE_NAME]).then(
    () => true,
    () => false,
  )
}

/** Those that kubelet made, which have no process any more; returns the ones that are still there. */
async function controlGroups(): Promise<string[]> {
  const roots = (await readdir(CGROUPS)).map((name) => path.join(CGROUPS, name))
  const left: string[] = []
  for (const root of [CGROUPS, ...roots]) {
    const names = await readdir(root).catch(() => [])
    for (const name of names.filter((one) => CGROUP.test(one))) {
      await removeGroup(path.join(root, name))
      const stays = await access(path.join(root, name)).then(
        () => true,
        () => false,
      )
      if (stays) left.push(path.join(root, name))
    }
  }
  return left
}

/** Deepest first; one that is in use stays. */
async function removeGroup(folder: string): Promise<void> {
  const entries = await readdir(folder, { withFileTypes: true }).catch(() => [])
  for (const entry of entries) if (entry.isDirectory()) await removeGroup(path.join(folder, entry.name))
  await rmdir(folder).catch(() => {})
}
