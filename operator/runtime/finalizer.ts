import type { Clock } from '../../contract/clock.ts'
import type { ApiClient } from './api-client.ts'
import { isNotFound } from './api-error.ts'
import { type KubeObject, keyOf, objectPath, type Resource } from './resource.ts'

export interface FinalizerRequest {
  client: ApiClient
  resource: Resource
  object: KubeObject
  /** Qualified, e.g. `example.dev/device`. */
  finalizer: string
  signal: AbortSignal
}

export const isDeleting = (object: KubeObject): boolean => object.metadata.deletionTimestamp !== undefined

export const hasFinalizer = (object: KubeObject, finalizer: string): boolean =>
  object.metadata.finalizers?.includes(finalizer) ?? false

/**
 * Makes sure of the finalizer before anything is created that it has to clean up. `added`: end this run, the
 * change comes back as an event. `present`: go on. Rejects with a conflict when the object has changed.
 */
export async function ensureFinalizer(request: FinalizerRequest): Promise<'present' | 'added'> {
  const { object, finalizer } = request
  if (hasFinalizer(object, finalizer)) return 'present'
  await patchFinalizers(request, [...(object.metadata.finalizers ?? []), finalizer])
  return 'added'
}

/** Lets go of the object. Fine when it is gone already. */
export async function removeFinalizer(request: FinalizerRequest): Promise<void> {
  const { object, finalizer } = request
  if (!hasFinalizer(object, finalizer)) return
  const others = object.metadata.finalizers!.filter((name) => name !== finalizer)
  try {
    await patchFinalizers(request, others)
  } catch (error) {
    if (!isNotFound(error)) throw error
  }
}

async function patchFinalizers({ client, resource, object, signal }: FinalizerRequest, finalizers: string[]) {
  // With the version that was read: the list is replaced as a whole, so nobody else's entry may come in between.
  const { resourceVersion, uid } = object.metadata
  await client.request({
    method: 'PATCH',
    path: objectPath(resource, keyOf(object)),
    contentType: 'application/merge-patch+json',
    body: { metadata: { finalizers, resourceVersion, uid } },
    signal,
  })
}

export interface FinalizeRequest extends FinalizerRequest {
  clock: Clock
  /** Annotation by which a person says: let go, clean up or not. Its value must be `true`. */
  forceAnnotation: string
  /** ms after the deletion was asked for, when the object is let go even if cleaning up keeps failing. */
  giveUpAfterMs: number
  /** Must succeed when there is nothing (left) to clean up. Rejects when it has to be tried again. */
  cleanUp: () => Promise<void>
}

export interface Finalized {
  /** True: cleaned up. False: let go without, by the way out. */
  clean: boolean
  /** Why it was let go without. */
  left?: string
}

/**
 * Cleans up after an object that is being deleted, then lets go of it. When cleaning up keeps failing it rejects
 * with that failure, to be tried again, until a person says otherwise or the time is up: no object may hold its
 * namespace in Terminating for ever.
 */
export async function finalize(request: FinalizeRequest): Promise<Finalized> {
  if (!hasFinalizer(request.object, request.finalizer)) return { clean: true }
  let left: string | undefined
  try {
    await request.cleanUp()
  } catch (error) {
    const out = wayOut(request)
    if (out === undefined || request.signal.aborted) throw error
    left = `${out}; clean-up failed: ${error instanceof Error ? error.message : String(error)}`
  }
  // A conflict here means that someone changed the object: the next run sees it, and cleaning up twice is no harm.
  await removeFinalizer(request)
  return left === undefined ? { clean: true } : { clean: false, left }
}

function wayOut({ object, clock, forceAnnotation, giveUpAfterMs }: FinalizeRequest): string | undefined {
  if (object.metadata.annotations?.[forceAnnotation] === 'true') return `${forceAnnotation} is set`
  const asked = Date.parse(object.metadata.deletionTimestamp ?? '')
  return clock.now() - asked >= giveUpAfterMs ? `given up after ${giveUpAfterMs / 1000} s` : undefined
}
