/**
 * Brings a list of objects in place by server-side apply: only what differs from the copy costs a request, only
 * our own fields are touched, and an object that is not ours is never taken over.
 */
import type { ApiClient, ApiResponse } from './api-client.ts'
import { isConflict, isNotFound } from './api-error.ts'
import { BoundedMap } from './bounded-map.ts'
import {
  contentHash,
  desiredHash,
  isInPlace,
  isOfPreviousOwner,
  isOwnedBy,
  OWNER_INDEX,
  ownerReference,
} from './owner.ts'
import type { WritableView } from './recent-writes.ts'
import { type KubeObject, keyOf, objectPath, type Resource } from './resource.ts'

export interface Desired {
  resource: Resource
  /**
   * Without ownerReferences, which `apply` adds. Secrets by `data`, quantities and the like as the API server
   * writes them: what it would rewrite costs a request after each start.
   */
  object: KubeObject
  /** What the caller has read of it just now, so that it is not read again where the copy does not show it. */
  known?: KubeObject | 'absent'
}

export type RefusalReason =
  /** An object of that name is there and not ours. */
  | 'NameTaken'
  /** An object of an earlier owner of the same name is not collected yet: wait. */
  | 'PreviousOwner'
  /** Ours, and being deleted: wait. */
  | 'Terminating'

export type ApplyResult = { desired: Desired } & (
  | { outcome: 'created' | 'changed' | 'unchanged'; object: KubeObject }
  | { outcome: 'refused'; reason: RefusalReason; message: string }
)

export interface ApplierOptions {
  client: ApiClient
  /** The controller's name. Two controllers never share one. */
  fieldManager: string
  /** Annotation that keeps the hash of what was applied last; it marks our objects too, for `prune`. */
  hashAnnotation: string
  /** The copy to compare with, by resource; without one each object is read first. */
  view: (resource: Resource) => WritableView<KubeObject> | undefined
}

const MAX_ATTEMPTS = 3
/** Objects that the API server stores other than written; beyond it the one noted first is forgotten. */
const MAX_SETTLED = 10_000

export class Applier {
  readonly #options: ApplierOptions
  /**
   * What an object looked like after an apply that left it different from what was asked for, because the API
   * server writes some value in its own way. As long as both sides stay as they are, asking again is useless.
   */
  readonly #settled = new BoundedMap<string, { hash: string; content: string }>(MAX_SETTLED)

  constructor(options: ApplierOptions) {
    this.#options = options
  }

  /**
   * Applies in order, and goes on after a refusal: one name that is taken must not keep the rest away. Rejects on
   * the first failure that is worth trying again; what was applied until then stays.
   */
  async apply(owner: KubeObject, desired: readonly Desired[], signal: AbortSignal): Promise<ApplyResult[]> {
    const results: ApplyResult[] = []
    for (const one of desired) results.push(await this.#applyOne(owner, one, signal))
    return results
  }

  /**
   * Deletes what `owner` owns of `resources`, was applied by us, and is not in `keep`. Needs views with
   * `byOwner`. Returns the keys asked to be deleted. Only what the copy shows is deleted, and only that version.
   */
  async prune(
    owner: KubeObject,
    keep: readonly Desired[],
    resources: readonly Resource[],
    signal: AbortSignal,
  ): Promise<string[]> {
    const kept = new Set(keep.map(({ resource, object }) => objectPath(resource, keyOf(object))))
    const deleted: string[] = []
    for (const resource of resources) {
      for (const object of this.#ownedBy(owner, resource)) {
        const path = objectPath(resource, keyOf(object))
        if (kept.has(path)) continue
        if (await this.#delete(path, object, signal)) deleted.push(`${resource.kind} ${keyOf(object)}`)
      }
    }
    return deleted
  }

  #ownedBy(owner: KubeObject, resource: Resource): KubeObject[] {
    const view = this.#options.view(resource)
    if (!view) throw new Error(`prune: expected a view of ${resource.plural}, got none`)
    return view
      .byIndex(OWNER_INDEX, owner.metadata.uid ?? '')
      .filter(({ metadata }) => metadata.annotations?.[this.#options.hashAnnotation] !== undefined)
      .filter(({ metadata }) => metadata.deletionTimestamp === undefined)
  }

  async #delete(path: string, { metadata }: KubeObject, signal: AbortSignal): Promise<boolean> {
    const preconditions = { uid: metadata.uid, resourceVersion: metadata.resourceVersion }
    try {
      const body = { preconditions, propagationPolicy: 'Background' }
      await this.#options.client.request({ method: 'DELETE', path, body, signal })
      return true
    } catch (error) {
      if (isNotFound(error)) return false
      throw error
    }
  }

  async #applyOne(owner: KubeObject, desired: Desired, signal: AbortSignal): Promise<ApplyResult> {
    const wanted = this.#complete(owner, desired)
    const key = keyOf(wanted)
    let live = this.#options.view(desired.resource)?.get(key) ?? (await this.#look(desired, signal))
    for (let attempt = 1; ; attempt += 1) {
      try {
        return live
          ? await this.#update(owner, desired, { wanted, live, signal })
          : await this.#create(desired, wanted, signal)
      } catch (error) {
        // Somebody deleted, made or replaced the object since it was looked at.
        if (!isConflict(error) || attempt === MAX_ATTEMPTS) throw error
        live = await this.#read(desired, signal)
      }
    }
  }

  #complete(owner: KubeObject, { resource, object }: Desired): KubeObject {
    const { hashAnnotation } = this.#options
    const metadata = { ...object.metadata, ownerReferences: [ownerReference(owner)] }
    const complete = { ...object, apiVersion: resource.apiVersion, kind: resource.kind, metadata }
    const annotations = { ...metadata.annotations, [hashAnnotation]: desiredHash(complete) }
    return { ...complete, metadata: { ...metadata, annotations } }
  }

