import { createHash } from 'node:crypto'
import { canonicalJson, holds } from './json.ts'
import type { Indexer } from './object-store.ts'
import type { KubeObject, OwnerReference } from './resource.ts'

/** Name of the index from an owner's uid to what it owns. */
export const OWNER_INDEX = 'owner'

/** For the `indexers` of an informer whose objects are pruned. */
export const byOwner: Indexer<KubeObject> = (object) =>
  (object.metadata.ownerReferences ?? []).map(({ uid }) => uid)

/** The object that others are made for; it needs name and uid. */
export function ownerReference(owner: KubeObject): OwnerReference {
  const { name, uid } = owner.metadata
  if (!owner.apiVersion || !owner.kind || !name || !uid) {
    throw new Error('owner: expected apiVersion, kind, metadata.name and metadata.uid')
  }
  return { apiVersion: owner.apiVersion, kind: owner.kind, name, uid, controller: true }
}

export const isOwnedBy = (object: KubeObject, owner: KubeObject): boolean =>
  (object.metadata.ownerReferences ?? []).some(({ uid }) => uid === owner.metadata.uid)

/** Whether an earlier object of the owner's kind and name owns it: garbage that is about to be collected. */
export const isOfPreviousOwner = (object: KubeObject, owner: KubeObject): boolean =>
  (object.metadata.ownerReferences ?? []).some(
    ({ kind, name, uid }) =>
      kind === owner.kind && name === owner.metadata.name && uid !== owner.metadata.uid,
  )

const sha256 = (text: string): string => createHash('sha256').update(text).digest('hex')

/** 32 hex digits that change with anything in `wanted`. */
export const desiredHash = (wanted: KubeObject): string => sha256(canonicalJson(wanted)).slice(0, 32)

/** Hash of everything that a person or a controller could have edited, for noticing that someone did. */
export function contentHash(live: KubeObject): string {
  const { status: _, metadata, ...rest } = live as KubeObject & { status?: unknown }
  const { labels, annotations, ownerReferences, finalizers, uid } = metadata
  return sha256(
    canonicalJson({ ...rest, metadata: { labels, annotations, ownerReferences, finalizers, uid } }),
  )
}

/** Whether every field of `wanted` stands in `live` as it was asked for. */
export function isInPlace(live: KubeObject, wanted: KubeObject): boolean {
  const { apiVersion: _, kind: __, metadata, ...rest } = wanted
  const fields = live as unknown as Record<string, unknown>
  return (
    holds(live.metadata.labels, metadata.labels) &&
    holds(live.metadata.annotations, metadata.annotations) &&
    (metadata.ownerReferences ?? []).every((reference) =>
      (live.metadata.ownerReferences ?? []).some((other) => holds(other, reference)),
    ) &&
    Object.entries(rest).every(([key, value]) => holds(fields[key], value, key))
  )
}
