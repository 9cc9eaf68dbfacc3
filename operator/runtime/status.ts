import type { Clock } from '../../contract/clock.ts'
import type { ApiClient } from './api-client.ts'
import { isConflict, isNotFound } from './api-error.ts'
import { type Condition, type Finding, mergeConditions } from './conditions.ts'
import { sameJson } from './json.ts'
import type { WritableView } from './recent-writes.ts'
import { type KubeObject, keyOf, objectPath, type Resource, resourcePath } from './resource.ts'

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
 * Writes the status in one request, or in none when nothing changed. It answers for the generation that was looked
 * at, also when the object has a newer one by now: the change that made it brings the next run. Returns the object
 * as stored, or undefined when nothing was written: unchanged, gone, or another object has its name by now.
 */
export async function writeStatus<S extends StatusBase>(
  request: StatusRequest<S>,
): Promise<KubeObject | undefined> {
  const { object, clock, findings, fields } = request
  const { generation } = object.metadata
  const status = {
    ...fields,
    ...(generation === undefined ? {} : { observedGeneration: generation }),
    conditions: mergeConditions(object.status?.conditions, findings, { generation, now: clock.now() }),
  }
  if (sameJson(object.status ?? {}, status)) return undefined
  let current: KubeObject | undefined = object
  for (let attempt = 1; current && current.metadata.uid === object.metadata.uid; attempt += 1) {
    try {
      return await patchStatus(request, current, status)
    } catch (error) {
      if (isNotFound(error)) return undefined
      if (!isConflict(error) || attempt === MAX_ATTEMPTS) throw error
      current = await read(request)
    }
  }
  return undefined
}

/** An object that is edited all the time must get its status all the same, within reason. */
const MAX_ATTEMPTS = 4

/**
 * Tied to the version of `current`: the status subresource does not compare uids as the object itself does, and an
 * object of the same name that came after this one must not get this one's status.
 */
async function patchStatus<S extends StatusBase>(
  { client, resource, fieldManager, view, signal }: StatusRequest<S>,
  { metadata: { name, namespace, resourceVersion } }: KubeObject,
  status: object,
): Promise<KubeObject> {
  const metadata = { name, ...(namespace ? { namespace } : {}), resourceVersion }
  const { body } = await client.request<KubeObject>({
    method: 'PATCH',
    path: `${resourcePath(resource, namespace, name)}/status`,
    query: { fieldManager, force: true },
    contentType: 'application/apply-patch+yaml',
    body: { apiVersion: resource.apiVersion, kind: resource.kind, metadata, status },
    signal,
  })
  delete body.metadata.managedFields
  view?.note(body)
  return body
}

async function read<S extends StatusBase>({
  client,
  resource,
  object,
  signal,
}: StatusRequest<S>): Promise<KubeObject | undefined> {
  try {
    const path = objectPath(resource, keyOf(object))
    return (await client.request<KubeObject>({ method: 'GET', path, signal })).body
  } catch (error) {
    if (isNotFound(error)) return undefined
    throw error
  }
}
