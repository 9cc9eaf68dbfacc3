/** kind, where docker runs: its node is a container, whose network reaches pods and Services. */
import { writeFile } from 'node:fs/promises'
import path from 'node:path'
import { imageArchive } from './images.ts'
import { PREVIOUS_IMAGE, previousImageArchive } from './previous-image.ts'
import { run } from './run.ts'
import { type ClusterState, STATE, writeState } from './state.ts'

const CLUSTER = 'hublet-e2e'
const NODE = `${CLUSTER}-control-plane`
/** Runs what follows with another resolv.conf, which nobody else sees. */
const WITH_DNS = 'mount --bind "$0" /etc/resolv.conf && exec "$@"'

export const hasDocker = (): Promise<boolean> =>
  run('docker', ['info', '--format', '{{.ServerVersion}}']).then(
    () => true,
    () => false,
  )

/** kind of PATH; it pulls the image of its node from a registry. */
export async function upKind(image: string): Promise<ClusterState> {
  const kind = (...args: string[]) => run('kind', args)
  await kind('version').catch(() => {
    throw new Error(
      'docker runs here: put kind into PATH (go install sigs.k8s.io/kind), or name a KUBECONFIG',
    )
  })
  const kubeConfig = path.join(STATE, 'kind.kubeconfig')
  const previous = await previousImageArchive()
  const state: ClusterState = {
    ...{ kind: 'kind', kubeConfig, image },
    ...(previous === undefined ? {} : { previousImage: PREVIOUS_IMAGE }),
  }
  const there = (await kind('get', 'clusters')).split('\n').includes(CLUSTER)
  // Known before it is there, so that what is half up can be taken down.
  await writeState(state)
  const ours = ['--name', CLUSTER, '--kubeconfig', path.join(STATE, 'kind.own')]
  if (!there) await kind('create', 'cluster', ...ours, '--wait', '3m')
  await writeFile(kubeConfig, await kubeConfigInside(), { mode: 0o600 })
  const archives = [await imageArchive(), ...(previous === undefined ? [] : [previous])]
  for (const archive of archives) await kind('load', 'image-archive', archive, '--name', CLUSTER)
  return state
}

/** For programs in the network of the node: the name in kind's own is known to docker only. */
async function kubeConfigInside(): Promise<string> {
  const text = await run('kind', ['get', 'kubeconfig', '--internal', '--name', CLUSTER])
  return text.replace(/^( *server:).*$/m, '$1 https://127.0.0.1:6443')
}

export const downKind = (): Promise<unknown> => run('kind', ['delete', 'cluster', '--name', CLUSTER])

/** The command that runs another one in the network of kind's node, with the names of the cluster. Needs root, or sudo. */
export async function inKind(command: readonly string[]): Promise<string[]> {
  const pid = (await run('docker', ['inspect', '--format', '{{.State.Pid}}', NODE])).trim()
  const kubectl = ['exec', NODE, 'kubectl', '--kubeconfig', '/etc/kubernetes/admin.conf']
  const service = ['--namespace', 'kube-system', 'get', 'service', 'kube-dns']
  const address = await run('docker', [...kubectl, ...service, '--output', 'jsonpath={.spec.clusterIP}'])
  const names = path.join(STATE, 'resolv.conf')
  await writeFile(names, `nameserver ${address.trim()}\nsearch cluster.local\noptions ndots:5\n`)
  const asRoot =
    process.getuid?.() === 0
      ? []
      : ['sudo', '--non-interactive', '--preserve-env', 'env', `PATH=${process.env['PATH']}`]
  return [...asRoot, ...inNetwork(pid, names, command)]
}

/** In the network of a process, with a resolv.conf of its own. */
export const inNetwork = (pid: string, resolvConf: string, command: readonly string[]): string[] => [
  ...['nsenter', '--target', pid, '--net', 'unshare', '--mount'],
  ...['sh', '-c', WITH_DNS, resolvConf, ...command],
]
