/** `rest`: one HTTP request a message; its answer may be published (spec §4.4). */
import { createHmac } from 'node:crypto'
import type { RouteEntry } from '../../../contract/route-stream.ts'
import type { RouteSpec } from '../../../crds/route.ts'
import type { Egress } from '../../net/egress.ts'
import { DELIVERED, type Sink, type SinkResult, transient } from '../sink.ts'
import { traceparent } from '../traceparent.ts'
import { type CloudEventFormat, cloudEvent } from './cloud-event.ts'
import { createHttpClient, type HttpAnswer, type HttpRequest } from './http-client.ts'
import { statusFailure } from './http-status.ts'
import { judgeReply, type PublishReply } from './reply.ts'

/** `spec.rest` with its secret values. */
export interface RestTarget {
  method: NonNullable<RouteSpec['rest']>['method']
  url: string
  headers: readonly { name: string; value: string }[]
  publishReply: boolean
  ca: string | undefined
  signing: { header: string; secret: string } | undefined
  cloudEvents: CloudEventFormat | undefined
  connections: number
}

export interface RestTools {
  routeId: string
  egress: Egress
  publishReply: PublishReply
  /** ms since the epoch. */
  now: () => number
}

/** That of a message of a hub (`spec.limits.payload`). */
const MAX_REPLY_BYTES = 4 * 1024 * 1024

export function createRestSink(target: RestTarget, { routeId, egress, publishReply, now }: RestTools): Sink {
  const client = createHttpClient({ egress, ca: target.ca, connections: target.connections })
  const url = new URL(target.url)
  const ownHeaders = Object.fromEntries(target.headers.map(({ name, value }) => [name, value]))
  const isReply = (answer: Omit<HttpAnswer, 'body'>) =>
    target.publishReply &&
    answer.status >= 200 &&
    answer.status < 300 &&
    answer.header('x-mqtt-topic') !== undefined

  return {
    async deliver(entry, signal) {
      const request = restRequest(entry, target, { url, ownHeaders, now: now() })
      const wants = (answer: Omit<HttpAnswer, 'body'>) => (isReply(answer) ? MAX_REPLY_BYTES : 0)
      const answer = await client.send(request, { signal, wants })
      if ('ok' in answer) return answer
      const failure = statusFailure(answer.status, answer.header('retry-after'), now())
      if (failure !== undefined) return failure
      return isReply(answer) ? await reply(entry, answer) : DELIVERED
    },
    close: () => client.close(),
  }

  async function reply(entry: RouteEntry, answer: HttpAnswer): Promise<SinkResult> {
    const verdict = judgeReply(entry, routeId, {
      topic: fromHeader(answer.header('x-mqtt-topic') ?? ''),
      retain: answer.header('x-mqtt-retain'),
      contentType: answer.header('content-type'),
      body: answer.body,
    })
    if ('refuse' in verdict) return { ok: true, note: verdict.refuse }
    try {
      await publishReply(verdict.publish)
      return DELIVERED
    } catch {
      return transient({ code: 'REPLY_NOT_PUBLISHED', message: 'the hub did not take the answer' })
    }
  }
}

function restRequest(
  entry: RouteEntry,
  { method, signing, cloudEvents }: RestTarget,
  { url, ownHeaders, now }: { url: URL; ownHeaders: Record<string, string>; now: number },
): HttpRequest {
  const { topic, contentType } = entry
  const event = cloudEvents === undefined ? undefined : cloudEvent(entry, cloudEvents)
  const body = event?.body ?? entry.payload
  const headers: Record<string, string> = {
    'X-Mqtt-Topic': toHeader(topic),
    'X-Mqtt-Retain': String(entry.retain),
    'X-Mqtt-Id': entry.id,
    traceparent: event?.headers['ce-traceparent'] ?? traceparent(entry.id),
    ...event?.headers,
  }
  const own: Record<string, string> = {
    'User-Agent': 'hublet',
    ...(contentType === undefined || event !== undefined ? {} : { 'Content-Type': toHeader(contentType) }),
    ...(event === undefined ? ownHeaders : withoutContentType(ownHeaders)),
  }
  if (signing !== undefined)
    own[signing.header] = signature({ topic, body }, signing.secret, Math.floor(now / 1000))
  return { method, url, headers, ownHeaders: own, body }
}

/** That of a CloudEvent says what it is. */
const withoutContentType = (headers: Record<string, string>) =>
  Object.fromEntries(Object.entries(headers).filter(([name]) => name.toLowerCase() !== 'content-type'))

/** Covers time and topic beside the payload, so that neither an old request nor another topic passes for it. */
export function signature(
  { topic, body }: { topic: string; body: Buffer },
  secret: string,
  seconds: number,
): string {
  const mac = createHmac('sha256', secret).update(`${seconds}.${topic}.`).update(body).digest('hex')
  return `t=${seconds},v1=${mac}`
}

/** Header values are bytes; as the original service did, a topic goes as its UTF-8. */
const toHeader = (text: string) => Buffer.from(text).toString('latin1')
const fromHeader = (value: string) => Buffer.from(value, 'latin1').toString()
