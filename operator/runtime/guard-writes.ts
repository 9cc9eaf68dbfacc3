import type { ApiClient, ApiRequest } from './api-client.ts'
import type { Leadership } from './leader.ts'

/** A write was not sent because this process may not write. */
export class NotLeader extends Error {
  override readonly name = 'NotLeader'
}

/**
 * The same client, except that nothing but reads leaves it while this process may not write. Asked when the first
 * byte of a request is about to be written, and writes under way are cut when leadership is lost.
 */
export function guardWrites(client: ApiClient, leadership: Leadership & { lost: AbortSignal }): ApiClient {
  const guarded = (request: ApiRequest): ApiRequest => {
    if (request.method === 'GET') return request
    const beforeSend = () => {
      if (!leadership.mayWrite()) throw new NotLeader(`${request.method} ${request.path} was not sent`)
      request.beforeSend?.()
    }
    const signal = request.signal ? AbortSignal.any([request.signal, leadership.lost]) : leadership.lost
    return { ...request, beforeSend, signal }
  }
  return {
    request: (request) => client.request(guarded(request)),
    stream: (request) => client.stream(guarded(request)),
    close: () => client.close(),
  }
}
