/**
 * `node e2e/helm/deploy-manifest.ts` writes `deploy/operator.yaml`: the chart with its defaults, for those without
 * helm.
 */
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { stringify } from 'yaml'
import { DEFAULT_NAMESPACE } from '../../operator/rbac.ts'
import type { KubeObject } from '../../operator/runtime/resource.ts'
import { Helm } from './helm.ts'

export const DEPLOY_MANIFEST = path.resolve(import.meta.dirname, '../../deploy/operator.yaml')
const NOTICE = '# Generated from charts/hublet by `make manifests`; edit it there.\n'
/** They would say that helm looks after the objects. */
const HELM_LABELS = ['app.kubernetes.io/managed-by', 'helm.sh/chart']

/** Text of `deploy/operator.yaml`. */
export async function deployManifest(helm: Helm): Promise<string> {
  const objects = await helm.objects({ chart: 'hublet', namespace: DEFAULT_NAMESPACE })
  const namespace: KubeObject = {
    apiVersion: 'v1',
    kind: 'Namespace',
    metadata: {
      name: DEFAULT_NAMESPACE,
      labels: { 'app.kubernetes.io/part-of': 'hublet', 'pod-security.kubernetes.io/enforce': 'restricted' },
    },
  }
  return NOTICE + [namespace, ...objects.map(withoutHelm)].map(document).join('')
}

const document = (object: KubeObject): string =>
  `---\n${stringify(object, { lineWidth: 0, aliasDuplicateObjects: false })}`

function withoutHelm(object: KubeObject): KubeObject {
  const labels = Object.entries(object.metadata.labels ?? {}).filter(([name]) => !HELM_LABELS.includes(name))
  return { ...object, metadata: { ...object.metadata, labels: Object.fromEntries(labels) } }
}

if (import.meta.main) {
  const folder = await mkdtemp(path.join(tmpdir(), 'hublet-helm-'))
  await writeFile(DEPLOY_MANIFEST, await deployManifest(await Helm.find(folder)))
  await rm(folder, { recursive: true })
}
