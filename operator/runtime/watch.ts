import type { IncomingMessage } from 'node:http'
import type { Clock } from '../../contract/clock.ts'
import type { ApiClient } from './api-client.ts'
import { ApiError, TransportError } from './api-error.ts'
import { JsonLines } from './json-lines.ts'
import { type Selection, selectors } from './list.ts'
import { type ApiStatus, type KubeObject, resourcePath } from './resource.ts'

export interface WatchEvent<T> {
  type: 'ADDED' | 'MODIFIED' | 'DELETED' | 'BOOKMARK'
  object: T
}

export interface WatchOptions extends Selection {
  client: ApiClient
  clock: Clock
  signal: AbortSignal
  /** Events after this version. */
  resourceVersion: string
  /** Asked of the server: it ends the watch then. Client-side ends alone leave work behind on the server. */
  timeoutSeconds: number
  /**
   * ms without a byte after which the connection counts as dead. Bookmarks come about once a minute, so silence for
   * longer is not a quiet resource but a peer that is gone without a FIN.
   */
  stallMs: number
  /** Bytes came: the connection lives. */
  onBytes?: () => void
}

/** etcd takes objects of at most 1.5 MiB; JSON with managed fields is some times that. */
const MAX_EVENT_BYTES = 32 * 1024 * 1024
/** A server that ignores `timeoutSeconds` is cut this much later. */
const END_GRACE_MS = 30_000
const METADATA_OBJECT = 'application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1'

/**
 * One watch, from its first event to its end. Resolves when the server ends it in order or `signal` aborts;
 * rejects with ApiError (410: the version is too old) or TransportError (cut, stalled, not JSON).
 */
export async function watchOnce<T extends KubeObject>(
  options: WatchOptions,
  onEvent: (event: WatchEvent<T>) => void,
): Promise<void> {
  const response = await options.client.stream({
    method: 'GET',
    path: resourcePath(options.resource, options.namespace),
    query: {
      ...selectors(options),
      watch: true,
      allowWatchBookmarks: true,
      resourceVersion: options.resourceVersion,
      timeoutSeconds: options.timeoutSeconds,
    },
    signal: options.signal,
    ...(options.metadataOnly ? { accept: METADATA_OBJECT } : {}),
  })
  const watchdog = guard(response, options)
  const lines = new JsonLines(MAX_EVENT_BYTES)
  try {
    for await (const chunk of response as AsyncIterable<Buffer>) {
      watchdog.feed()
      options.onBytes?.()
      for (const value of lines.push(chunk)) onEvent(toEvent<T>(value))
    }
  } catch (error) {
    if (watchdog.ended()) return
    throw watchdog.stalled() ?? asTransport(error)
  } finally {
    watchdog.release()
    response.destroy()
  }
}

function toEvent<T>(value: unknown): WatchEvent<T> {
  const { type, object } = value as { type: string; object: T | ApiStatus }
  if (type === 'ERROR') {
    const status = object as ApiStatus
    const seconds = status.details?.retryAfterSeconds
    throw new ApiError(
      'watch',
      status.code ?? 500,
      status,
      seconds === undefined ? undefined : seconds * 1000,
    )
  }
  return { type, object } as WatchEvent<T>
}

const asTransport = (error: unknown): unknown =>
  error instanceof ApiError || error instanceof TransportError
    ? error
    : new TransportError((error as NodeJS.ErrnoException).code ?? 'UNKNOWN', 'watch', error)

/** Cuts a connection that is silent for too long, was aborted, or outlived the time the server was given. */
function guard(response: IncomingMessage, options: WatchOptions) {
  const { clock, signal, stallMs } = options
  let lastByte = clock.monotonic()
  let stalled: TransportError | undefined
  let ended = false
  let cancel = () => {}
  const end = () => {
    ended = true
    response.destroy()
  }
  const check = () => {
    const left = lastByte + stallMs - clock.monotonic()
    if (left > 0) {
      cancel = clock.after(left, check)
      return
    }
    stalled = new TransportError('STALLED', `watch of ${options.resource.plural}, no byte for ${stallMs} ms`)
    response.destroy()
  }
  cancel = clock.after(stallMs, check)
  const cancelEnd = clock.after(options.timeoutSeconds * 1000 + END_GRACE_MS, end)
  signal.addEventListener('abort', end, { once: true })
  if (signal.aborted) end()
  return {
    feed() {
      lastByte = clock.monotonic()
    },
    stalled: () => stalled,
    ended: () => ended,
    release() {
      cancel()
      cancelEnd()
      signal.removeEventListener('abort', end)
    },
  }
}
