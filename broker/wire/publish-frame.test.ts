import fc from 'fast-check'
import { generate, type IPublishPacket, parser } from 'mqtt-packet'
import { describe, expect, it } from 'vitest'
import { FrameReader } from './frame-reader.ts'
import {
  decodePublish,
  encodePublish,
  type InboundPublish,
  type ProtocolVersion,
  ProtocolViolation,
  topicText,
  withPacketId,
} from './publish-frame.ts'
import { encodeVariableInteger } from './publish-properties.ts'

const SEED = 20_260_303
const VERSIONS = [3, 4, 5] as const

function read(bytes: Buffer, version: ProtocolVersion): InboundPublish {
  const reader = new FrameReader(300_000_000)
  reader.push(bytes)
  expect(reader.next()).toBe('Frame')
  return decodePublish(reader, version)
}

/** What another codec makes of our bytes. */
function parse(bytes: Buffer, protocolVersion: number): IPublishPacket {
  const packets: IPublishPacket[] = []
  const other = parser({ protocolVersion })
  other.on('packet', (packet) => packets.push(packet as IPublishPacket))
  other.on('error', (error: Error) => {
    throw error
  })
  other.parse(bytes)
  expect(packets).toHaveLength(1)
  return packets[0] as IPublishPacket
}

const topic = fc
  .string({ unit: 'binary', minLength: 1, maxLength: 60 })
  .filter((value) => !/[\0+#]/.test(value))
const message = fc.record({
  topic,
  payload: fc.uint8Array({ maxLength: 1_000 }).map((bytes) => Buffer.from(bytes)),
  qos: fc.constantFrom(0 as const, 1 as const, 2 as const),
  retain: fc.boolean(),
  dup: fc.boolean(),
  packetId: fc.integer({ min: 1, max: 65_535 }),
})

describe.each(VERSIONS)('a PUBLISH at level %i', (version) => {
  it('is read as another codec wrote it', () => {
    fc.assert(
      fc.property(message, ({ packetId, ...given }) => {
        const dup = given.qos > 0 && given.dup
        const packet: IPublishPacket = { cmd: 'publish', ...given, dup, messageId: packetId }
        const seen = read(generate(packet, { protocolVersion: version }), version)
        expect(topicText(seen.topicKey)).toBe(given.topic)
        expect(seen).toMatchObject({
          qos: given.qos,
          retain: given.retain,
          dup,
          packetId: given.qos === 0 ? 0 : packetId,
        })
        expect(seen.payload.equals(given.payload)).toBe(true)
        expect(seen.properties).toBeUndefined()
      }),
      { seed: SEED, numRuns: 1_000 },
    )
  })

  it('is read by another codec as it was written', () => {
    fc.assert(
      fc.property(message, ({ packetId, dup, qos, retain, ...given }) => {
        const frame = encodePublish({ ...given, qos: 2, retain: !retain }, { version, qos, retain })
        const bytes = qos === 0 ? frame.bytes : withPacketId(frame, packetId, dup)
        const seen = parse(bytes, version)
        expect(seen).toMatchObject({ cmd: 'publish', topic: given.topic, qos, retain, dup: qos > 0 && dup })
        expect(seen.messageId).toBe(qos === 0 ? undefined : packetId)
        expect(given.payload.equals(seen.payload as Buffer)).toBe(true)
      }),
      { seed: SEED, numRuns: 1_000 },
    )
  })

  it('is one template for many receivers: a copy gets the identifier, the template stays', () => {
    const { bytes, idOffset } = encodePublish(
      { topic: 'a/b', payload: Buffer.from('x'), qos: 1, retain: false },
      { version, qos: 1, retain: false },
    )
    const template = Buffer.from(bytes)
    const copies = [1, 256, 65_535].map((id, i) => withPacketId({ bytes, idOffset }, id, i > 0))
    expect(bytes).toEqual(template)
    expect(copies.map((copy) => parse(copy, version)).map(({ messageId, dup }) => [messageId, dup])).toEqual([
      [1, false],
      [256, true],
      [65_535, true],
    ])
  })

  it.each([0, 120, 125, 126, 127, 128, 16_375, 16_380, 16_384, 2_097_140, 2_097_152])(
    'with %i bytes of payload says its length rightly',
    (length) => {
      const payload = Buffer.alloc(length, 9)
      const shape = { version, qos: 0 as const, retain: false }
      const { bytes } = encodePublish({ topic: 'topic', payload, qos: 0, retain: false }, shape)
      expect(payload.equals(read(bytes, version).payload)).toBe(true)
      expect(payload.equals(parse(bytes, version).payload as Buffer)).toBe(true)
    },
  )

  it('that is cut anywhere is refused, and nothing behind it is read', () => {
    const properties = { contentType: 'text', userProperties: { a: 'b' }, correlationData: Buffer.from('c') }
    const whole = generate(
      {
        cmd: 'publish',
        topic: 'some/topic',
        payload: '',
        qos: 1,
        messageId: 7,
        dup: false,
        retain: false,
        ...(version === 5 ? { properties } : {}),
      },
      { protocolVersion: version },
    )
    for (let length = 0; length < whole.length - 2; length++) {
      const cut = Buffer.concat([Buffer.from([0x32, length]), whole.subarray(2, 2 + length)])
      const reader = new FrameReader(1_000)
      reader.push(Buffer.concat([cut, Buffer.alloc(100, 1)]))
      expect(reader.next()).toBe('Frame')
      expect(() => decodePublish(reader, version)).toThrow(ProtocolViolation)
    }
  })

  it('of any bytes is read or refused, never anything else', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 15 }), fc.uint8Array({ maxLength: 60 }), (flags, bytes) => {
        const body = Buffer.from(bytes)
        // A short topic first, or random lengths would hide the rest of the packet.
        if (body.length > 2) body.writeUInt16BE((body[1] as number) % body.length)
        const frame = Buffer.concat([Buffer.from([0x30 | flags]), encodeVariableInteger(body.length), body])
        try {
          const { payload } = read(frame, version)
          expect(payload.length).toBeLessThanOrEqual(body.length - 2)
        } catch (error) {
          expect(error).toBeInstanceOf(ProtocolViolation)
        }
      }),
      { seed: SEED, numRuns: 5_000 },
    )
  })
})

