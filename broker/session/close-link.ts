import type { EventCode } from '../../contract/hub-event.ts'
import { disconnectCode } from '../policy/disconnects.ts'
import { encodeControlPacket, packetDigest } from '../wire/control-packet.ts'
import type { SessionContext } from './context.ts'
import type { Link } from './link.ts'

/** Why a link is closed by the broker, and what the event and the client are told. */
export interface CloseReason {
  code: EventCode
  detail?: string | undefined
  /** Digest of the packet that caused it. */
  packet?: string | undefined
  /** MQTT 5 reason code; by default what the code stands for. */
  reasonCode?: number | undefined
}

/** Tells the event, tells an MQTT 5 client why (or whoever it is, by `lastFrame`), and closes. */
export function closeLink(
  context: SessionContext,
  link: Link,
  reason: CloseReason,
  lastFrame?: Buffer,
): void {
  if (link.phase === 'Closed') return
  raiseFor(context, link, reason)
  link.close(link.phase === 'Open' ? disconnectFrame(link, reason) : lastFrame)
}

/** Closes without a word: the client does not read what is sent. */
export function cutLink(context: SessionContext, link: Link, reason: CloseReason): void {
  if (link.phase === 'Closed') return
  raiseFor(context, link, reason)
  link.cut()
}

/** An event about the hub, about the device of a link (or the one it claimed to be), or about nobody known. */
export function raiseFor(
  context: SessionContext,
  link: Link,
  reason: CloseReason,
  claimedDeviceId?: string,
): void {
  const { code, detail, packet } = reason
  const ofHub = code.startsWith('HUB_')
  context.raise({
    code,
    objectType: ofHub ? 'hub' : 'device',
    objectId: ofHub ? context.hub().uid : (link.device?.id ?? claimedDeviceId ?? 'unknown'),
    ...(detail === undefined ? {} : { detail }),
    ...(packet === undefined ? {} : { packet }),
    extra: { 'source-address': link.facts.remoteAddress },
  })
}

/** Digest of the packet that the link's reader stands on. */
export function currentDigest({ reader }: Link): string {
  return packetDigest(reader.header, reader.bodyEnd - reader.bodyStart)
}

/** Before MQTT 5 a server can only close [MQTT-3.14]. */
function disconnectFrame(link: Link, { code, reasonCode }: CloseReason): Buffer | undefined {
  if (link.version < 5) return undefined
  return encodeControlPacket({ cmd: 'disconnect', reasonCode: reasonCode ?? disconnectCode(code) }, 5)
}
