/** PUBACK, PUBREC, PUBREL and PUBCOMP: two bytes of body, or a little more in MQTT 5. */
import type { FrameReader } from './frame-reader.ts'
import { type ProtocolVersion, ProtocolViolation } from './publish-frame.ts'

export const PACKET_TYPE = {
  CONNECT: 1,
  CONNACK: 2,
  PUBLISH: 3,
  PUBACK: 4,
  PUBREC: 5,
  PUBREL: 6,
  PUBCOMP: 7,
  SUBSCRIBE: 8,
  SUBACK: 9,
  UNSUBSCRIBE: 10,
  UNSUBACK: 11,
  PINGREQ: 12,
  PINGRESP: 13,
  DISCONNECT: 14,
  AUTH: 15,
} as const

export const PINGRESP = Buffer.from([0xd0, 0])

export interface Ack {
  packetId: number
  /** MQTT 5; 0 (success) before. */
  reasonCode: number
}

/** Reads the reader's current frame as an acknowledgement; throws ProtocolViolation. */
export function decodeAck(frame: FrameReader, version: ProtocolVersion): Ack {
  const { buffer, bodyStart, bodyEnd } = frame
  const length = bodyEnd - bodyStart
  if (length < 2 || (version < 5 && length !== 2)) {
    throw new ProtocolViolation('PACKET_MALFORMED', `acknowledgement of ${length} bytes`)
  }
  return {
    packetId: buffer.readUInt16BE(bodyStart),
    reasonCode: length > 2 ? (buffer[bodyStart + 2] as number) : 0,
  }
}

/** `type` is PUBACK, PUBREC, PUBREL or PUBCOMP; a non-zero reason code is only sent in MQTT 5. */
export function encodeAck(type: number, packetId: number, reasonCode = 0): Buffer {
  // [MQTT-3.6.1-1]: PUBREL carries the reserved flags 0010.
  const header = (type << 4) | (type === PACKET_TYPE.PUBREL ? 2 : 0)
  if (reasonCode === 0) return Buffer.from([header, 2, packetId >> 8, packetId & 0xff])
  return Buffer.from([header, 3, packetId >> 8, packetId & 0xff, reasonCode])
}
