import type { EventCode } from '../../contract/hub-event.ts'
import { topicFault } from '../../contract/topic.ts'
import type { LiveDevice } from '../deliver/live-device.ts'
import { recipientsOf } from '../deliver/recipients.ts'
import type { Session } from '../deliver/session.ts'
import type { Passage } from '../ingest.ts'
import { chargeTokens } from '../policy/rate.ts'
import { judgePublish } from '../policy/service-level.ts'
import type { ApplicationMessage, MessageProperties } from '../store/store.ts'
import { encodeAck, PACKET_TYPE } from '../wire/ack-frame.ts'
import { decodePublish, type InboundPublish, ProtocolViolation, topicText } from '../wire/publish-frame.ts'
import type { PublishProperties } from '../wire/publish-properties.ts'
import { closeLink, currentDigest, raiseFor } from './close-link.ts'
import type { SessionContext } from './context.ts'
import type { KnownTopic, Link } from './link.ts'

/** Aliases a connection may set; told in the CONNACK. Bounds the topics it makes us remember. */
export const TOPIC_ALIAS_MAXIMUM = 32

const NOT_AUTHORIZED = 0x87
const NO_MATCHING_SUBSCRIBERS = 0x10

/** A PUBLISH of a device: judged, stored, delivered, then acknowledged. Throws ProtocolViolation. */
export function onPublish(context: SessionContext, link: Link): void {
  const { device, session } = link
  if (device === undefined || session === undefined) return
  const packet = decodePublish(link.reader, link.version)
  device.messagesIn += 1
  device.lastActivityAt = link.lastHeardAt
  context.counters.messagesReceived += 1
  throttle(context, link, device)
  const known = knownTopic(context, link, device, packet)
  if (known === undefined) return
  const refusal = refusalOf(context, known, packet)
  if (refusal !== undefined) {
    refuse(context, link, packet, refusal)
    return
  }
  if (packet.qos === 2 && isRepeated(session, packet.packetId)) {
    acknowledge(link, packet, 0)
    return
  }
  const message = messageOf(known.topic, packet, context.now())
  const passage = context.ingest.enter(message, {
    origin: session,
    recipients: known.recipients,
    incoming:
      packet.qos === 2 && session.persistent
        ? { sessionKey: session.key, packetId: packet.packetId }
        : undefined,
  })
  follow(context, link, packet, passage)
}

/** Delivers and acknowledges once the message is stored, in the order of the link. */
function follow(context: SessionContext, link: Link, packet: InboundPublish, passage: Passage): void {
  const { qos, packetId } = packet
  const isWanted = passage.recipients.length > 0 || passage.routed > 0
  const code = link.version === 5 && !isWanted ? NO_MATCHING_SUBSCRIBERS : 0
  link.pipeline.add(passage.stored, (result) => {
    context.ingest.complete(passage, result)
    if (qos > 0 && link.phase === 'Open') acknowledge(link, { qos, packetId }, code)
  })
  link.watchPipeline()
}

function acknowledge(link: Link, { qos, packetId }: { qos: 0 | 1 | 2; packetId: number }, code: number) {
  if (qos === 0) return
  link.send(encodeAck(qos === 1 ? PACKET_TYPE.PUBACK : PACKET_TYPE.PUBREC, packetId, code))
}

/** What has arrived is taken; the link is read no further until the debt is paid. */
function throttle(context: SessionContext, link: Link, device: LiveDevice<Link>): void {
  const waitMs = chargeTokens(device.bucket, context.now())
  if (waitMs === 0) return
  raiseFor(context, link, { code: 'RATE_LIMITED', detail: `reading pauses for ${waitMs} ms` })
  link.hold()
  setTimeout(() => link.release(), waitMs)
}

