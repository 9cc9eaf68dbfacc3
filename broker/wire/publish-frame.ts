/**
 * PUBLISH in and out. Both directions are by hand: they are the whole cost of a broker, and one frame built
 * once serves every subscriber of the same QoS.
 */
import { isUtf8 } from 'node:buffer'
import type { ApplicationMessage } from '../store/store.ts'
import type { FrameReader } from './frame-reader.ts'
import {
  type DeliveryProperties,
  decodeProperties,
  encodeProperties,
  PropertyError,
  type PublishProperties,
} from './publish-properties.ts'

export type ProtocolVersion = 3 | 4 | 5

/** A PUBLISH as it lies in the reader's buffer; `topicKey` is the raw topic as latin-1, cheap to look up. */
export interface InboundPublish {
  qos: 0 | 1 | 2
  retain: boolean
  dup: boolean
  topicKey: string
  /** 0 at QoS 0. */
  packetId: number
  /** A view into the socket's buffer: copy it before keeping it. */
  payload: Buffer
  properties: PublishProperties | undefined
}

/** A packet that breaks the protocol; the link is closed. `code` is the event's. */
export class ProtocolViolation extends Error {
  readonly code: 'PACKET_MALFORMED' | 'INVALID_QOS' | 'PROTOCOL_ERROR'
  /** MQTT 5 DISCONNECT reason code. */
  readonly reasonCode: number
  constructor(code: ProtocolViolation['code'], detail: string, reasonCode = 0x81) {
    super(detail)
    this.code = code
    this.reasonCode = reasonCode
  }
}

/** Reads the reader's current frame as PUBLISH; throws ProtocolViolation. */
export function decodePublish(frame: FrameReader, version: ProtocolVersion): InboundPublish {
  const { buffer, header, bodyEnd } = frame
  let at = frame.bodyStart
  const qos = (header >> 1) & 3
  if (qos === 3) throw new ProtocolViolation('INVALID_QOS', '3')
  if (bodyEnd - at < 2) throw new ProtocolViolation('PACKET_MALFORMED', 'PUBLISH without a topic')
  const topicEnd = at + 2 + buffer.readUInt16BE(at)
  if (topicEnd > bodyEnd) throw new ProtocolViolation('PACKET_MALFORMED', 'PUBLISH topic is cut short')
  const topicKey = buffer.toString('latin1', at + 2, topicEnd)
  at = topicEnd
  let packetId = 0
  if (qos > 0) {
    if (bodyEnd - at < 2)
      throw new ProtocolViolation('PACKET_MALFORMED', 'PUBLISH without a packet identifier')
    packetId = buffer.readUInt16BE(at)
    // [MQTT-2.3.1-1]: zero is no packet identifier.
    if (packetId === 0) throw new ProtocolViolation('PROTOCOL_ERROR', 'packet identifier 0')
    at += 2
  }
  let properties: PublishProperties | undefined
  if (version === 5) {
    const length = readVariableInteger(buffer, at, bodyEnd)
    at = length.next + length.value
    if (at > bodyEnd) throw new ProtocolViolation('PACKET_MALFORMED', 'PUBLISH properties are cut short')
    if (length.value > 0) properties = readProperties(buffer, length.next, at)
  }
  return {
    qos: qos as 0 | 1 | 2,
    retain: (header & 1) === 1,
    dup: (header & 8) !== 0,
    topicKey,
    packetId,
    payload: buffer.subarray(at, bodyEnd),
    properties,
  }
}

function readProperties(buffer: Buffer, start: number, end: number): PublishProperties {
  try {
    return decodeProperties(buffer, start, end)
  } catch (error) {
    if (!(error instanceof PropertyError)) throw error
    const code = error.reasonCode === 0x81 ? 'PACKET_MALFORMED' : 'PROTOCOL_ERROR'
    throw new ProtocolViolation(code, error.message, error.reasonCode)
  }
}

function readVariableInteger(buffer: Buffer, start: number, end: number): { value: number; next: number } {
  let value = 0
  for (let i = 0; i < 4; i++) {
    if (start + i >= end) break
    const byte = buffer[start + i] as number
    value |= (byte & 0x7f) << (7 * i)
    if (byte < 0x80) return { value, next: start + i + 1 }
  }
  throw new ProtocolViolation('PACKET_MALFORMED', 'bad variable byte integer')
}

/** The text of a raw topic, or undefined when it is not UTF-8 ([MQTT-1.5.3-1]). */
export function topicText(topicKey: string): string | undefined {
  const bytes = Buffer.from(topicKey, 'latin1')
  return isUtf8(bytes) ? bytes.toString() : undefined
}

/** A whole PUBLISH. At QoS > 0 the packet identifier stands at `idOffset` and is filled in for each receiver. */
export interface PublishFrame {
  bytes: Buffer
  idOffset: number
}

/** Builds the frame for one kind of receiver. `delivery` only counts at version 5. */
export function encodePublish(
  message: ApplicationMessage,
  shape: { version: ProtocolVersion; qos: 0 | 1 | 2; retain: boolean },
  delivery: DeliveryProperties = {},
): PublishFrame {
  const topicBytes = Buffer.byteLength(message.topic)
  const properties = shape.version === 5 ? encodeProperties(message.properties, delivery) : undefined
  const idBytes = shape.qos > 0 ? 2 : 0
  const remaining = 2 + topicBytes + idBytes + (properties?.length ?? 0) + message.payload.length
  const bytes = Buffer.allocUnsafe(1 + variableIntegerBytes(remaining) + remaining)
  bytes[0] = 0x30 | (shape.qos << 1) | (shape.retain ? 1 : 0)
  let at = 1
  let rest = remaining
  do {
    const digit = rest & 0x7f
    rest >>>= 7
    bytes[at++] = rest > 0 ? digit | 0x80 : digit
  } while (rest > 0)
  bytes.writeUInt16BE(topicBytes, at)
  at += 2
  bytes.write(message.topic, at)
  at += topicBytes
  const idOffset = at
  at += idBytes
  if (properties) {
    properties.copy(bytes, at)
    at += properties.length
  }
  message.payload.copy(bytes, at)
  return { bytes, idOffset }
}

/** The frame with its packet identifier and DUP flag: a copy, because the template serves other receivers too. */
export function withPacketId(frame: PublishFrame, packetId: number, dup: boolean): Buffer {
  const bytes = Buffer.allocUnsafe(frame.bytes.length)
  frame.bytes.copy(bytes)
  bytes.writeUInt16BE(packetId, frame.idOffset)
  if (dup) bytes[0] = (bytes[0] as number) | 0x08
  return bytes
}

function variableIntegerBytes(value: number): number {
  if (value < 0x80) return 1
  if (value < 0x4000) return 2
  return value < 0x200000 ? 3 : 4
}
