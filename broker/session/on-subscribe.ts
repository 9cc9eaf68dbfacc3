import type { ISubscribePacket, ISubscription } from 'mqtt-packet'
import type { EventCode } from '../../contract/hub-event.ts'
import { filterFault, isShared } from '../../contract/topic.ts'
import type { Session } from '../deliver/session.ts'
import { judgeSubscribe } from '../policy/service-level.ts'
import type { SubscriptionRecord } from '../store/store.ts'
import { decodeControlPacket, encodeControlPacket } from '../wire/control-packet.ts'
import { ProtocolViolation } from '../wire/publish-frame.ts'
import { requireContent } from '../wire/require-content.ts'
import { currentDigest, raiseFor } from './close-link.ts'
import type { SessionContext } from './context.ts'
import type { Link } from './link.ts'
import { sendRetained } from './send-retained.ts'

/** MQTT 5 §3.9.3; before it there is one code for every refusal. */
const REASON = { notAuthorized: 0x87, invalid: 0x8f, quota: 0x97 }
const FAILURE = 0x80

interface Answer {
  code: number
  /** Granted. */
  subscription?: SubscriptionRecord
  sendsRetained?: boolean
}

/** SUBSCRIBE: each filter judged by itself; what is granted is stored before SUBACK. */
export function onSubscribe(context: SessionContext, link: Link): void {
  const { session, reader } = link
  if (session === undefined) return
  const frame = reader.buffer.subarray(reader.frameStart, reader.bodyEnd)
  const packet = decodeControlPacket(frame, link.version) as ISubscribePacket
  requireContent(packet.messageId, packet.subscriptions.length)
  const answers = judge(context, link, session, packet)
  const granted = answers.flatMap((answer) => (answer.subscription === undefined ? [] : answer))
  for (const { subscription } of granted) context.sessions.subscribe(session, subscription!)
  const suback = encodeControlPacket(
    { cmd: 'suback', messageId: packet.messageId ?? 0, granted: answers.map(({ code }) => code) },
    link.version,
  )
  const answer = () => {
    if (link.phase !== 'Open') return
    link.send(suback)
    const filters = granted.filter(({ sendsRetained }) => sendsRetained).map((one) => one.subscription!)
    if (filters.length > 0) void sendRetained(context, session, filters)
  }
  if (!session.persistent || granted.length === 0) answer()
  else afterStored(context, link, answer)
}

/** The link is not read meanwhile, so that what follows the SUBSCRIBE finds it done. */
function afterStored(context: SessionContext, link: Link, answer: () => void): void {
  link.hold()
  context.store
    .putSession(link.session!.record())
    .then(answer, (error: unknown) => {
      context.counters.storeFaults += 1
      context.logger.error({ err: error }, 'a subscription could not be stored')
      // Without SUBACK the client can't believe in it, and on its next link it asks again.
      link.close()
    })
    .finally(() => link.release())
}

function judge(context: SessionContext, link: Link, session: Session, packet: ISubscribePacket): Answer[] {
  const id = (packet.properties as { subscriptionIdentifier?: number } | undefined)?.subscriptionIdentifier
  const added = new Set<string>()
  return packet.subscriptions.map((asked) => {
    const answer = judgeOne(context, link, asked, id)
    const { subscription } = answer
    if (subscription === undefined) return answer
    const { filter } = subscription
    const isNew = !session.subscriptions.has(filter) && !added.has(filter)
    const { subscriptionsPerSession } = context.hub().limits
    if (isNew && session.subscriptions.size + added.size >= subscriptionsPerSession) {
      return refuse(context, link, 'SUBSCRIPTIONS_FULL', `at most ${subscriptionsPerSession}`, REASON.quota)
    }
    if (isNew) added.add(filter)
    // MQTT 5 §4.8.2: a shared subscription brings no retained messages.
    if (isShared(filter)) return answer
    // Retain handling 1: only when the subscription is new (MQTT 5 §3.8.3.1).
    return { ...answer, sendsRetained: asked.rh === undefined || asked.rh === 0 || (asked.rh === 1 && isNew) }
  })
}

function judgeOne(context: SessionContext, link: Link, asked: ISubscription, id: number | undefined): Answer {
  const { topic: filter } = asked
  const fault = filterFault(filter)
  if (fault !== undefined) return refuse(context, link, 'INVALID_TOPIC', fault, REASON.invalid)
  // [MQTT-3.8.3-4]
  if (asked.nl === true && isShared(filter)) {
    throw new ProtocolViolation('PROTOCOL_ERROR', 'no local on a shared subscription', 0x82)
  }
  if (link.device?.filters.allowsSubscribe(filter) !== true) {
    return refuse(context, link, 'UNAUTHORIZED_TOPIC', filter.slice(0, 200), REASON.notAuthorized)
  }
  const level = judgeSubscribe(context.hub(), asked.qos, link.version)
  if (!level.allowed) return refuse(context, link, level.code, level.detail, REASON.notAuthorized)
  const subscription: SubscriptionRecord = {
    filter,
    qos: level.value,
    noLocal: asked.nl ?? false,
    retainAsPublished: asked.rap ?? false,
    ...(id === undefined ? {} : { subscriptionId: id }),
  }
  return { code: level.value, subscription }
}

function refuse(
  context: SessionContext,
  link: Link,
  code: EventCode,
  detail: string | undefined,
  reasonCode: number,
): Answer {
  raiseFor(context, link, { code, detail, packet: currentDigest(link) })
  return { code: link.version === 5 ? reasonCode : FAILURE }
}