/** The packet's topic with the answers for it; undefined: the link was closed over it. Throws ProtocolViolation. */
function knownTopic(
  context: SessionContext,
  link: Link,
  device: LiveDevice<Link>,
  packet: InboundPublish,
): KnownTopic | undefined {
  const topicKey = resolveAlias(link, packet)
  const { generation, subscriptions } = context
  let known = link.topics.get(topicKey)
  if (known === undefined || known.generation !== generation) {
    const topic = topicText(topicKey)
    const fault = topic === undefined ? 'not valid UTF-8' : topicFault(topic)
    if (topic === undefined || fault !== undefined) {
      const code: EventCode = topicKey === '' ? 'EMPTY_TOPIC' : 'INVALID_TOPIC'
      closeLink(context, link, { code, detail: fault, packet: currentDigest(link) })
      return undefined
    }
    const allowed = device.filters.allowsPublish(topic)
    known = { topic, allowed, generation, subscriptions: -1, recipients: [] }
    link.remember(topicKey, known)
  }
  if (known.subscriptions !== subscriptions.version) {
    known.recipients = recipientsOf(known.topic, subscriptions.match(known.topic))
    known.subscriptions = subscriptions.version
  }
  return known
}

/** MQTT 5 §3.3.2.3.4: an alias with a topic sets it, without one stands for what it was set to. */
function resolveAlias(link: Link, { topicKey, properties }: InboundPublish): string {
  const alias = properties?.topicAlias
  if (alias === undefined) return topicKey
  if (alias === 0 || alias > TOPIC_ALIAS_MAXIMUM) {
    throw new ProtocolViolation(
      'PROTOCOL_ERROR',
      `topic alias ${alias}, at most ${TOPIC_ALIAS_MAXIMUM}`,
      0x94,
    )
  }
  if (topicKey !== '') {
    link.aliases.set(alias, topicKey)
    return topicKey
  }
  const known = link.aliases.get(alias)
  if (known === undefined)
    throw new ProtocolViolation('PROTOCOL_ERROR', `topic alias ${alias} was not set`, 0x82)
  return known
}

interface Refusal {
  code: EventCode
  detail: string | undefined
  closes: boolean
}

function refusalOf(context: SessionContext, known: KnownTopic, packet: InboundPublish): Refusal | undefined {
  const payloadBytes = packet.payload.length
  const level = judgePublish(context.hub(), { qos: packet.qos, retain: packet.retain, payloadBytes })
  if (!level.allowed) {
    // A client that sends what is too large once will do so for ever; the original closed as well.
    return { code: level.code, detail: level.detail, closes: level.code === 'PAYLOAD_TOO_LARGE' }
  }
  if (known.allowed) return undefined
  return { code: 'UNAUTHORIZED_TOPIC', detail: known.topic.slice(0, 200), closes: false }
}

/** A refused message is dropped, told of and acknowledged: the client must not send it again (design §4). */
function refuse(context: SessionContext, link: Link, packet: InboundPublish, refusal: Refusal): void {
  const { code, detail, closes } = refusal
  context.counters.messagesRefused += 1
  const reason = { code, detail, packet: currentDigest(link) }
  // MQTT 5 answers a retain flag or a QoS that the CONNACK excluded by closing [MQTT-3.2.2-12, 3.2.2-14].
  if (closes || (link.version === 5 && code !== 'UNAUTHORIZED_TOPIC')) {
    closeLink(context, link, reason)
    return
  }
  raiseFor(context, link, reason)
  const { qos, packetId } = packet
  // Behind what still awaits the store, so that acknowledgements keep their order.
  link.pipeline.add(NOTHING, () => {
    if (link.phase === 'Open') acknowledge(link, { qos, packetId }, link.version === 5 ? NOT_AUTHORIZED : 0)
  })
}

const NOTHING = { duplicate: false, seqs: [], dropped: [] }

/** Of a session that is stored the store knows; of another the session itself. */
function isRepeated(session: Session, packetId: number): boolean {
  if (session.persistent) return false
  if (session.incoming.has(packetId)) return true
  session.incoming.add(packetId)
  return false
}

function messageOf(topic: string, packet: InboundPublish, now: number): ApplicationMessage {
  const { payload, qos, retain, properties } = packet
  if (properties === undefined) return { topic, payload, qos, retain }
  const { messageExpiryInterval } = properties
  return {
    topic,
    payload,
    qos,
    retain,
    properties: forwarded(properties),
    ...(messageExpiryInterval === undefined ? {} : { expiresAt: now + messageExpiryInterval * 1000 }),
  }
}

function forwarded(properties: PublishProperties): MessageProperties {
  const { topicAlias, messageExpiryInterval, ...rest } = properties
  return rest
}
