import type { Device } from '../../crds/device.ts'
import type { Hub } from '../../crds/hub.ts'
import type { ObjectMeta } from '../../crds/meta.ts'
import type { Network } from '../../crds/network.ts'
import type { Route } from '../../crds/route.ts'
import { type ManifestObject, validate } from '../../crds/validate.ts'
import type { ConfigMap, Secret } from '../../crds/validation/core-objects.ts'
import { describeValue } from '../../crds/validation/field-error.ts'
import { DEFAULT_NAMESPACE } from '../../operator/compile/hub-record.ts'
import type { RawManifest } from './parse-manifests.ts'
import { byPlace, type Problem } from './problem.ts'

/** Objects that one process takes in; a fleet larger than that wants a cluster. */
export const MAX_OBJECTS = 10_000

/** A valid object, every default in place, and where it came from. */
export interface LoadedManifest<T extends ManifestObject = ManifestObject> {
  object: T
  source: RawManifest
}

/** All objects of a folder, by `manifestKey`. */
export type ManifestSet = ReadonlyMap<string, LoadedManifest>

export interface KindToObject {
  Hub: Hub
  Device: Device
  Network: Network
  Route: Route
  Secret: Secret
  ConfigMap: ConfigMap
}

export const namespaceOf = ({ namespace }: { namespace?: string | undefined }): string =>
  namespace === undefined || namespace === '' ? DEFAULT_NAMESPACE : namespace

export const manifestKey = (kind: string, namespace: string, name: string): string =>
  `${kind}/${namespace}/${name}`

/** All objects of one kind, by namespace and name. */
export function ofKind<K extends keyof KindToObject>(
  set: ManifestSet,
  kind: K,
): LoadedManifest<KindToObject[K]>[] {
  const found = [...set].filter(([, { object }]) => object.kind === kind)
  return found
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([, manifest]) => manifest as LoadedManifest<KindToObject[K]>)
}

/**
 * Gives each manifest the verdict of an API server, and looks for objects that stand there twice. All or
 * nothing: with one problem there is no set, because half of a folder may open what the other half closes.
 *
 * @param previous the set that this one replaces, for rules about changes
 */
export function buildManifestSet(
  manifests: readonly RawManifest[],
  previous: ManifestSet = new Map(),
): { set: ManifestSet; problems: Problem[] } {
  if (manifests.length > MAX_OBJECTS) {
    const expected = `expected at most ${MAX_OBJECTS} objects`
    const error = { field: '', expected, got: String(manifests.length) }
    return { set: new Map(), problems: [{ file: manifests[MAX_OBJECTS]?.file ?? '', error }] }
  }
  const set = new Map<string, LoadedManifest>()
  const problems: Problem[] = []
  for (const source of manifests) {
    const verdict = validate(source.data, { oldManifest: previousOf(source, previous) })
    if (!verdict.valid) {
      problems.push(
        ...verdict.errors.map((error) => ({ file: source.file, line: source.lineOf(error.field), error })),
      )
      continue
    }
    const object = withoutServerFields(verdict.value)
    const key = manifestKey(object.kind, namespaceOf(object.metadata), object.metadata.name)
    const first = set.get(key)
    if (first === undefined) set.set(key, { object, source })
    else problems.push(duplicate(source, first, key))
  }
  return { set, problems: problems.sort(byPlace) }
}

/** What the rules about changes compare with: the object as it was last applied. */
function previousOf({ data }: RawManifest, previous: ManifestSet): unknown {
  if (previous.size === 0 || typeof data !== 'object' || data === null) return undefined
  const { kind, metadata } = data as { kind?: unknown; metadata?: Partial<ObjectMeta> | null }
  if (typeof kind !== 'string' || typeof metadata?.name !== 'string') return undefined
  return previous.get(manifestKey(kind, namespaceOf(metadata), metadata.name))?.object
}

/** As at a create: what only an API server can know is not taken from a file that was read back from one. */
function withoutServerFields(object: ManifestObject): ManifestObject {
  const { name, labels, annotations } = object.metadata
  const metadata: ObjectMeta = {
    name,
    namespace: namespaceOf(object.metadata),
    ...(labels && { labels }),
    ...(annotations && { annotations }),
  }
  return { ...object, metadata }
}

function duplicate(source: RawManifest, first: LoadedManifest, key: string): Problem {
  return {
    file: source.file,
    line: source.lineOf('metadata.name'),
    error: {
      field: 'metadata.name',
      expected: `expected a name that no other ${first.object.kind} of the namespace has`,
      got: `${describeValue(key.split('/').at(-1))}, which ${first.source.file}:${first.source.line} has`,
    },
  }
}
