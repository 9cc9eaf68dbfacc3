import type { ApiClient } from './api-client.ts'
import { isNotFound } from './api-error.ts'
import type { Clock } from './clock.ts'
import { type Condition, type Finding, mergeConditions } from './conditions.ts'
import { sameJson } from './json.ts'
import type { WritableView } from './recent-writes.ts'
import { type KubeObject, keyOf, objectPath, type Resource } from './resource.ts'

export interface StatusBase {
  observedGeneration?: number
  conditions?: Condition[]
}

export interface StatusRequest<S extends StatusBase> {
  client: ApiClient
  clock: Clock
  resource: Resource
  /** The object as it was when the reconcile looked at it: its generation is what the status answers for. */
  object: KubeObject & { status?: S }
  /** The controller's name; the status belongs to it as a whole. */
  fieldManager: string
  /** The whole status beside conditions and observedGeneration: what is left out is removed. */
  fields: Omit<S, keyof StatusBase>
  findings: readonly Finding[]
  /** Takes note of what was written, so that the next run does not decide by the status before. */
  view?: WritableView<KubeObject>
  signal: AbortSignal
}

/**
 * Writes the status in one request, or in none when nothing changed. Returns the object as stored, or undefined
 * when nothing was written because nothing changed or the object is gone. Rejects with a conflict when the object
 * changed since it was looked at: its status would describe what is not there any more, and the change brings the
 * next run by itself.
 */
export async function writeStatus<S extends StatusBase>(
  request: StatusRequest<S>,
): Promise<KubeObject | undefined> {
  const { client, resource, object, fieldManager, signal } = request
  const { generation, uid, name, namespace, resourceVersion } = object.metadata
  const status = {
    ...request.fields,
    ...(generation === undefined ? {} : { observedGeneration: generation }),
    conditions: mergeConditions(object.status?.conditions, request.findings, {
      generation,
      now: request.clock.now(),
    }),
  }
  if (sameJson(object.status ?? {}, status)) return undefined
  // By the version that was read: unlike elsewhere, the uid is not compared on the status subresource, and an object
  // of the same name that came after this one must not get this one's status.
  const metadata = { name, ...(namespace ? { namespace } : {}), uid, resourceVersion }
  try {
    const { body } = await client.request<KubeObject>({
      method: 'PATCH',
      path: `${objectPath(resource, keyOf(object))}/status`,
      query: { fieldManager, force: true },
      contentType: 'application/apply-patch+yaml',
      body: { apiVersion: resource.apiVersion, kind: resource.kind, metadata, status },
      signal,
    })
    delete body.metadata.managedFields
    request.view?.note(body)
    return body
  } catch (error) {
    if (isNotFound(error)) return undefined
    throw error
  }
}
