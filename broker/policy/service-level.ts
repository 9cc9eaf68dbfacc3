import type { HubRecord } from '../../contract/hub-state.ts'
import { ALLOWED, allow, deny, type Verdict } from './verdict.ts'

/** What a hub's `messaging` and `limits` allow its devices (spec §1.4, `service level: …`). */
export type QoS = 0 | 1 | 2
export type ProtocolVersion = 3 | 4 | 5
export type ServiceLevel = Pick<HubRecord, 'messaging' | 'limits'>

export interface PublishFacts {
  qos: QoS
  retain: boolean
  payloadBytes: number
}

export interface SessionFacts {
  version: ProtocolVersion
  /** Clean session, or clean start in MQTT 5. */
  clean: boolean
  /** MQTT 5 §3.1.2.11.2, seconds; absent: 0. `0xffffffff` means never. */
  sessionExpirySeconds?: number | undefined
}

/** For a PUBLISH and for a will. The size comes first: it is the one that closes the link. */
export function judgePublish({ messaging, limits }: ServiceLevel, publish: PublishFacts): Verdict {
  if (publish.payloadBytes > limits.payloadBytes) {
    return deny('PAYLOAD_TOO_LARGE', `${publish.payloadBytes} bytes, at most ${limits.payloadBytes}`)
  }
  if (publish.retain && !messaging.retained) return deny('RETAINED_FORBIDDEN')
  if (publish.qos > messaging.maxQoS) return deny('PUBLISH_QOS_FORBIDDEN', String(publish.qos))
  return ALLOWED
}

/**
 * The QoS to grant to a subscription that asks for `qos`. MQTT 5 forbids to refuse one for its QoS
 * [MQTT-3.2.2-10], so it is granted what there is; older clients get the refusal of the original service.
 */
export function judgeSubscribe(
  { messaging }: ServiceLevel,
  qos: QoS,
  version: ProtocolVersion,
): Verdict<QoS> {
  if (qos <= messaging.maxQoS) return allow(qos)
  return version === 5 ? allow(messaging.maxQoS) : deny('SUBSCRIBE_QOS_FORBIDDEN', String(qos))
}

/**
 * Seconds that the session outlives its connection, never more than the hub's own bound; 0: it ends with the
 * connection. Tell a MQTT 5 client when that is less than it asked for (§3.2.2.3.2).
 */
export function judgeSession({ messaging }: ServiceLevel, session: SessionFacts): Verdict<number> {
  const asked = expiryAskedFor(session)
  if (asked === 0) return allow(0)
  if (!messaging.persistentSessions) return deny('CLEAN_SESSION_REQUIRED')
  return allow(Math.min(asked, messaging.sessionExpirySeconds))
}

/** Before MQTT 5 a session that is kept has no end of its own. */
function expiryAskedFor({ version, clean, sessionExpirySeconds }: SessionFacts): number {
  if (version === 5) return sessionExpirySeconds ?? 0
  return clean ? 0 : Number.POSITIVE_INFINITY
}
