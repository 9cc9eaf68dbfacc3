import type { ApiClient } from './api-client.ts'
import { isExpired, TransportError } from './api-error.ts'
import { type KubeObject, type Resource, resourcePath } from './resource.ts'

/** Which objects of a resource are meant. */
export interface Selection {
  resource: Resource
  /** Absent: all namespaces. */
  namespace?: string
  labelSelector?: string
  fieldSelector?: string
  /** Ask only for metadata: for large fleets where nobody reads the rest. */
  metadataOnly?: boolean
}

export interface ListOptions extends Selection {
  client: ApiClient
  signal: AbortSignal
  /** Objects a page. Without pages one answer for a big collection stalls server and operator alike. Default 500. */
  pageSize?: number
  /** ms for one page. */
  timeoutMs?: number
  onPage?: () => void
}

interface ListBody<T> {
  metadata?: { resourceVersion?: string; continue?: string }
  items?: T[]
}

const METADATA_LIST = 'application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1'

/**
 * Reads the whole collection page by page, as of one moment, and gives each object to `onObject`. Resolves to that
 * moment's resource version, from which a watch goes on. Rejects with ApiError or TransportError; `onObject` may
 * have seen part of the objects then.
 */
export async function listAll<T extends KubeObject>(
  options: ListOptions,
  onObject: (object: T) => void,
): Promise<string> {
  try {
    return await readPages(options, onObject, options.pageSize ?? 500)
  } catch (error) {
    // A continue token lives as long as etcd's history, some minutes. A collection too big to be paged through in
    // that time would expire for ever, so the second try takes it whole. Objects seen twice are no harm.
    if (!isExpired(error)) throw error
    return readPages(options, onObject, 0)
  }
}

async function readPages<T extends KubeObject>(
  options: ListOptions,
  onObject: (object: T) => void,
  limit: number,
): Promise<string> {
  let token: string | undefined
  for (;;) {
    const { body } = await options.client.request<ListBody<T>>({
      method: 'GET',
      path: resourcePath(options.resource, options.namespace),
      query: { ...selectors(options), limit: limit === 0 ? undefined : limit, continue: token },
      signal: options.signal,
      ...(options.metadataOnly ? { accept: METADATA_LIST } : {}),
      ...(options.timeoutMs === undefined ? {} : { timeoutMs: options.timeoutMs }),
    })
    options.onPage?.()
    for (const object of body.items ?? []) onObject(object)
    token = body.metadata?.continue || undefined
    if (token !== undefined) continue
    const version = body.metadata?.resourceVersion
    if (!version)
      throw new TransportError('BAD_BODY', `the list of ${options.resource.plural} has no resourceVersion`)
    return version
  }
}

export const selectors = (selection: Selection): Record<string, string | undefined> => ({
  labelSelector: selection.labelSelector,
  fieldSelector: selection.fieldSelector,
})
