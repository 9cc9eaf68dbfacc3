import { chmod, mkdir, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { NODE_NAME } from './control-plane.ts'

/** Claims of one life of the cluster; a volume is used once. */
const VOLUMES = 40

/** Writes a StorageClass with volumes in `folder`, and the rights of the DNS server, as one list to apply. */
export async function localVolumes(manifest: string, folder: string): Promise<void> {
  const names = Array.from({ length: VOLUMES }, (_, index) => `volume-${index + 1}`)
  for (const name of names) {
    await mkdir(path.join(folder, name), { recursive: true })
    await chmod(path.join(folder, name), 0o777)
  }
  const items = [storageClass, ...names.map(volume(folder)), ...dnsRights]
  await writeFile(manifest, JSON.stringify({ apiVersion: 'v1', kind: 'List', items }))
}

const storageClass = {
  apiVersion: 'storage.k8s.io/v1',
  kind: 'StorageClass',
  metadata: { name: 'local', annotations: { 'storageclass.kubernetes.io/is-default-class': 'true' } },
  provisioner: 'kubernetes.io/no-provisioner',
  volumeBindingMode: 'WaitForFirstConsumer',
}

const volume = (folder: string) => (name: string) => ({
  apiVersion: 'v1',
  kind: 'PersistentVolume',
  metadata: { name },
  spec: {
    capacity: { storage: '10Gi' },
    accessModes: ['ReadWriteOnce'],
    persistentVolumeReclaimPolicy: 'Retain',
    storageClassName: 'local',
    local: { path: path.join(folder, name) },
    nodeAffinity: {
      required: {
        nodeSelectorTerms: [
          { matchExpressions: [{ key: 'kubernetes.io/hostname', operator: 'In', values: [NODE_NAME] }] },
        ],
      },
    },
  },
})

const rule = (apiGroups: string[], resources: string[]) => ({
  apiGroups,
  resources,
  verbs: ['list', 'watch'],
})

const dnsRights = [
  {
    apiVersion: 'rbac.authorization.k8s.io/v1',
    kind: 'ClusterRole',
    metadata: { name: 'coredns' },
    rules: [rule([''], ['services', 'pods', 'namespaces']), rule(['discovery.k8s.io'], ['endpointslices'])],
  },
  {
    apiVersion: 'rbac.authorization.k8s.io/v1',
    kind: 'ClusterRoleBinding',
    metadata: { name: 'coredns' },
    roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: 'coredns' },
    subjects: [{ apiGroup: 'rbac.authorization.k8s.io', kind: 'User', name: 'coredns' }],
  },
]
