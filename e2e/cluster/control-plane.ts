/** etcd, kube-apiserver, controller-manager and scheduler, as one node of them is commonly started. */
import { generateKeyPairSync, randomBytes } from 'node:crypto'
import { mkdir, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { NODE_ADDRESS, type Service } from './namespaces.ts'
import type { NodePrograms } from './programs.ts'
import { run } from './run.ts'

export const SERVER = `https://${NODE_ADDRESS}:6443`
export const NODE_NAME = 'hublet-node'
const POD_RANGE = '10.244.0.0/24'
const SERVICE_RANGE = '10.96.0.0/16'

/** Users as Kubernetes' own roles name them, and their groups. */
const USERS = {
  admin: ['admin', 'system:masters'],
  'controller-manager': ['system:kube-controller-manager', ''],
  scheduler: ['system:kube-scheduler', ''],
  kubelet: [`system:node:${NODE_NAME}`, 'system:nodes'],
  'kube-proxy': ['system:kube-proxy', ''],
  coredns: ['coredns', ''],
} as const
export type UserName = keyof typeof USERS

const AUDIT_POLICY = {
  apiVersion: 'audit.k8s.io/v1',
  kind: 'Policy',
  omitStages: ['RequestReceived', 'ResponseStarted'],
  rules: [{ level: 'None', userGroups: ['system:nodes'] }, { level: 'Metadata' }],
}

export interface ClusterFiles {
  folder: string
  auditLog: string
  /** Of the little CA by which kubelet knows the API server. */
  ca: string
  at(name: string): string
  kubeConfig(user: UserName): string
}

export async function writeClusterFiles(folder: string): Promise<ClusterFiles> {
  const at = (name: string) => path.join(folder, name)
  await mkdir(at('certificates'), { recursive: true })
  const pair = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const lines = await Promise.all(
    Object.entries(USERS).map(async ([name, [user, groups]]) => {
      const token = randomBytes(24).toString('hex')
      await writeFile(at(`${name}.kubeconfig`), JSON.stringify(kubeConfigOf(token, at)), { mode: 0o600 })
      return `${token},${user},${user},${groups}\n`
    }),
  )
  await writeFile(at('tokens.csv'), lines.join(''), { mode: 0o600 })
  await writeFile(at('audit-policy.json'), JSON.stringify(AUDIT_POLICY))
  const key = pair.privateKey.export({ type: 'pkcs8', format: 'pem' })
  await writeFile(at('service-account.key'), key, { mode: 0o600 })
  await writeFile(at('service-account.pub'), pair.publicKey.export({ type: 'spki', format: 'pem' }))
  await writeFile(at('audit.log'), '')
  await makeKubeletClient(folder)
  return {
    folder,
    at,
    auditLog: at('audit.log'),
    ca: at('kubelet-client.crt'),
    kubeConfig: (user) => at(`${user}.kubeconfig`),
  }
}

/** `kubectl logs` and `exec` go from the API server to kubelet: by this certificate, which signs itself. */
const makeKubeletClient = (folder: string): Promise<string> =>
  run(
    'openssl',
    [
      ...['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '30'],
      ...['-subj', '/O=system:masters/CN=kube-apiserver', '-addext', 'extendedKeyUsage=clientAuth'],
      ...['-keyout', 'kubelet-client.key', '-out', 'kubelet-client.crt'],
    ],
    { cwd: folder },
  )

const kubeConfigOf = (token: string, at: ClusterFiles['at']): object => ({
  apiVersion: 'v1',
  kind: 'Config',
  clusters: [
    { name: 'node', cluster: { server: SERVER, 'certificate-authority': at('certificates/apiserver.crt') } },
  ],
  users: [{ name: 'user', user: { token } }],
  contexts: [{ name: 'node', context: { cluster: 'node', user: 'user' } }],
  'current-context': 'node',
})

export const etcd = (programs: NodePrograms, { at }: ClusterFiles): Service => ({
  name: 'etcd',
  program: programs.etcd,
  args: [
    '--name=node',
    `--data-dir=${at('etcd')}`,
    '--listen-client-urls=http://127.0.0.1:2379',
    '--advertise-client-urls=http://127.0.0.1:2379',
    '--listen-peer-urls=http://127.0.0.1:2380',
    '--initial-advertise-peer-urls=http://127.0.0.1:2380',
    '--initial-cluster=node=http://127.0.0.1:2380',
    '--unsafe-no-fsync',
    '--log-level=error',
  ],
})

export const apiServer = (programs: NodePrograms, { at, auditLog }: ClusterFiles): Service => ({
  name: 'kube-apiserver',
  program: programs['kube-apiserver'],
  args: [
    '--etcd-servers=http://127.0.0.1:2379',
    `--advertise-address=${NODE_ADDRESS}`,
    '--secure-port=6443',
    `--cert-dir=${at('certificates')}`,
    '--service-account-issuer=https://kubernetes.default.svc.cluster.local',
    `--service-account-signing-key-file=${at('service-account.key')}`,
    `--service-account-key-file=${at('service-account.pub')}`,
    `--token-auth-file=${at('tokens.csv')}`,
    '--authorization-mode=Node,RBAC',
    '--enable-admission-plugins=NodeRestriction',
    `--service-cluster-ip-range=${SERVICE_RANGE}`,
    '--kubelet-preferred-address-types=InternalIP',
    `--kubelet-client-certificate=${at('kubelet-client.crt')}`,
    `--kubelet-client-key=${at('kubelet-client.key')}`,
    `--audit-policy-file=${at('audit-policy.json')}`,
    `--audit-log-path=${auditLog}`,
    '--audit-log-format=json',
    '--profiling=false',
  ],
})

export const controllerManager = (programs: NodePrograms, { at, kubeConfig }: ClusterFiles): Service => ({
  name: 'kube-controller-manager',
  program: programs['kube-controller-manager'],
  args: [
    `--kubeconfig=${kubeConfig('controller-manager')}`,
    `--service-account-private-key-file=${at('service-account.key')}`,
    `--root-ca-file=${at('certificates/apiserver.crt')}`,
    '--use-service-account-credentials=true',
    '--leader-elect=false',
    '--bind-address=127.0.0.1',
    `--cert-dir=${at('certificates-controller-manager')}`,
  ],
})

export const scheduler = (programs: NodePrograms, { at, kubeConfig }: ClusterFiles): Service => ({
  name: 'kube-scheduler',
  program: programs['kube-scheduler'],
  args: [
    `--kubeconfig=${kubeConfig('scheduler')}`,
    '--leader-elect=false',
    '--bind-address=127.0.0.1',
    `--cert-dir=${at('certificates-scheduler')}`,
  ],
})

export const NETWORK = { podRange: POD_RANGE, serviceRange: SERVICE_RANGE }
