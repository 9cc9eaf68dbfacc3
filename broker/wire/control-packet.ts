/** Every packet but PUBLISH and its acknowledgements: rare, so the well-kept codec reads and writes them. */
import { generate, type Packet, parser } from 'mqtt-packet'
import { PACKET_TYPE } from './ack-frame.ts'
import { type ProtocolVersion, ProtocolViolation } from './publish-frame.ts'

/** Reads one whole frame; throws ProtocolViolation. */
export function decodeControlPacket(frame: Buffer, version: ProtocolVersion): Packet {
  let packet: Packet | undefined
  let fault: Error | undefined
  const reader = parser({ protocolVersion: version })
  reader.on('packet', (decoded: Packet) => {
    packet = decoded
  })
  reader.on('error', (error: Error) => {
    fault = error
  })
  try {
    reader.parse(frame)
  } catch (error) {
    // The codec reports most faults as events, but reads past the end of a body with a RangeError.
    fault = error as Error
  }
  if (packet !== undefined && fault === undefined) {
    const cut = cutProperty((packet as { properties?: Record<string, unknown> }).properties)
    if (cut === undefined) return packet
    fault = new Error(`property ${cut} is cut short`)
  }
  throw violation(fault?.message ?? 'the packet is cut short')
}

/** The codec reads a property that ends too early as -1 or null, and says nothing. The name of the first one. */
export function cutProperty(properties: Readonly<Record<string, unknown>> | undefined): string | undefined {
  return Object.entries(properties ?? {}).find(([, value]) => value === -1 || value === null)?.[0]
}

function violation(message: string): ProtocolViolation {
  if (/qos/i.test(message)) return new ProtocolViolation('INVALID_QOS', message)
  return new ProtocolViolation('PACKET_MALFORMED', message)
}

export function encodeControlPacket(packet: Packet, version: ProtocolVersion): Buffer {
  return generate(packet, { protocolVersion: version })
}

const NAMES = new Map<number, string>(Object.entries(PACKET_TYPE).map(([name, type]) => [type, name]))

/** What an event tells of a packet: its header, never its content. */
export function packetDigest(header: number, remainingLength: number): string {
  const name = NAMES.get(header >> 4) ?? `type ${header >> 4}`
  const flag = (bit: number) => String((header & bit) !== 0)
  return `${name}: dup: ${flag(8)} qos: ${(header >> 1) & 3} retain: ${flag(1)} rLength: ${remainingLength}`
}
