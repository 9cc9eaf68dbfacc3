/** The programs of a node: those of Kubernetes and etcd by the module that pins them, the others by modules beside this file. */
import path from 'node:path'
import { cachedFolder, type FindOptions, findKubectl, findPinned } from '../apiserver/binaries.ts'
import { buildOnce } from '../build-lock.ts'
import { findTool } from '../helm/find-tool.ts'
import { run } from './run.ts'
import { ROOT, say } from './state.ts'

const KUBERNETES = [
  'etcd',
  'kube-apiserver',
  'kubectl',
  'kube-controller-manager',
  'kube-scheduler',
  'kube-proxy',
  'kubelet',
] as const

export type NodePrograms = Record<(typeof KUBERNETES)[number] | 'coredns' | 'pause', string>

const BUILD_LIMIT_MS = 20 * 60_000

const OPTIONS: FindOptions = {
  moduleFolder: path.join(ROOT, 'e2e/apiserver'),
  cacheFolder: path.join(ROOT, '.cache/control-plane'),
  environment: process.env,
  say,
}

/** Builds what is not there yet: some twelve minutes on two cores the first time, and nothing later. */
export async function findPrograms(): Promise<NodePrograms> {
  const found: Record<string, string> = {}
  // One at a time: each build takes all cores by itself.
  for (const name of KUBERNETES) found[name] = await findPinned(OPTIONS, name)
  for (const name of ['coredns', 'pause'] as const) found[name] = await buildBeside(name)
  return found as NodePrograms
}

/** What the tests call, built now where there is none: the network of a node has no way to where their source is. */
export async function findClients(): Promise<void> {
  await findKubectl(OPTIONS)
  await findTool('helm')
}

async function buildBeside(name: 'coredns' | 'pause'): Promise<string> {
  const file = path.join(await cachedFolder(OPTIONS), name)
  return await buildOnce(file, { limitMs: BUILD_LIMIT_MS }, async (unfinished) => {
    say(`building ${name}`)
    await run('go', ['build', '-trimpath', '-buildvcs=false', '-ldflags', '-s -w', '-o', unfinished, '.'], {
      cwd: path.join(import.meta.dirname, name),
      env: { CGO_ENABLED: '0' },
    })
  })
}
