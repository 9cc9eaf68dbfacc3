import type { IDisconnectPacket } from 'mqtt-packet'
import { judgeSession } from '../policy/service-level.ts'
import { decodeAck, PACKET_TYPE, PINGRESP } from '../wire/ack-frame.ts'
import { decodeControlPacket } from '../wire/control-packet.ts'
import { ProtocolViolation } from '../wire/publish-frame.ts'
import { closeLink, currentDigest } from './close-link.ts'
import type { SessionContext } from './context.ts'
import type { Link } from './link.ts'
import { onPublish } from './on-publish.ts'
import { onPubrel } from './on-pubrel.ts'
import { onSubscribe } from './on-subscribe.ts'
import { onUnsubscribe } from './on-unsubscribe.ts'

const DISCONNECT_WITH_WILL = 0x04
/** [MQTT-2.2.2-2]: flags that every packet but PUBLISH must have. */
const FLAGS = [0, 0, 0, -1, 0, 0, 2, 0, 2, 0, 2, 0, 0, 0, 0, 0]

/**
 * One packet of an open link. What breaks the protocol closes it; so does a fault of ours, for one client must
 * not be able to end the connections of all others.
 */
export function dispatch(context: SessionContext, link: Link): void {
  try {
    handle(context, link)
  } catch (error) {
    if (!(error instanceof ProtocolViolation)) {
      context.logger.error({ err: error, packet: currentDigest(link) }, 'a packet could not be handled')
      closeLink(context, link, {
        code: 'PROTOCOL_ERROR',
        detail: 'it could not be handled',
        reasonCode: 0x80,
      })
      return
    }
    const { code, reasonCode, message } = error
    closeLink(context, link, { code, detail: message, packet: currentDigest(link), reasonCode })
  }
}

function handle(context: SessionContext, link: Link): void {
  const { reader, session } = link
  const type = reader.header >> 4
  const flags = FLAGS[type]
  if (flags !== -1 && (reader.header & 0x0f) !== flags) {
    throw new ProtocolViolation('PACKET_MALFORMED', `reserved flags ${reader.header & 0x0f}`)
  }
  switch (type) {
    case PACKET_TYPE.PUBLISH:
      onPublish(context, link)
      return
    case PACKET_TYPE.PUBACK:
      session?.queue.acknowledge(decodeAck(reader, link.version).packetId)
      return
    case PACKET_TYPE.PUBREC: {
      const { packetId, reasonCode } = decodeAck(reader, link.version)
      session?.queue.received(packetId, reasonCode)
      return
    }
    case PACKET_TYPE.PUBREL:
      onPubrel(context, link)
      return
    case PACKET_TYPE.PUBCOMP:
      session?.queue.completed(decodeAck(reader, link.version).packetId)
      return
    case PACKET_TYPE.SUBSCRIBE:
      onSubscribe(context, link)
      return
    case PACKET_TYPE.UNSUBSCRIBE:
      onUnsubscribe(context, link)
      return
    case PACKET_TYPE.PINGREQ:
      link.send(PINGRESP)
      return
    case PACKET_TYPE.DISCONNECT:
      onDisconnect(context, link)
      return
    case PACKET_TYPE.CONNECT:
      // [MQTT-3.1.0-2]
      throw new ProtocolViolation('PROTOCOL_ERROR', 'a second CONNECT', 0x82)
    default:
      closeLink(context, link, {
        code: 'UNKNOWN_MESSAGE_TYPE',
        detail: String(type),
        packet: currentDigest(link),
      })
  }
}

/** The client says goodbye; an MQTT 5 one may ask for its will all the same, or change the session's life. */
function onDisconnect(context: SessionContext, link: Link): void {
  const { reader, session } = link
  const frame = reader.buffer.subarray(reader.frameStart, reader.bodyEnd)
  const packet = decodeControlPacket(frame, link.version) as IDisconnectPacket
  link.saidGoodbye = packet.reasonCode !== DISCONNECT_WITH_WILL
  const asked = packet.properties?.sessionExpiryInterval
  // [MQTT-3.14.2-2]: a session that was to end with the link cannot be kept any more.
  if (asked !== undefined && session !== undefined && session.expirySeconds > 0) {
    const expiry = judgeSession(context.hub(), { version: 5, clean: false, sessionExpirySeconds: asked })
    if (expiry.allowed) session.expirySeconds = expiry.value
  }
  link.close()
}
