/**
 * The properties of an MQTT 5 PUBLISH (§3.3.2.3), by hand because user properties must keep their order
 * across names and because this is on the path of every MQTT 5 message.
 */
import { isUtf8 } from 'node:buffer'
import type { MessageProperties } from '../store/store.ts'

const ID = {
  payloadFormatIndicator: 0x01,
  messageExpiryInterval: 0x02,
  contentType: 0x03,
  responseTopic: 0x08,
  correlationData: 0x09,
  subscriptionIdentifier: 0x0b,
  topicAlias: 0x23,
  userProperty: 0x26,
} as const

/** Bounds the objects one packet can make us hold: without it 4 MiB of user properties become 800,000 pairs. */
const MAX_USER_PROPERTIES = 1000

export interface PublishProperties extends MessageProperties {
  /** Seconds. */
  messageExpiryInterval?: number
  topicAlias?: number
}

/** A reason why the bytes are no property list of a client's PUBLISH. */
export class PropertyError extends Error {
  /** MQTT 5 §2.2.2.2: bytes that can't be read are malformed (0x81), what can but may not be there is 0x82. */
  readonly reasonCode: 0x81 | 0x82
  constructor(detail: string, reasonCode: PropertyError['reasonCode'] = 0x81) {
    super(detail)
    this.reasonCode = reasonCode
  }
}

class Cursor {
  at: number
  readonly buffer: Buffer
  readonly end: number
  constructor(buffer: Buffer, start: number, end: number) {
    this.buffer = buffer
    this.at = start
    this.end = end
  }
  take(bytes: number): number {
    const at = this.at
    if (at + bytes > this.end) throw new PropertyError('a property is cut short')
    this.at = at + bytes
    return at
  }
  bytes(): Buffer {
    const length = this.buffer.readUInt16BE(this.take(2))
    const at = this.take(length)
    return this.buffer.subarray(at, at + length)
  }
  text(): string {
    return decodeText(this.bytes())
  }
  flag(): boolean {
    const byte = this.buffer[this.take(1)] as number
    if (byte > 1) throw new PropertyError(`a flag of ${byte}`, 0x82)
    return byte === 1
  }
}

/** [MQTT-1.5.4-1], [MQTT-1.5.4-2]: well-formed UTF-8 without U+0000. */
function decodeText(bytes: Buffer): string {
  if (!isUtf8(bytes) || bytes.includes(0)) throw new PropertyError('a text property is not valid UTF-8')
  return bytes.toString()
}

/** [MQTT-3.3.2-14]. Subscribers publish to it, so it is one topic and no filter. */
function responseTopic(text: string): string {
  if (text.includes('+') || text.includes('#'))
    throw new PropertyError('a response topic with a wildcard', 0x82)
  return text
}

/** Reads the list in `buffer[start, end)`; throws PropertyError. */
export function decodeProperties(buffer: Buffer, start: number, end: number): PublishProperties {
  const cursor = new Cursor(buffer, start, end)
  const found: PublishProperties & { userProperties?: Array<readonly [string, string]> } = {}
  const seen = new Set<number>()
  while (cursor.at < end) {
    const id = buffer[cursor.take(1)] as number
    if (id !== ID.userProperty) {
      // [MQTT-3.3.2-*]: every other property may appear once.
      if (seen.has(id)) throw new PropertyError(`property ${id} appears twice`, 0x82)
      seen.add(id)
    }
    readProperty(id, cursor, found)
  }
  return found
}

function readProperty(
  id: number,
  cursor: Cursor,
  found: PublishProperties & { userProperties?: Array<readonly [string, string]> },
): void {
  switch (id) {
    case ID.payloadFormatIndicator:
      found.payloadFormatIndicator = cursor.flag()
      return
    case ID.messageExpiryInterval:
      found.messageExpiryInterval = cursor.buffer.readUInt32BE(cursor.take(4))
      return
    case ID.contentType:
      found.contentType = cursor.text()
      return
    case ID.responseTopic:
      found.responseTopic = responseTopic(cursor.text())
      return
    case ID.correlationData:
      found.correlationData = Buffer.from(cursor.bytes())
      return
    case ID.topicAlias:
      found.topicAlias = cursor.buffer.readUInt16BE(cursor.take(2))
      return
    case ID.userProperty: {
      found.userProperties ??= []
      if (found.userProperties.length >= MAX_USER_PROPERTIES)
        throw new PropertyError(`more than ${MAX_USER_PROPERTIES} user properties`, 0x82)
      found.userProperties.push([cursor.text(), cursor.text()])
      return
    }
    case ID.subscriptionIdentifier:
      // [MQTT-3.3.4-6]: only a server sends one.
      throw new PropertyError('a subscription identifier from a client', 0x82)
    default:
      throw new PropertyError(`property ${id} is not allowed in PUBLISH`)
  }
}

/** What differs from one receiver to the next. */
export interface DeliveryProperties {
  /** Seconds that are left. */
  messageExpiryInterval?: number
  subscriptionIds?: readonly number[]
}

/** The property list with its length in front, ready to stand in a PUBLISH. */
export function encodeProperties(
  properties: MessageProperties | undefined,
  delivery: DeliveryProperties,
): Buffer {
  const parts: Buffer[] = []
  if (delivery.messageExpiryInterval !== undefined) {
    const bytes = Buffer.allocUnsafe(5)
    bytes[0] = ID.messageExpiryInterval
    bytes.writeUInt32BE(delivery.messageExpiryInterval, 1)
    parts.push(bytes)
  }
  for (const id of delivery.subscriptionIds ?? []) {
    parts.push(Buffer.from([ID.subscriptionIdentifier]), encodeVariableInteger(id))
  }
  if (properties) encodeMessageProperties(properties, parts)
  const body = Buffer.concat(parts)
  return Buffer.concat([encodeVariableInteger(body.length), body])
}

function encodeMessageProperties(properties: MessageProperties, parts: Buffer[]): void {
  if (properties.payloadFormatIndicator !== undefined) {
    parts.push(Buffer.from([ID.payloadFormatIndicator, properties.payloadFormatIndicator ? 1 : 0]))
  }
  if (properties.contentType !== undefined)
    parts.push(field(ID.contentType, Buffer.from(properties.contentType)))
  if (properties.responseTopic !== undefined) {
    parts.push(field(ID.responseTopic, Buffer.from(properties.responseTopic)))
  }
  if (properties.correlationData !== undefined)
    parts.push(field(ID.correlationData, properties.correlationData))
  for (const [name, value] of properties.userProperties ?? []) {
    parts.push(field(ID.userProperty, Buffer.from(name)), lengthPrefixed(Buffer.from(value)))
  }
}

function field(id: number, value: Buffer): Buffer {
  return Buffer.concat([Buffer.from([id]), lengthPrefixed(value)])
}

function lengthPrefixed(value: Buffer): Buffer {
  const bytes = Buffer.allocUnsafe(2 + value.length)
  bytes.writeUInt16BE(value.length, 0)
  value.copy(bytes, 2)
  return bytes
}

/** MQTT 5 §1.5.5; `value` up to 268,435,455. */
export function encodeVariableInteger(value: number): Buffer {
  const bytes: number[] = []
  let rest = value
  do {
    const digit = rest & 0x7f
    rest >>>= 7
    bytes.push(rest > 0 ? digit | 0x80 : digit)
  } while (rest > 0)
  return Buffer.from(bytes)
}
