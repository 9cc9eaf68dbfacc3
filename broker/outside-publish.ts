import { topicFault } from '../contract/topic.ts'
import type { NetworkPublish } from './listen/listener-host.ts'
import { isReservedTopic } from './policy/filters.ts'
import { judgePublish } from './policy/service-level.ts'
import { ALLOWED, type Denied, deny, type Verdict } from './policy/verdict.ts'
import { OUT_OF_TOUCH } from './session/connect.ts'
import type { SessionContext } from './session/context.ts'

/** Replies that led to one another: beyond it somebody has built a loop. */
export const MAX_ROUTE_HOPS = 8

/** The answer of a destination that is to be published (the route's id is the last of `trail`). */
export interface ReplyPublish {
  topic: string
  payload: Buffer
  qos: 0 | 1 | 2
  retain: boolean
  contentType?: string
  /** Ids of the routes whose replies led to it, oldest first. */
  trail: readonly string[]
}

/** Resolves once the message is stored where it has to be; rejects when the store fails. */
export async function publishFromNetwork(context: SessionContext, publish: NetworkPublish): Promise<Verdict> {
  const { network, topic, payload, qos, retain } = publish
  const refusal = refusalOf(context, publish)
  if (refusal !== undefined) return tell(context, refusal, 'network', network.id)
  context.counters.networkRequests += 1
  await context.ingest.accept({ topic, payload, qos, retain })
  return ALLOWED
}

/** Resolves once the message is stored where it has to be; rejects when the store fails. */
export async function publishReply(context: SessionContext, reply: ReplyPublish): Promise<Verdict> {
  const { topic, payload, qos, retain, contentType, trail } = reply
  const refusal = replyFault(context, reply) ?? refusalOf(context, reply)
  if (refusal !== undefined) return tell(context, refusal, 'route', trail.at(-1) ?? 'unknown')
  context.counters.routeReplies += 1
  const properties = contentType === undefined ? {} : { properties: { contentType } }
  await context.ingest.accept({ topic, payload, qos, retain, ...properties }, { trail })
  return ALLOWED
}

function replyFault(context: SessionContext, { topic, trail }: ReplyPublish): Denied | undefined {
  if (trail.length > MAX_ROUTE_HOPS) return deny('ROUTE_LOOP', `${trail.length} replies in a row`)
  const fault = topicFault(topic)
  if (fault !== undefined) return deny('INVALID_TOPIC', fault)
  if (!isReservedTopic(topic, context.hub().events.topicPrefix)) return undefined
  return deny('UNAUTHORIZED_TOPIC', topic.slice(0, 200))
}

/** What holds for every message that no device sends. */
function refusalOf(
  context: SessionContext,
  { payload, qos, retain }: Pick<ReplyPublish, 'payload' | 'qos' | 'retain'>,
): Denied | undefined {
  const hub = context.hub()
  if (!hub.enabled) return deny('HUB_DISABLED')
  // Its token may have been revoked, and nothing would be stored.
  if (context.state.healthy?.() === false) return deny('HUB_BUSY', OUT_OF_TOUCH)
  const level = judgePublish(hub, { qos, retain, payloadBytes: payload.length })
  return level.allowed ? undefined : level
}

function tell(
  context: SessionContext,
  refusal: Denied,
  objectType: 'network' | 'route',
  objectId: string,
): Denied {
  const { code, detail } = refusal
  context.raise({ code, objectType, objectId, ...(detail === undefined ? {} : { detail }) })
  return refusal
}
