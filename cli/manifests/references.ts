import type { ManifestObject } from '../../crds/validate.ts'
import {
  type KindToObject,
  type LoadedManifest,
  type ManifestSet,
  manifestKey,
  namespaceOf,
  ofKind,
} from './manifest-set.ts'
import { byPlace, type Problem } from './problem.ts'

/** A field that names another object of the same namespace. */
export interface Reference {
  field: string
  kind: 'Hub' | 'Secret'
  name: string
}

/** Every reference of an object, in the order of its fields. */
export function referencesOf(object: ManifestObject): Reference[] {
  switch (object.kind) {
    case 'Hub':
      return hubReferences(object)
    case 'Device':
      return [
        hub(object),
        ...secret('spec.certificate.provided.secretRef', object.spec.certificate?.provided?.secretRef),
        ...secret('spec.passwordSecretRef', object.spec.passwordSecretRef),
      ]
    case 'Network':
      return [hub(object), ...secret('spec.tokenSecretRef', object.spec.tokenSecretRef)]
    case 'Route':
      return [hub(object)]
    default:
      return []
  }
}

function hubReferences({ spec }: KindToObject['Hub']): Reference[] {
  return [
    ...secret('spec.deviceCA.secretRef', spec.deviceCA.secretRef),
    ...secret('spec.deviceCA.next.secretRef', spec.deviceCA.next?.secretRef),
    ...secret('spec.deviceCA.crl.secretRef', spec.deviceCA.crl?.secretRef),
    ...secret('spec.serverTLS.secretRef', spec.serverTLS.secretRef),
  ]
}

/**
 * References that only an object of another namespace would answer. They never cross a namespace, so with all
 * objects at hand this is a mistake; one that nothing answers may be answered later, and is only told. An API
 * server sees one object at a time and takes both.
 */
export function crossNamespaceProblems(set: ManifestSet): Problem[] {
  return dangling(set)
    .flatMap(({ manifest, reference, elsewhere }) =>
      elsewhere === undefined ? [] : [crossing(manifest, reference, elsewhere)],
    )
    .sort(byPlace)
}

/** References that nothing in the folder answers, as sentences with a place. */
export function danglingReferences(set: ManifestSet): string[] {
  return dangling(set).map(
    ({ manifest: { object, source }, reference: { field, kind, name } }) =>
      `${source.file}:${source.lineOf(field)}: ${object.kind} ${object.metadata.name}: ` +
      `${field} names ${kind} ${name}, which is not in the folder`,
  )
}

interface Dangling {
  manifest: LoadedManifest
  reference: Reference
  /** Where there is an object of that kind and name instead. */
  elsewhere: string | undefined
}

function dangling(set: ManifestSet): Dangling[] {
  return [...set.values()].flatMap((manifest) =>
    referencesOf(manifest.object).flatMap((reference) => {
      const { metadata } = manifest.object
      if (isAnswered(set, reference, namespaceOf(metadata))) return []
      return [{ manifest, reference, elsewhere: otherNamespace(set, reference) }]
    }),
  )
}

/** A ConfigMap answers for what needs no secrecy, such as a device's certificate. */
const ANSWERS = { Hub: ['Hub'], Secret: ['Secret', 'ConfigMap'] } as const

const isAnswered = (set: ManifestSet, { kind, name }: Reference, namespace: string): boolean =>
  ANSWERS[kind].some((answer) => set.has(manifestKey(answer, namespace, name)))

function otherNamespace(set: ManifestSet, { kind, name }: Reference): string | undefined {
  const [found] = ANSWERS[kind]
    .flatMap((answer) => ofKind(set, answer))
    .filter(({ object }) => object.metadata.name === name)
  return found === undefined ? undefined : namespaceOf(found.object.metadata)
}

function crossing({ object, source }: LoadedManifest, reference: Reference, elsewhere: string): Problem {
  const { field, kind, name } = reference
  const own = namespaceOf(object.metadata)
  return {
    file: source.file,
    line: source.lineOf(`${field}.name`),
    error: {
      field: `${field}.name`,
      expected: `expected a ${kind} of namespace ${own}, as references never cross a namespace`,
      got: `${JSON.stringify(name)}, which is in namespace ${elsewhere}`,
    },
  }
}

const hub = ({ spec }: { spec: { hubRef: { name: string } } }): Reference => ({
  field: 'spec.hubRef',
  kind: 'Hub',
  name: spec.hubRef.name,
})

const secret = (field: string, ref: { name: string } | undefined): Reference[] =>
  ref === undefined ? [] : [{ field, kind: 'Secret', name: ref.name }]
