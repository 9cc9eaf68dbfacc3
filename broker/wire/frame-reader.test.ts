import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { FrameReader } from './frame-reader.ts'
import { encodeVariableInteger } from './publish-properties.ts'

const SEED = 20_260_301
const NO_LIMIT = 268_435_455 + 5

const frame = (header: number, body: Buffer): Buffer =>
  Buffer.concat([Buffer.from([header]), encodeVariableInteger(body.length), body])

interface Seen {
  header: number
  body: string
  /** The packet with its header, as other codecs want it. */
  whole: string
}

/** All packets that are complete now. */
function drain(reader: FrameReader, seen: Seen[] = []): Seen[] {
  for (;;) {
    const status = reader.next()
    if (status === 'Incomplete') return seen
    if (status !== 'Frame') throw new Error(status)
    const { buffer, frameStart, bodyStart, bodyEnd, header } = reader
    seen.push({
      header,
      body: buffer.toString('hex', bodyStart, bodyEnd),
      whole: buffer.toString('hex', frameStart, bodyEnd),
    })
  }
}

const expected = (bytes: Buffer, bodyLength: number): Seen => ({
  header: bytes[0] as number,
  body: bytes.toString('hex', bytes.length - bodyLength),
  whole: bytes.toString('hex'),
})

const BATCH = [0, 1, 127, 128, 300].map((length, i) => {
  const body = Buffer.alloc(length, i + 1)
  const bytes = frame(0x30 + i, body)
  return { bytes, seen: expected(bytes, length) }
})
const BATCH_BYTES = Buffer.concat(BATCH.map(({ bytes }) => bytes))
const BATCH_SEEN = BATCH.map(({ seen }) => seen)

