/** containerd, kubelet, kube-proxy and CoreDNS of the one node, and their files. */
import { mkdir, writeFile } from 'node:fs/promises'
import { type ClusterFiles, NETWORK, NODE_NAME } from './control-plane.ts'
import { PAUSE_IMAGE } from './images.ts'
import { NODE_ADDRESS, type Service } from './namespaces.ts'
import type { NodePrograms } from './programs.ts'

/** In `/run` of the namespaces, which is theirs alone: the path of a socket may have 107 characters only. */
export const CONTAINERD_SOCKET = '/run/containerd/containerd.sock'
const CNI_PROGRAMS = '/usr/lib/cni'

const CNI_CONFIG = (files: ClusterFiles) => ({
  cniVersion: '1.0.0',
  name: 'pods',
  plugins: [
    {
      type: 'bridge',
      bridge: 'pods0',
      isGateway: true,
      hairpinMode: true,
      ipMasq: false,
      ipam: {
        type: 'host-local',
        dataDir: files.at('cni-addresses'),
        ranges: [[{ subnet: NETWORK.podRange }]],
        routes: [{ dst: '0.0.0.0/0' }],
      },
    },
    { type: 'portmap', capabilities: { portMappings: true } },
  ],
})

/** Without CAP_SYS_RESOURCE, as in a sandbox, nothing may be made less likely to be killed than its parent. */
const containerdConfig = ({ at }: ClusterFiles): string => `version = 2
root = "${at('containerd')}"
state = "/run/containerd/state"
[grpc]
  address = "${CONTAINERD_SOCKET}"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "${PAUSE_IMAGE}"
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "overlayfs"
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "${CNI_PROGRAMS}"
    conf_dir = "${at('cni')}"
`

const kubeletConfig = ({ ca }: ClusterFiles) => ({
  apiVersion: 'kubelet.config.k8s.io/v1beta1',
  kind: 'KubeletConfiguration',
  containerRuntimeEndpoint: `unix://${CONTAINERD_SOCKET}`,
  authentication: { anonymous: { enabled: false }, webhook: { enabled: true }, x509: { clientCAFile: ca } },
  authorization: { mode: 'Webhook' },
  clusterDomain: 'cluster.local',
  clusterDNS: [NODE_ADDRESS],
  resolvConf: '/dev/null',
  cgroupDriver: 'cgroupfs',
  failCgroupV1: false,
  failSwapOn: false,
  enforceNodeAllocatable: [],
  // The disk is that of the machine, however full it is.
  evictionHard: { 'nodefs.available': '0%', 'imagefs.available': '0%', 'nodefs.inodesFree': '0%' },
  imageGCHighThresholdPercent: 100,
  shutdownGracePeriod: '0s',
  // The default of a minute would be most of the time of a test that changes a Secret.
  syncFrequency: '10s',
  nodeStatusUpdateFrequency: '5s',
})

const kubeProxyConfig = ({ kubeConfig }: ClusterFiles) => ({
  apiVersion: 'kubeproxy.config.k8s.io/v1alpha1',
  kind: 'KubeProxyConfiguration',
  mode: 'iptables',
  hostnameOverride: NODE_NAME,
  clientConnection: { kubeconfig: kubeConfig('kube-proxy') },
  conntrack: { maxPerCore: 0, min: 0 },
  // Answers between two pods would stay in the bridge, past the rules, where the kernel has no br_netfilter.
  iptables: { masqueradeAll: true },
})

const corefile = ({ kubeConfig }: ClusterFiles): string => `cluster.local:53 {
  errors
  cache 5
  kubernetes cluster.local {
    kubeconfig ${kubeConfig('coredns')}
  }
}
`

export async function writeNodeFiles(files: ClusterFiles): Promise<void> {
  const { at } = files
  await mkdir(at('cni'), { recursive: true })
  await mkdir(at('kubelet'), { recursive: true })
  await writeFile(at('cni/10-pods.conflist'), JSON.stringify(CNI_CONFIG(files)))
  await writeFile(at('containerd.toml'), containerdConfig(files))
  await writeFile(at('kubelet.json'), JSON.stringify(kubeletConfig(files)))
  await writeFile(at('kube-proxy.json'), JSON.stringify(kubeProxyConfig(files)))
  await writeFile(at('Corefile'), corefile(files))
}

export const containerd = ({ at }: ClusterFiles): Service => ({
  name: 'containerd',
  program: 'containerd',
  args: ['--config', at('containerd.toml')],
})

export const kubelet = (programs: NodePrograms, { at, kubeConfig }: ClusterFiles): Service => ({
  name: 'kubelet',
  program: programs['kubelet'],
  args: [
    `--kubeconfig=${kubeConfig('kubelet')}`,
    `--config=${at('kubelet.json')}`,
    `--root-dir=${at('kubelet')}`,
    `--cert-dir=${at('certificates-kubelet')}`,
    `--hostname-override=${NODE_NAME}`,
    `--node-ip=${NODE_ADDRESS}`,
  ],
})

export const kubeProxy = (programs: NodePrograms, { at }: ClusterFiles): Service => ({
  name: 'kube-proxy',
  program: programs['kube-proxy'],
  args: [`--config=${at('kube-proxy.json')}`],
})

export const coredns = (programs: NodePrograms, { at }: ClusterFiles): Service => ({
  name: 'coredns',
  program: programs.coredns,
  args: ['-conf', at('Corefile')],
})
