import fc from 'fast-check'
import { generate, type IPublishPacket, parser } from 'mqtt-packet'
import { describe, expect, it } from 'vitest'
import {
  decodeProperties,
  encodeProperties,
  encodeVariableInteger,
  PropertyError,
  type PublishProperties,
} from './publish-properties.ts'

const SEED = 20_260_302

const text = (value: string | Buffer): Buffer => {
  const bytes = Buffer.from(value as string)
  return Buffer.concat([Buffer.from([bytes.length >> 8, bytes.length & 255]), bytes])
}
const property = (id: number, ...parts: Buffer[]) => Buffer.concat([Buffer.from([id]), ...parts])
const decode = (...parts: Buffer[]) => {
  const bytes = Buffer.concat(parts)
  return decodeProperties(bytes, 0, bytes.length)
}

/** The list without its length. */
function body(encoded: Buffer): Buffer {
  let at = 0
  while ((encoded[at] as number) >= 128) at += 1
  return encoded.subarray(at + 1)
}

const wellFormed = fc.string({ unit: 'binary', maxLength: 40 }).filter((value) => !value.includes('\0'))
const recordOf = (userValue: fc.Arbitrary<string>) =>
  fc.record(
    {
      payloadFormatIndicator: fc.boolean(),
      contentType: wellFormed,
      responseTopic: wellFormed.filter((value) => !/[+#]/.test(value)),
      correlationData: fc.uint8Array({ maxLength: 300 }).map((bytes) => Buffer.from(bytes)),
      userProperties: fc.array(fc.tuple(wellFormed, userValue), { minLength: 1, maxLength: 10 }),
    },
    { requiredKeys: [] },
  )
const properties = recordOf(wellFormed)
/** The other codec loses a user property of empty value when another of its name follows. */
const comparable = recordOf(wellFormed.filter((value) => value !== ''))

describe('the properties of a PUBLISH', () => {
  it('are read as they were written', () => {
    const expiry = fc.option(fc.nat(0xffff_ffff), { nil: undefined })
    fc.assert(
      fc.property(properties, expiry, (given, messageExpiryInterval) => {
        const delivery = messageExpiryInterval === undefined ? {} : { messageExpiryInterval }
        const list = body(encodeProperties(given, delivery))
        expect(decodeProperties(list, 0, list.length)).toEqual({ ...given, ...delivery })
      }),
      { seed: SEED, numRuns: 1_000 },
    )
  })

  it('are read by another codec as they were written', () => {
    fc.assert(
      fc.property(comparable, fc.nat(0xffff_ffff), (given, messageExpiryInterval) => {
        const list = encodeProperties(given, { messageExpiryInterval, subscriptionIds: [1, 268_435_455] })
        const { userProperties, ...others } = given
        const { userProperties: seenUser, ...seen } = parse(list)
        expect(seen).toEqual({
          ...others,
          messageExpiryInterval,
          subscriptionIdentifier: [1, 268_435_455],
        })
        expect(byName(seenUser)).toEqual(grouped(userProperties))
      }),
      { seed: SEED, numRuns: 1_000 },
    )
  })

  it('are read as another codec wrote them', () => {
    fc.assert(
      fc.property(comparable, fc.integer({ min: 1, max: 65_535 }), (given, topicAlias) => {
        const { userProperties, ...others } = given
        const packet: IPublishPacket = {
          cmd: 'publish',
          topic: 't',
          payload: '',
          qos: 0,
          dup: false,
          retain: false,
          properties: {
            ...others,
            topicAlias,
            ...(userProperties === undefined ? {} : { userProperties: grouped(userProperties) }),
          },
        }
        const bytes = generate(packet, { protocolVersion: 5 })
        // Header, length, topic; then the list with its own length.
        const list = body(bytes.subarray(1 + lengthBytes(bytes.subarray(1)) + 3))
        const { userProperties: seenUser, ...seen } = decodeProperties(list, 0, list.length)
        expect(seen).toEqual({ ...others, topicAlias })
        expect(grouped(seenUser)).toEqual(grouped(userProperties))
      }),
      { seed: SEED, numRuns: 1_000 },
    )
  })

  it('keep user properties in their order, and those of one name apart', () => {
    const userProperties = [
      ['b', '1'],
      ['a', '2'],
      ['b', '3'],
      ['', ''],
      ['__proto__', '4'],
    ] as const
    const list = body(encodeProperties({ userProperties }, {}))
    expect(decodeProperties(list, 0, list.length)).toEqual({ userProperties })
  })

  it('may be none', () => {
    expect(encodeProperties(undefined, {})).toEqual(Buffer.from([0]))
    expect(encodeProperties({}, {})).toEqual(Buffer.from([0]))
    expect(decode()).toEqual({})
  })

  it('keep a byte order mark, and correlation data apart from the socket’s memory', () => {
    expect(decode(property(3, text('\ufeffa')))).toEqual({ contentType: '\ufeffa' })
    const bytes = property(9, text('data'))
    const { correlationData } = decodeProperties(bytes, 0, bytes.length)
    bytes.fill(0)
    expect(correlationData?.toString()).toBe('data')
  })

  it.each<[string, Buffer, number]>([
    ['a format that is neither 0 nor 1', property(1, Buffer.from([2])), 0x82],
    ['a format twice', Buffer.concat([property(1, Buffer.from([1])), property(1, Buffer.from([1]))]), 0x82],
    ['a content type twice', Buffer.concat([property(3, text('a')), property(3, text('a'))]), 0x82],
    ['a subscription identifier, which only servers send', property(0x0b, Buffer.from([1])), 0x82],
    ['a response topic with a wildcard', property(8, text('a/+')), 0x82],
    ['a response topic with a wildcard for all', property(8, text('#')), 0x82],
    ['a property of another packet', property(0x11, Buffer.alloc(4)), 0x81],
    ['a property that does not exist', property(0x7f), 0x81],
    ['no data behind an identifier', property(1), 0x81],
    ['half an expiry', property(2, Buffer.alloc(3)), 0x81],
    ['half an alias', property(0x23, Buffer.alloc(1)), 0x81],
    ['a text longer than the list', property(3, Buffer.from([0, 5, 97])), 0x81],
    ['half a length', property(9, Buffer.from([0])), 0x81],
    ['a name without a value', property(0x26, text('name')), 0x81],
    ['a text with NUL', property(3, text('a\0b')), 0x81],
    ['a text with a lone byte', property(3, text(Buffer.from([0x61, 0xff]))), 0x81],
    [
      'a text with a character cut short by one byte',
      property(3, text(Buffer.from([0xf0, 0x9f, 0x98]))),
      0x81,
    ],
    ['a text with half a surrogate pair', property(3, text(Buffer.from([0xed, 0xa0, 0x80]))), 0x81],
    ['a text with a character longer than it need be', property(3, text(Buffer.from([0xc0, 0x80]))), 0x81],
    ['a name that is not UTF-8', property(0x26, text(Buffer.from([0x80])), text('')), 0x81],
  ])('are refused with %s', (_, bytes, reasonCode) => {
    let caught: unknown
    try {
      decode(bytes)
    } catch (error) {
      caught = error
    }
    expect(caught).toBeInstanceOf(PropertyError)
    expect((caught as PropertyError).reasonCode).toBe(reasonCode)
  })

  it('take a replacement character that is really there', () => {
    expect(decode(property(3, text('\ufffd')))).toEqual({ contentType: '\ufffd' })
  })

  it('are refused with more than 1,000 user properties', () => {
    const one = property(0x26, text('a'), text('b'))
    const many = (count: number) => decode(...Array.from({ length: count }, () => one))
    expect(many(1_000).userProperties).toHaveLength(1_000)
    expect(() => many(1_001)).toThrow(PropertyError)
  })

  it('of any bytes are read or refused, and never read past their end', () => {
    const start = fc.constantFrom(1, 2, 3, 8, 9, 0x0b, 0x23, 0x26, 0x11)
    fc.assert(
      fc.property(start, fc.uint8Array({ maxLength: 40 }), (id, rest) => {
        const list = Buffer.from([id, ...rest])
        // What follows the list would make cut properties look whole.
        const inside = Buffer.concat([Buffer.from([0, 0]), list, Buffer.alloc(70_000, 'x')])
        const read = (bytes: Buffer, at: number): PublishProperties | string => {
          try {
            return decodeProperties(bytes, at, at + list.length)
          } catch (error) {
            expect(error).toBeInstanceOf(PropertyError)
            return (error as Error).message
          }
        }
        expect(read(inside, 2)).toEqual(read(list, 0))
      }),
      { seed: SEED, numRuns: 3_000 },
    )
  })
})

describe('a variable byte integer', () => {
  it.each<[number, number[]]>([
    [0, [0]],
    [127, [0x7f]],
    [128, [0x80, 0x01]],
    [16_383, [0xff, 0x7f]],
    [16_384, [0x80, 0x80, 0x01]],
    [2_097_151, [0xff, 0xff, 0x7f]],
    [2_097_152, [0x80, 0x80, 0x80, 0x01]],
    [268_435_455, [0xff, 0xff, 0xff, 0x7f]],
  ])('of %i is written in as few bytes as there can be', (value, bytes) => {
    expect(encodeVariableInteger(value)).toEqual(Buffer.from(bytes))
  })
})

const lengthBytes = (bytes: Buffer): number => {
  let count = 1
  while ((bytes[count - 1] as number) >= 128) count += 1
  return count
}

/** What another codec reads from our list. */
function parse(list: Buffer): Record<string, unknown> & { userProperties?: unknown } {
  const rest = Buffer.concat([text('t'), list])
  const packets: IPublishPacket[] = []
  const other = parser({ protocolVersion: 5 })
  other.on('packet', (packet) => packets.push(packet as IPublishPacket))
  other.on('error', (error: Error) => {
    throw error
  })
  other.parse(Buffer.concat([Buffer.from([0x30]), encodeVariableInteger(rest.length), rest]))
  return { ...packets[0]?.properties }
}

type Pairs = ReadonlyArray<readonly [string, string]> | undefined

/** User properties as the other codec keeps them: by name, the order across names lost. */
function grouped(pairs: Pairs): Record<string, string | string[]> {
  const names: Record<string, string | string[]> = Object.create(null)
  for (const [name, value] of pairs ?? []) {
    const known = names[name]
    names[name] = known === undefined ? value : [known, value].flat()
  }
  return { ...names }
}

const byName = (value: unknown) => ({ ...(value as object) })