describe('an MQTT 5 PUBLISH', () => {
  const given = {
    topic: 'a',
    payload: Buffer.from('payload'),
    qos: 1 as const,
    retain: false,
    properties: {
      contentType: 'text',
      userProperties: [
        ['b', '1'],
        ['a', '2'],
        ['b', '3'],
      ] as const,
    },
  }

  it('carries its properties, and what each receiver adds', () => {
    const shape = { version: 5 as const, qos: 1 as const, retain: true }
    const delivery = { messageExpiryInterval: 60, subscriptionIds: [5, 300] }
    const bytes = withPacketId(encodePublish(given, shape, delivery), 9, false)
    expect(parse(bytes, 5)).toMatchObject({
      topic: 'a',
      messageId: 9,
      retain: true,
      properties: {
        contentType: 'text',
        messageExpiryInterval: 60,
        subscriptionIdentifier: [5, 300],
        userProperties: { b: ['1', '3'], a: '2' },
      },
    })
    expect(parse(bytes, 5).payload.toString()).toBe('payload')
  })

  it('loses its properties on the way to an older client', () => {
    const shape = { version: 4 as const, qos: 0 as const, retain: false }
    const { bytes } = encodePublish(given, shape, { messageExpiryInterval: 60 })
    expect(parse(bytes, 4).payload.toString()).toBe('payload')
  })

  it('may have an empty topic, for an alias', () => {
    const bytes = Buffer.from([0x30, 7, 0, 0, 3, 0x23, 0, 5, 0x78])
    expect(read(bytes, 5)).toMatchObject({ topicKey: '', properties: { topicAlias: 5 } })
  })

  it.each<[string, number[], string, number]>([
    ['no properties where their length has to be', [0, 1, 97], 'PACKET_MALFORMED', 0x81],
    ['a length of properties without end', [0, 1, 97, 0x80, 0x80, 0x80, 0x80, 1], 'PACKET_MALFORMED', 0x81],
    ['a length of properties beyond the packet', [0, 1, 97, 9, 1, 0], 'PACKET_MALFORMED', 0x81],
    ['a property that is cut short', [0, 1, 97, 2, 0x23, 0], 'PACKET_MALFORMED', 0x81],
    ['a property twice', [0, 1, 97, 4, 1, 0, 1, 0], 'PROTOCOL_ERROR', 0x82],
  ])('with %s is refused', (_, body, code, reasonCode) => {
    const attempt = () => read(Buffer.from([0x30, body.length, ...body]), 5)
    expect(attempt).toThrow(ProtocolViolation)
    expect(attempt).toThrow(expect.objectContaining({ code, reasonCode }))
  })
})

describe('a PUBLISH', () => {
  it.each<[string, number[], string]>([
    ['at QoS 3', [0x36, 3, 0, 1, 97], 'INVALID_QOS'],
    ['without a topic', [0x30, 0], 'PACKET_MALFORMED'],
    ['with half a length of its topic', [0x30, 1, 0], 'PACKET_MALFORMED'],
    ['with a topic beyond its end', [0x30, 3, 0, 2, 97], 'PACKET_MALFORMED'],
    ['without a packet identifier', [0x32, 3, 0, 1, 97], 'PACKET_MALFORMED'],
    ['with half a packet identifier', [0x32, 4, 0, 1, 97, 1], 'PACKET_MALFORMED'],
    ['with packet identifier 0', [0x32, 5, 0, 1, 97, 0, 0], 'PROTOCOL_ERROR'],
  ])('%s is refused', (_, bytes, code) => {
    expect(() => read(Buffer.from(bytes), 4)).toThrow(expect.objectContaining({ code }))
  })

  it('may have an empty payload', () => {
    expect(read(Buffer.from([0x31, 3, 0, 1, 97]), 4)).toMatchObject({ topicKey: 'a', retain: true })
    expect(read(Buffer.from([0x31, 3, 0, 1, 97]), 4).payload).toHaveLength(0)
  })

  it('keeps bytes of its topic that are no UTF-8 apart, so that they can be refused', () => {
    const { topicKey } = read(Buffer.from([0x30, 4, 0, 2, 0x61, 0xff]), 4)
    expect(topicText(topicKey)).toBeUndefined()
    expect(topicText(Buffer.from('ä/日本/🌡').toString('latin1'))).toBe('ä/日本/🌡')
    // Half of a character that has four bytes.
    expect(topicText('\xf0\x9f\x98')).toBeUndefined()
  })

  it('takes the longest topic there is', () => {
    const long = 'x'.repeat(65_535)
    const shape = { version: 4 as const, qos: 0 as const, retain: false }
    const { bytes } = encodePublish({ topic: long, payload: Buffer.alloc(0), qos: 0, retain: false }, shape)
    expect(read(bytes, 4).topicKey).toBe(long)
  })
})
