import { generate, type Packet, parser } from 'mqtt-packet'
import { describe, expect, it } from 'vitest'
import { decodeAck, encodeAck, PACKET_TYPE, PINGRESP } from './ack-frame.ts'
import { FrameReader } from './frame-reader.ts'
import { type ProtocolVersion, ProtocolViolation } from './publish-frame.ts'

const TYPES = { puback: 4, pubrec: 5, pubrel: 6, pubcomp: 7 } as const
type Command = keyof typeof TYPES
const COMMANDS = Object.keys(TYPES) as Command[]
const IDS = [1, 255, 256, 65_535]

function read(bytes: Buffer, version: ProtocolVersion) {
  const reader = new FrameReader(1_000_000)
  reader.push(bytes)
  expect(reader.next()).toBe('Frame')
  return decodeAck(reader, version)
}

/** What another codec makes of our bytes. */
function parse(bytes: Buffer, protocolVersion: number): Packet {
  const packets: Packet[] = []
  const other = parser({ protocolVersion })
  other.on('packet', (packet: Packet) => packets.push(packet))
  other.on('error', (error: Error) => {
    throw error
  })
  other.parse(bytes)
  expect(packets).toHaveLength(1)
  return packets[0] as Packet
}

describe.each(COMMANDS)('%s', (cmd) => {
  it.each([3, 4, 5] as const)('at level %i is read by another codec as it was written', (version) => {
    for (const messageId of IDS) {
      expect(parse(encodeAck(TYPES[cmd], messageId), version)).toMatchObject({ cmd, messageId })
    }
  })

  it.each([3, 4, 5] as const)('at level %i is read as another codec wrote it', (version) => {
    for (const messageId of IDS) {
      const bytes = generate({ cmd, messageId }, { protocolVersion: version })
      expect(read(bytes, version)).toEqual({ packetId: messageId, reasonCode: 0 })
    }
  })

  it('carries a reason code in MQTT 5, both ways', () => {
    const reasonCode = cmd === 'pubrel' || cmd === 'pubcomp' ? 0x92 : 0x87
    expect(parse(encodeAck(TYPES[cmd], 7, reasonCode), 5)).toMatchObject({ cmd, messageId: 7, reasonCode })
    const bytes = generate({ cmd, messageId: 7, reasonCode }, { protocolVersion: 5 })
    expect(read(bytes, 5)).toEqual({ packetId: 7, reasonCode })
  })

  it('may carry properties in MQTT 5, which are skipped', () => {
    const reasonCode = cmd === 'pubrel' || cmd === 'pubcomp' ? 0x92 : 0x10
    const properties = { reasonString: 'because', userProperties: { a: 'b' } }
    const bytes = generate({ cmd, messageId: 7, reasonCode, properties }, { protocolVersion: 5 })
    expect(bytes.length).toBeGreaterThan(10)
    expect(read(bytes, 5)).toEqual({ packetId: 7, reasonCode })
  })
})

describe('an acknowledgement', () => {
  it.each<[string, number[], ProtocolVersion]>([
    ['that is empty', [0x40, 0], 4],
    ['of half an identifier', [0x40, 1, 0], 4],
    ['of half an identifier, at level 5', [0x40, 1, 0], 5],
    ['with a reason code before MQTT 5', [0x40, 3, 0, 1, 0x10], 4],
    ['with a reason code at level 3', [0x40, 3, 0, 1, 0x10], 3],
  ])('%s is malformed', (_, bytes, version) => {
    expect(() => read(Buffer.from(bytes), version)).toThrow(ProtocolViolation)
    expect(() => read(Buffer.from(bytes), version)).toThrow(/acknowledgement of \d bytes/)
  })

  it('of a release carries the flags that it must have', () => {
    expect(encodeAck(PACKET_TYPE.PUBREL, 1)[0]).toBe(0x62)
    expect(encodeAck(PACKET_TYPE.PUBREL, 1, 0x92)[0]).toBe(0x62)
  })
})

describe('the answer to a ping', () => {
  it('is what another codec expects', () => {
    expect(parse(PINGRESP, 4)).toMatchObject({ cmd: 'pingresp' })
    expect(PINGRESP).toEqual(generate({ cmd: 'pingresp' }))
  })
})
