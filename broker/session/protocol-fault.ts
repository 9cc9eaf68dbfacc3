import type { EventCode } from '../../contract/hub-event.ts'
import { PACKET_TYPE } from '../wire/ack-frame.ts'
import type { FrameReader } from '../wire/frame-reader.ts'
import type { ProtocolVersion } from '../wire/publish-frame.ts'

export interface ProtocolFault {
  code: EventCode
  detail: string
  /** The version in which the client may understand the answer. */
  version: ProtocolVersion
}

/** A map: the name comes from the client, and on an object `constructor` would be found. */
const LEVELS = new Map<string, readonly number[]>([
  ['MQTT', [4, 5]],
  ['MQIsdp', [3]],
])

/** Why the first packet of a link cannot be a CONNECT we speak; its other fields are not looked at. */
export function protocolFault({
  buffer,
  header,
  bodyStart,
  bodyEnd,
}: FrameReader): ProtocolFault | undefined {
  if (header >> 4 !== PACKET_TYPE.CONNECT) {
    // [MQTT-3.1.0-1]
    return { code: 'PROTOCOL_ERROR', detail: 'the first packet is not a CONNECT', version: 4 }
  }
  const nameEnd = bodyEnd - bodyStart < 2 ? bodyEnd : bodyStart + 2 + buffer.readUInt16BE(bodyStart)
  if ((header & 0x0f) !== 0 || nameEnd >= bodyEnd) {
    return { code: 'PACKET_MALFORMED', detail: 'CONNECT is cut short or carries flags', version: 4 }
  }
  const name = buffer.toString('latin1', bodyStart + 2, Math.min(nameEnd, bodyStart + 2 + 16))
  const level = buffer[nameEnd] as number
  if (LEVELS.get(name)?.includes(level) === true) return undefined
  const known = LEVELS.has(name)
  return {
    code: 'UNSUPPORTED_PROTOCOL',
    detail: known ? String(level) : 'unknown protocol name',
    // [MQTT-3.1.2-2]: a server may answer in its highest version; a client above it can read that.
    version: level > 5 ? 5 : 4,
  }
}
