import type { EventCode } from '../../contract/hub-event.ts'
import type { DeviceRecord, HubRecord } from '../../contract/hub-state.ts'
import { certificateFault, certificateOf } from './certificate.ts'
import type { LinkFacts } from './link.ts'

/** A live connection, with the records under which it was let in. */
export interface LiveLink {
  link: LinkFacts
  /** Proven by a client certificate (`Identity.mutual`). */
  mutual: boolean
  /** Proven by a token that ends then (`Identity.tokenUntil`). */
  tokenUntil?: number
  admitted: HubView
}

export interface HubView {
  hub: HubRecord
  device: DeviceRecord
}

/** What the state says now; no device: its record is gone. */
export interface CurrentView {
  hub: HubRecord
  device: DeviceRecord | undefined
}

/**
 * Why a live connection may not go on (design §3: closed on every pod within 2 s); undefined: it may. Asked
 * of every link of the hub or device that changed. What relaxes a rule never cuts, nor does a changed message
 * filter: filters are asked per message. Compared with the records at admission, so changes that came in
 * between, or were seen as one, cannot hide.
 */
export function closeReason(live: LiveLink, current: CurrentView, now: number): EventCode | undefined {
  const { hub, device } = current
  if (!hub.enabled) return 'HUB_DISABLED'
  if (device === undefined) return 'DEVICE_DELETED'
  if (device.revoked) return 'DEVICE_REVOKED'
  if (!device.enabled) return 'DEVICE_DISABLED'
  if (live.tokenUntil !== undefined) return tokenReason(live, live.tokenUntil, { hub, device, now })
  return live.mutual ? certificateReason(live, hub, device, now) : insecureReason(live, device)
}

function certificateReason(
  { link, admitted }: LiveLink,
  hub: HubRecord,
  device: DeviceRecord,
  now: number,
): EventCode | undefined {
  const certificate = certificateOf(link)
  if (certificate === undefined) return 'INVALID_DEVICE_CERTIFICATE'
  const fault = certificateFault(certificate, device, hub, now)
  if (fault !== undefined)
    return fault.standing === 'Revoked' ? 'DEVICE_REVOKED' : 'INVALID_DEVICE_CERTIFICATE'
  // OpenSSL judged the chain at the handshake, by the CAs of then. Only a new handshake can judge by others.
  const byChain = device.certificate.source === 'HubCA'
  return byChain && hasLostTrust(admitted.hub, hub) ? 'DEVICE_SECURITY_CHANGED' : undefined
}

/** A CA that was only added takes no trust away, so rotating one by overlap cuts nobody. */
function hasLostTrust(before: HubRecord, after: HubRecord): boolean {
  if (before.deviceTrust.mode !== after.deviceTrust.mode) return true
  const kept = new Set(after.deviceTrust.caCertificates)
  return before.deviceTrust.caCertificates.some((ca) => !kept.has(ca))
}

/** Judged anew only by another CONNECT: what the token was judged by has to be there still. */
function tokenReason(
  { admitted }: LiveLink,
  until: number,
  { hub, device, now }: { hub: HubRecord; device: DeviceRecord; now: number },
): EventCode | undefined {
  if (until <= now) return 'SERVICE_TOKEN_REFUSED'
  const [before, after] = [admitted.hub.tokenIssuer, hub.tokenIssuer]
  const kids = new Set(after?.keys.map(({ kid }) => kid))
  const isSame =
    before !== undefined &&
    before.issuer === after?.issuer &&
    before.audience === after.audience &&
    before.keys.every(({ kid }) => kids.has(kid)) &&
    device.serviceAccount === admitted.device.serviceAccount
  return isSame ? undefined : 'DEVICE_SECURITY_CHANGED'
}

function insecureReason({ admitted }: LiveLink, device: DeviceRecord): EventCode | undefined {
  if (!device.allowInsecure) return 'DEVICE_SECURITY_CHANGED'
  const { passwordVerifier } = device
  const proven = passwordVerifier === undefined || passwordVerifier === admitted.device.passwordVerifier
  return proven ? undefined : 'DEVICE_SECURITY_CHANGED'
}

/**
 * The connections of one device that have to go: none while it may have several, else all but the newest
 * (`CONNECTION_REPLACED`), as if they had come one after another under the rule.
 */
export function surplusLinks<T extends { connectedAt: number }>(
  device: DeviceRecord,
  links: readonly T[],
): T[] {
  if (device.allowMultipleConnections) return []
  return [...links].sort((a, b) => a.connectedAt - b.connectedAt).slice(0, -1)
}

/** MQTT 5 §3.14.2.1: what the DISCONNECT says before a link is closed; older clients see it close. */
const DISCONNECT_CODES: Partial<Record<EventCode, number>> = {
  PACKET_MALFORMED: 0x81,
  INVALID_QOS: 0x81,
  UNKNOWN_MESSAGE_TYPE: 0x81,
  PROTOCOL_ERROR: 0x82,
  EMPTY_TOPIC: 0x90,
  INVALID_TOPIC: 0x90,
  PACKET_TOO_LARGE: 0x95,
  PAYLOAD_TOO_LARGE: 0x95,
  KEEPALIVE_TIMEOUT: 0x8d,
  CONNECTION_REPLACED: 0x8e,
  RATE_LIMITED: 0x96,
  SLOW_CONSUMER: 0x97,
  QUEUE_OVERFLOW: 0x97,
  RETAINED_FORBIDDEN: 0x9a,
  PUBLISH_QOS_FORBIDDEN: 0x9b,
  INVALID_DEVICE_CERTIFICATE: 0x87,
  DEVICE_SECURITY_CHANGED: 0x87,
  SERVICE_TOKEN_REFUSED: 0x87,
  UNAUTHORIZED_TOPIC: 0x87,
  DEVICE_DELETED: 0x98,
  DEVICE_DISABLED: 0x98,
  DEVICE_REVOKED: 0x98,
  HUB_DISABLED: 0x98,
  HUB_DELETED: 0x98,
}

const UNSPECIFIED_ERROR = 0x80

export function disconnectCode(code: EventCode): number {
  return DISCONNECT_CODES[code] ?? UNSPECIFIED_ERROR
}
