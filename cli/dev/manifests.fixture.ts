import { buildManifestSet, type ManifestSet } from '../manifests/manifest-set.ts'
import { parseManifests } from '../manifests/parse-manifests.ts'
import { formatProblem } from '../manifests/problem.ts'

const API = 'apiVersion: iot.hublet.dev/v1alpha1'

/** One manifest in short; `spec` is YAML in one line. */
export const yaml = (kind: string, name: string, spec = '{}', namespace = 'default'): string =>
  `${API}\nkind: ${kind}\nmetadata: { name: ${name}, namespace: ${namespace} }\nspec: ${spec}\n`

export const hubYaml = (spec?: string, name = 'garden', namespace?: string) =>
  yaml('Hub', name, spec, namespace)

/** `fields` follow the hubRef. */
export const deviceYaml = (name: string, fields = '', namespace?: string) =>
  yaml('Device', name, `{ hubRef: { name: garden }${fields === '' ? '' : `, ${fields}`} }`, namespace)

export const networkYaml = (name: string, fields = '') =>
  yaml('Network', name, `{ hubRef: { name: garden }, type: REST${fields === '' ? '' : `, ${fields}`} }`)

export const secretYaml = (name: string, values: Record<string, string>, kind = 'Secret') =>
  JSON.stringify({
    apiVersion: 'v1',
    kind,
    metadata: { name },
    ...(kind === 'Secret' ? { stringData: values } : { data: values }),
  })

/** A valid set of the given documents, all in `all.yaml`. */
export function setOf(...documents: string[]): ManifestSet {
  const { manifests, problems } = parseManifests('all.yaml', documents.join('\n---\n'))
  const built = buildManifestSet(manifests)
  const all = [...problems, ...built.problems]
  if (all.length > 0) throw new Error(all.map(formatProblem).join('\n'))
  return built.set
}
