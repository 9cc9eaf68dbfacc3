import type { IUnsubscribePacket } from 'mqtt-packet'
import { decodeControlPacket, encodeControlPacket } from '../wire/control-packet.ts'
import { requireContent } from '../wire/require-content.ts'
import type { SessionContext } from './context.ts'
import type { Link } from './link.ts'

const NO_SUBSCRIPTION_EXISTED = 0x11

/** UNSUBSCRIBE: ends at once, also what is on its way stays on its way [MQTT-3.10.4-3]. */
export function onUnsubscribe(context: SessionContext, link: Link): void {
  const { session, reader } = link
  if (session === undefined) return
  const frame = reader.buffer.subarray(reader.frameStart, reader.bodyEnd)
  const packet = decodeControlPacket(frame, link.version) as IUnsubscribePacket
  requireContent(packet.messageId, packet.unsubscriptions.length)
  const granted = packet.unsubscriptions.map((filter) =>
    context.sessions.unsubscribe(session, filter) ? 0 : NO_SUBSCRIPTION_EXISTED,
  )
  const unsuback = encodeControlPacket(
    { cmd: 'unsuback', messageId: packet.messageId ?? 0, granted },
    link.version,
  )
  if (!session.persistent) {
    link.send(unsuback)
    return
  }
  link.hold()
  context.store
    .putSession(session.record())
    .then(
      () => {
        if (link.phase === 'Open') link.send(unsuback)
      },
      (error: unknown) => {
        context.counters.storeFaults += 1
        context.logger.error({ err: error }, 'the end of a subscription could not be stored')
        link.close()
      },
    )
    .finally(() => link.release())
}
