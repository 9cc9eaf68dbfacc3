import { decodeAck, encodeAck, PACKET_TYPE } from '../wire/ack-frame.ts'
import type { SessionContext } from './context.ts'
import type { Link } from './link.ts'

const PACKET_ID_NOT_FOUND = 0x92

/** PUBREL: the packet id of a QoS 2 message is free again, durably so before PUBCOMP says it. */
export function onPubrel(context: SessionContext, link: Link): void {
  const { session } = link
  if (session === undefined) return
  const { packetId } = decodeAck(link.reader, link.version)
  if (!session.persistent) {
    const known = session.incoming.delete(packetId)
    link.send(encodeAck(PACKET_TYPE.PUBCOMP, packetId, known || link.version < 5 ? 0 : PACKET_ID_NOT_FOUND))
    return
  }
  context.store.forgetIncoming(session.key, packetId).then(
    () => {
      if (link.phase === 'Open') link.send(encodeAck(PACKET_TYPE.PUBCOMP, packetId))
    },
    (error: unknown) => {
      // No PUBCOMP: the client repeats its PUBREL on its next link.
      context.counters.storeFaults += 1
      context.logger.error({ err: error }, 'a packet id could not be freed')
    },
  )
}