describe('the frame reader', () => {
  it.each([0, 1, 126, 127, 128, 129, 16_383, 16_384, 2_097_151, 2_097_152])(
    'reads a body of %i bytes, alone and behind another packet',
    (length) => {
      const bytes = frame(0x32, Buffer.alloc(length, 7))
      for (const before of [Buffer.alloc(0), Buffer.from([0xc0, 0])]) {
        const reader = new FrameReader(NO_LIMIT)
        reader.push(Buffer.concat([before, bytes]))
        const seen = drain(reader)
        expect(seen).toHaveLength(before.length === 0 ? 1 : 2)
        expect(seen.at(-1)).toEqual(expected(bytes, length))
        expect(reader.buffered).toBe(0)
      }
    },
  )

  it('reads many packets of one chunk without copying them', () => {
    const reader = new FrameReader(NO_LIMIT)
    reader.push(BATCH_BYTES)
    expect(drain(reader)).toEqual(BATCH_SEEN)
    expect(reader.buffer).toBe(BATCH_BYTES)
  })

  it('reads the same packets from one byte at a time', () => {
    const reader = new FrameReader(NO_LIMIT)
    const seen: Seen[] = []
    for (const byte of BATCH_BYTES) {
      reader.push(Buffer.from([byte]))
      drain(reader, seen)
    }
    expect(seen).toEqual(BATCH_SEEN)
  })

  it('reads the same packets from any two chunks, whether it is asked between them or not', () => {
    for (const ask of [true, false]) {
      for (let at = 0; at <= BATCH_BYTES.length; at++) {
        const reader = new FrameReader(NO_LIMIT)
        const seen: Seen[] = []
        reader.push(BATCH_BYTES.subarray(0, at))
        if (ask) drain(reader, seen)
        reader.push(BATCH_BYTES.subarray(at))
        expect(drain(reader, seen)).toEqual(BATCH_SEEN)
      }
    }
  })

  it('reads the same packets from any chunks, asked at any time', () => {
    const bodies = fc.array(fc.uint8Array({ maxLength: 400 }), { minLength: 1, maxLength: 12 })
    const chunks = fc.array(fc.record({ bytes: fc.integer({ min: 1, max: 200 }), asks: fc.nat(3) }))
    fc.assert(
      fc.property(bodies, chunks, (given, cuts) => {
        const packets = given.map((body, i) => ({
          bytes: frame(i, Buffer.from(body)),
          length: body.length,
        }))
        const stream = Buffer.concat(packets.map(({ bytes }) => bytes))
        const reader = new FrameReader(NO_LIMIT)
        const seen: Seen[] = []
        let at = 0
        for (const { bytes, asks } of cuts) {
          reader.push(Buffer.from(stream.subarray(at, at + bytes)))
          at = Math.min(stream.length, at + bytes)
          // A link that waits for its store takes some packets and leaves the rest.
          for (let i = 0; i < asks && reader.next() === 'Frame'; i++) {
            const { buffer, frameStart, bodyStart, bodyEnd, header } = reader
            seen.push({
              header,
              body: buffer.toString('hex', bodyStart, bodyEnd),
              whole: buffer.toString('hex', frameStart, bodyEnd),
            })
          }
        }
        reader.push(stream.subarray(at))
        drain(reader, seen)
        expect(seen).toEqual(packets.map(({ bytes, length }) => expected(bytes, length)))
        expect(reader.buffered).toBe(0)
      }),
      { seed: SEED, numRuns: 500 },
    )
  })

  it.each<[string, number[]]>([
    ['nothing', []],
    ['a type alone', [0x30]],
    ['a length that goes on', [0x30, 0x80]],
    ['a length of three bytes that goes on', [0x30, 0xff, 0xff, 0xff]],
    ['a body that is one byte short', [0x30, 3, 0, 1]],
  ])('waits for the rest of %s', (_, bytes) => {
    const reader = new FrameReader(NO_LIMIT)
    if (bytes.length > 0) reader.push(Buffer.from(bytes))
    expect(reader.next()).toBe('Incomplete')
    expect(reader.next()).toBe('Incomplete')
    expect(reader.buffered).toBe(bytes.length)
  })

  it.each<[string, number[]]>([
    ['at once', [0x30, 0x80, 0x80, 0x80, 0x80]],
    ['although a fifth byte would end it', [0x30, 0x80, 0x80, 0x80, 0x80, 0x01]],
    ['behind a good packet', [0xc0, 0, 0x30, 0xff, 0xff, 0xff, 0xff]],
  ])('finds a length of five bytes malformed, %s', (_, bytes) => {
    const reader = new FrameReader(NO_LIMIT)
    reader.push(Buffer.from(bytes))
    if (bytes[0] === 0xc0) expect(reader.next()).toBe('Frame')
    expect(reader.next()).toBe('Malformed')
  })

  it.each([
    [2, 0],
    [100, 98],
    [129, 127],
    [131, 128],
    [1_000, 997],
  ])('with a limit of %i bytes takes a body of %i and refuses one more by its header', (maxBytes, length) => {
    const bytes = frame(0x30, Buffer.alloc(length))
    expect(bytes).toHaveLength(maxBytes)
    const reader = new FrameReader(maxBytes)
    reader.push(bytes)
    expect(reader.next()).toBe('Frame')
    reader.push(Buffer.concat([Buffer.from([0x32]), encodeVariableInteger(length + 1)]))
    expect(reader.next()).toBe('TooLarge')
    // For the event's digest.
    expect([reader.header, reader.bodyEnd - reader.bodyStart]).toEqual([0x32, length + 1])
  })

  it('refuses the largest packet that there can be by its header', () => {
    const reader = new FrameReader(1_000)
    reader.push(Buffer.from([0x30, 0xff, 0xff, 0xff, 0x7f]))
    expect(reader.next()).toBe('TooLarge')
    expect(reader.bodyEnd - reader.bodyStart).toBe(268_435_455)
  })

  it('takes larger packets once it is told to, in the middle of a stream', () => {
    const reader = new FrameReader(10)
    reader.push(Buffer.from([0xc0, 0]))
    expect(reader.next()).toBe('Frame')
    reader.maxBytes = 1_000
    reader.push(frame(0x30, Buffer.alloc(500)))
    expect(reader.next()).toBe('Frame')
  })

  it('makes no room for what is only announced', () => {
    const reader = new FrameReader(NO_LIMIT)
    reader.push(Buffer.from([0x30, 0xff, 0xff, 0xff, 0x7f]))
    reader.next()
    reader.push(Buffer.alloc(10))
    expect(reader.next()).toBe('Incomplete')
    expect(reader.buffer.length).toBeLessThan(10_000)
  })

  it('copies a packet of many small chunks a few times, not once a chunk', () => {
    const reader = new FrameReader(NO_LIMIT)
    const bytes = frame(0x30, Buffer.alloc(1_000_000, 5))
    let rooms = 0
    let last: Buffer | undefined
    for (let at = 0; at < bytes.length; at += 1_000) {
      reader.push(Buffer.from(bytes.subarray(at, at + 1_000)))
      if (reader.buffer !== last) rooms += 1
      last = reader.buffer
    }
    expect(drain(reader)).toHaveLength(1)
    expect(rooms).toBeLessThan(15)
  })

  it('never holds more room than twice what has come, nor much more than the largest packet', () => {
    const reader = new FrameReader(100_000)
    reader.push(frame(0x30, Buffer.alloc(99_000)).subarray(0, 60_000))
    reader.next()
    for (let i = 0; i < 30; i++) {
      reader.push(Buffer.alloc(1_000))
      expect(reader.next()).toBe('Incomplete')
    }
    expect(reader.buffer.length).toBeLessThanOrEqual(100_005)
  })

  it('forgets everything when it is cleared, and can go on', () => {
    const reader = new FrameReader(NO_LIMIT)
    reader.push(Buffer.from([0x30, 100, 1, 2, 3]))
    reader.next()
    reader.push(Buffer.from([4, 5]))
    reader.clear()
    expect(reader.buffered).toBe(0)
    expect(reader.buffer).toHaveLength(0)
    expect(reader.next()).toBe('Incomplete')
    reader.push(BATCH_BYTES)
    expect(drain(reader)).toEqual(BATCH_SEEN)
  })
})