  #look(desired: Desired, signal: AbortSignal): KubeObject | undefined | Promise<KubeObject | undefined> {
    if (desired.known === undefined) return this.#read(desired, signal)
    return desired.known === 'absent' ? undefined : desired.known
  }

  async #read({ resource, object }: Desired, signal: AbortSignal): Promise<KubeObject | undefined> {
    const path = objectPath(resource, keyOf(object))
    try {
      return (await this.#options.client.request<KubeObject>({ method: 'GET', path, signal })).body
    } catch (error) {
      if (isNotFound(error)) return undefined
      throw error
    }
  }

  async #update(
    owner: KubeObject,
    desired: Desired,
    { wanted, live, signal }: { wanted: KubeObject; live: KubeObject; signal: AbortSignal },
  ): Promise<ApplyResult> {
    const refused = refusal(owner, desired, live)
    if (refused) return refused
    if (this.#isUpToDate(live, wanted)) return { desired, outcome: 'unchanged', object: live }
    // The uid keeps the fields of this object out of another that took its name; force is for our fields only,
    // since an apply says nothing about others.
    const body = { ...wanted, metadata: { ...wanted.metadata, uid: live.metadata.uid! } }
    const stored = (await this.#patch(desired, body, { force: true, signal })).body
    this.#remember(desired, wanted, stored)
    const same = stored.metadata.resourceVersion === live.metadata.resourceVersion
    return { desired, outcome: same ? 'unchanged' : 'changed', object: stored }
  }

  async #create(desired: Desired, wanted: KubeObject, signal: AbortSignal): Promise<ApplyResult> {
    // Without force: fields that a stranger's object of that name holds make it a conflict.
    const { status, body } = await this.#patch(desired, wanted, { force: false, signal })
    if (status === 201) {
      this.#remember(desired, wanted, body)
      return { desired, outcome: 'created', object: body }
    }
    // It was not there when we looked, and was when we applied. An apply that wants nothing takes our fields out
    // of it again.
    const { name, namespace } = wanted.metadata
    const metadata = { name, ...(namespace ? { namespace } : {}), uid: body.metadata.uid }
    const nothing = { apiVersion: wanted.apiVersion, kind: wanted.kind, metadata }
    await this.#patch(desired, nothing as KubeObject, { force: true, signal })
    return nameTaken(desired)
  }

  #patch(
    { resource }: Desired,
    body: KubeObject,
    { force, signal }: { force: boolean; signal: AbortSignal },
  ): Promise<ApiResponse<KubeObject>> {
    return this.#options.client.request<KubeObject>({
      method: 'PATCH',
      path: objectPath(resource, keyOf(body)),
      query: { fieldManager: this.#options.fieldManager, force },
      contentType: 'application/apply-patch+yaml',
      body,
      signal,
    })
  }

  #isUpToDate(live: KubeObject, wanted: KubeObject): boolean {
    // The hash tells fields that we no longer want, the comparison what somebody else did to those we do.
    const hash = wanted.metadata.annotations?.[this.#options.hashAnnotation]
    if (live.metadata.annotations?.[this.#options.hashAnnotation] !== hash) return false
    if (isInPlace(live, wanted)) return true
    const settled = this.#settled.get(live.metadata.uid ?? '')
    return settled?.hash === hash && settled?.content === contentHash(live)
  }

  #remember({ resource }: Desired, wanted: KubeObject, stored: KubeObject): void {
    // As an informer keeps them, so that both can be compared.
    delete stored.metadata.managedFields
    this.#options.view(resource)?.note(stored)
    const uid = stored.metadata.uid ?? ''
    this.#settled.delete(uid)
    if (isInPlace(stored, wanted)) return
    const hash = wanted.metadata.annotations?.[this.#options.hashAnnotation] ?? ''
    this.#settled.set(uid, { hash, content: contentHash(stored) })
  }
}

function refusal(owner: KubeObject, desired: Desired, live: KubeObject): ApplyResult | undefined {
  const what = `${desired.resource.kind} ${keyOf(desired.object)}`
  if (!isOwnedBy(live, owner)) {
    if (!isOfPreviousOwner(live, owner)) return nameTaken(desired)
    const message = `${what} of an earlier ${owner.kind} of this name is not deleted yet`
    return { desired, outcome: 'refused', reason: 'PreviousOwner', message }
  }
  if (live.metadata.deletionTimestamp === undefined) return undefined
  return { desired, outcome: 'refused', reason: 'Terminating', message: `${what} is being deleted` }
}

const nameTaken = (desired: Desired): ApplyResult => ({
  desired,
  outcome: 'refused',
  reason: 'NameTaken',
  message: `${desired.resource.kind} ${keyOf(desired.object)} exists and is not ours: delete or rename it`,
})
