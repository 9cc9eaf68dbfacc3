/** `ifttt`: triggers an event of the Webhooks service (spec §6.2). The key is part of the URL, so no URL is shown. */
import { isUtf8 } from 'node:buffer'
import type { RouteEntry } from '../../../contract/route-stream.ts'
import type { RouteSpec } from '../../../crds/route.ts'
import type { Egress } from '../../net/egress.ts'
import { createHttpClient } from '../rest/http-client.ts'
import { statusFailure } from '../rest/http-status.ts'
import { DELIVERED, permanent, type Sink } from '../sink.ts'

/** `spec.ifttt` with its secret value. */
export interface IftttTarget extends Pick<NonNullable<RouteSpec['ifttt']>, 'event' | 'format' | 'baseUrl'> {
  key: string
  connections: number
}

export function createIftttSink(
  target: IftttTarget,
  { egress, now }: { egress: Egress; now: () => number },
): Sink {
  const client = createHttpClient({ egress, ca: undefined, connections: target.connections })
  const url = triggerUrl(target)
  return {
    async deliver(entry, signal) {
      if (!isUtf8(entry.payload)) return permanent({ code: 'PAYLOAD_NOT_TEXT', message: NOT_TEXT })
      const body = triggerBody(entry, target.format)
      if (body === undefined)
        return permanent({ code: 'PAYLOAD_NOT_JSON', message: 'format JSON wants a payload that is JSON' })
      const headers = { 'Content-Type': 'application/json', 'User-Agent': 'hublet' }
      const request = { method: 'POST', url, headers, ownHeaders: {}, body } as const
      const answer = await client.send(request, { signal, wants: () => 0 })
      if ('ok' in answer) return answer
      return statusFailure(answer.status, answer.header('retry-after'), now()) ?? DELIVERED
    },
    close: () => client.close(),
  }
}

export function triggerUrl({ baseUrl, event, format, key }: IftttTarget): URL {
  const kind = format === 'JSON' ? '/json' : ''
  return new URL(`${baseUrl.replace(/\/+$/, '')}/trigger/${event}${kind}/with/key/${encodeURIComponent(key)}`)
}

/** JSON holds no other bytes: they would arrive as something else. */
export const NOT_TEXT = 'IFTTT takes text only, and the payload is none'

/** Undefined: the payload is not what the format wants. */
export function triggerBody(
  { topic, payload, time }: RouteEntry,
  format: IftttTarget['format'],
): Buffer | undefined {
  const text = payload.toString()
  if (format === 'Values') {
    const values = { value1: topic, value2: text, value3: new Date(time).toISOString() }
    return Buffer.from(JSON.stringify(values))
  }
  try {
    JSON.parse(text)
    return payload
  } catch {
    return undefined
  }
}
