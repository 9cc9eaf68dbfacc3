import type { IConnackPacket } from 'mqtt-packet'
import type { EventCode } from '../../contract/hub-event.ts'
import type { HubRecord } from '../../contract/hub-state.ts'
import { connackCode } from '../policy/connack.ts'
import { encodeControlPacket } from '../wire/control-packet.ts'
import type { ProtocolVersion } from '../wire/publish-frame.ts'
import { TOPIC_ALIAS_MAXIMUM } from './on-publish.ts'

/** Topic, properties and header of a PUBLISH on top of its payload. */
const PUBLISH_OVERHEAD_BYTES = 192 * 1024

/** The largest packet a client of the hub may send. */
export const maximumPacketBytes = (hub: HubRecord): number => hub.limits.payloadBytes + PUBLISH_OVERHEAD_BYTES

export interface AcceptedFacts {
  version: ProtocolVersion
  sessionPresent: boolean
  /** MQTT 5: told when the client brought no id. */
  assignedClientId: string | undefined
  /** MQTT 5: told when it is not what the client asked for, seconds. */
  sessionExpirySeconds: number | undefined
}

export function acceptingConnack(facts: AcceptedFacts, hub: HubRecord): Buffer {
  const { version, sessionPresent } = facts
  if (version < 5) {
    // MQTT 3.1 has no session present flag.
    return encodeControlPacket(
      { cmd: 'connack', returnCode: 0, sessionPresent: sessionPresent && version === 4 },
      version,
    )
  }
  return encodeControlPacket(
    { cmd: 'connack', reasonCode: 0, sessionPresent, properties: properties(facts, hub) },
    version,
  )
}

/** What differs from what a client may assume (MQTT 5 §3.2.2.3). */
function properties(facts: AcceptedFacts, hub: HubRecord): NonNullable<IConnackPacket['properties']> {
  const { maxQoS, retained } = hub.messaging
  return {
    maximumPacketSize: maximumPacketBytes(hub),
    topicAliasMaximum: TOPIC_ALIAS_MAXIMUM,
    ...(maxQoS < 2 ? { maximumQoS: maxQoS } : {}),
    ...(retained ? {} : { retainAvailable: false }),
    ...(facts.assignedClientId === undefined ? {} : { assignedClientIdentifier: facts.assignedClientId }),
    ...(facts.sessionExpirySeconds === undefined
      ? {}
      : { sessionExpiryInterval: facts.sessionExpirySeconds }),
  }
}

export function refusingConnack(code: EventCode, version: ProtocolVersion): Buffer {
  const { v3, v5 } = connackCode(code)
  return version === 5
    ? encodeControlPacket({ cmd: 'connack', reasonCode: v5, sessionPresent: false }, 5)
    : encodeControlPacket({ cmd: 'connack', returnCode: v3, sessionPresent: false }, version)
}
