import type { CelRule } from './fields.ts'
import { COMMON_REASONS, GROUP, type KindDefinition, type PrinterColumn, VERSION } from './meta.ts'
import { type StructuralSchema, toStructural } from './structural.ts'

/** The whole object as an API server sees it. */
export interface RootSchema extends StructuralSchema {
  properties: Record<'apiVersion' | 'kind' | 'metadata' | 'spec' | 'status', StructuralSchema>
  'x-kubernetes-validations': CelRule[]
}

/**
 * The status of an object that nobody has looked at. Without one, GitOps tools take the object for ready; as a default
 * it is there from the start, also while no operator runs.
 */
const UNSEEN_STATUS = {
  conditions: [
    {
      type: 'Ready',
      status: 'Unknown',
      reason: COMMON_REASONS.Pending,
      message: 'waiting for the operator',
      lastTransitionTime: '1970-01-01T00:00:00Z',
    },
  ],
}

/** Throws `UnsupportedSchemaError` where a kind uses a shape that no API server takes. */
export function rootSchema(kind: KindDefinition): RootSchema {
  const spec = toStructural(kind.spec, `${kind.kind}.spec`)
  return {
    type: 'object',
    description: kind.description,
    properties: {
      apiVersion: { type: 'string', description: `Always ${GROUP}/${VERSION}.` },
      kind: { type: 'string', description: `Always ${kind.kind}.` },
      // The server's own affair; the name is declared so that a rule can blame it.
      metadata: { type: 'object', properties: { name: { type: 'string', maxLength: 253 } } },
      spec,
      status: { ...toStructural(kind.status, `${kind.kind}.status`), default: UNSEEN_STATUS },
    },
    // A spec whose every field has a default need not be written down.
    ...('default' in spec ? {} : { required: ['spec'] }),
    'x-kubernetes-validations': [...kind.rules],
  }
}

/** Name of the CRD, which is also the name of its file. */
export const crdName = (kind: KindDefinition) => `${kind.plural}.${GROUP}`

const printed = ({ name, type, jsonPath, description, priority }: PrinterColumn) => ({
  name,
  type,
  jsonPath,
  description,
  ...(priority === undefined ? {} : { priority }),
})

/**
 * `format: password` is for our own messages. An API server takes a list where a string with a format
 * stands (kube-openapi checks the types of lists and strings only where there is no format), so it must not see it.
 */
function withoutPasswordFormat<T extends StructuralSchema>(schema: T): T {
  const text = JSON.stringify(schema, function (this: Record<string, unknown>, key, value: unknown) {
    return key === 'format' && value === 'password' && this['type'] === 'string' ? undefined : value
  })
  return JSON.parse(text) as T
}

/** The CustomResourceDefinition (apiextensions.k8s.io/v1) of a kind, as a plain object. */
export function crdManifest(kind: KindDefinition) {
  return {
    apiVersion: 'apiextensions.k8s.io/v1',
    kind: 'CustomResourceDefinition',
    metadata: {
      name: crdName(kind),
      labels: { 'app.kubernetes.io/name': 'hublet', 'app.kubernetes.io/part-of': 'hublet' },
    },
    spec: {
      group: GROUP,
      names: {
        kind: kind.kind,
        listKind: `${kind.kind}List`,
        plural: kind.plural,
        singular: kind.singular,
        shortNames: [...kind.shortNames],
        categories: ['iot'],
      },
      scope: 'Namespaced',
      versions: [
        {
          name: VERSION,
          served: true,
          storage: true,
          subresources: { status: {} },
          additionalPrinterColumns: kind.columns.map(printed),
          schema: { openAPIV3Schema: withoutPasswordFormat(rootSchema(kind)) },
        },
      ],
    },
  }
}
