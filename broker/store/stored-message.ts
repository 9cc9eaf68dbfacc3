import type { ApplicationMessage, MessageProperties } from './store.ts'

/** What a released entry carries in place of its message: only PUBREL may follow, and PUBREL names no topic. */
export const RELEASED_MESSAGE: ApplicationMessage = Object.freeze({
  topic: '',
  payload: Buffer.alloc(0),
  qos: 2,
  retain: false,
})

/**
 * A slice that keeps more than this many unused bytes of its read buffer alive is copied before it is stored.
 * Sockets read 64 KiB at a time: without the copy a thousand queued payloads of ten bytes could hold 64 MB,
 * and a bound in bytes would bound nothing. `Buffer.from` is no way out: its pool is 64 KiB too.
 */
const PINNED_BYTES_ALLOWED = 4096

/** Bytes a message counts for in every bound: topic, payload and properties, without any per-entry overhead. */
export function messageBytes(message: ApplicationMessage): number {
  const bytes = Buffer.byteLength(message.topic) + message.payload.length
  return message.properties === undefined ? bytes : bytes + propertyBytes(message.properties)
}

/** True from the millisecond `expiresAt` on. */
export function isExpired(message: ApplicationMessage, now: number): boolean {
  return message.expiresAt !== undefined && message.expiresAt <= now
}

/** The same message, safe to keep: what is a small slice of a large buffer is copied. */
export function detachMessage(message: ApplicationMessage): ApplicationMessage {
  const { payload, properties } = message
  const correlationData = properties?.correlationData
  if (!pinsMore(payload) && (correlationData === undefined || !pinsMore(correlationData))) return message
  const detached = { ...message, payload: copy(payload) }
  if (correlationData !== undefined) {
    detached.properties = { ...properties, correlationData: copy(correlationData) }
  }
  return detached
}

function pinsMore(slice: Buffer): boolean {
  return slice.buffer.byteLength - slice.length > PINNED_BYTES_ALLOWED
}

/** Copies share a slab while they are small, as a buffer of their own costs ten times as much. */
let slab = Buffer.alloc(0)
let slabUsed = 0

function copy(bytes: Buffer): Buffer {
  const { length } = bytes
  if (length > PINNED_BYTES_ALLOWED / 4) {
    const own = Buffer.allocUnsafeSlow(length)
    own.set(bytes)
    return own
  }
  if (slabUsed + length > slab.length) {
    slab = Buffer.allocUnsafeSlow(PINNED_BYTES_ALLOWED)
    slabUsed = 0
  }
  const place = slab.subarray(slabUsed, slabUsed + length)
  place.set(bytes)
  slabUsed += length
  return place
}

function propertyBytes(properties: MessageProperties): number {
  let bytes = properties.correlationData?.length ?? 0
  if (properties.contentType !== undefined) bytes += Buffer.byteLength(properties.contentType)
  if (properties.responseTopic !== undefined) bytes += Buffer.byteLength(properties.responseTopic)
  for (const [name, value] of properties.userProperties ?? []) {
    bytes += Buffer.byteLength(name) + Buffer.byteLength(value)
  }
  return bytes
}
