/** MQTT 3.1.1 frames written by hand, so that the generator costs far less than any broker it measures. */

export const PUBLISH = 3
export const PUBACK = 4
export const PUBREC = 5
export const PUBREL = 6
export const PUBCOMP = 7

export const ACK_LENGTH = 4

/** Where a published payload keeps when it was sent (float64, 0: not sampled) and by whom (uint16). */
export const SENT_AT = 0
export const SENT_BY = 8

export type QoS = 0 | 1 | 2

function text(value: string): Buffer {
  const bytes = Buffer.from(value)
  return Buffer.concat([Buffer.from([bytes.length >> 8, bytes.length & 255]), bytes])
}

function frame(firstByte: number, body: Buffer): Buffer {
  const header = [firstByte]
  let rest = body.length
  do {
    const digit = rest & 127
    rest >>= 7
    header.push(rest > 0 ? digit | 128 : digit)
  } while (rest > 0)
  return Buffer.concat([Buffer.from(header), body])
}

/** Clean session, no keep-alive. */
export function connectFrame(clientId: string): Buffer {
  return frame(0x10, Buffer.concat([text('MQTT'), Buffer.from([4, 2, 0, 0]), text(clientId)]))
}

export function subscribeFrame(filter: string, qos: QoS): Buffer {
  return frame(0x82, Buffer.concat([Buffer.from([0, 1]), text(filter), Buffer.from([qos])]))
}

export interface PublishTemplate {
  bytes: Buffer
  /** Offsets of the packet id (QoS 1 and 2 only) and of the payload. */
  idAt: number
  payloadAt: number
}

/** A PUBLISH to be copied; packet id and payload head are filled in at each copy. */
export function publishTemplate(topic: string, qos: QoS, payloadBytes: number): PublishTemplate {
  const id = Buffer.alloc(qos === 0 ? 0 : 2)
  const bytes = frame(0x30 | (qos << 1), Buffer.concat([text(topic), id, Buffer.alloc(payloadBytes)]))
  const payloadAt = bytes.length - payloadBytes
  return { bytes, idAt: payloadAt - id.length, payloadAt }
}
