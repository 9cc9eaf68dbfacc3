/**
 * Cuts a byte stream into MQTT control packets without copying complete ones.
 *
 * Pull, not push: the owner asks for the next packet only when it is ready for it, so a link that waits for
 * a store or a rate limit holds at most what the socket had already handed over.
 */

/** MQTT 3.1.1 §2.2.3: one type byte and one to four length bytes come before the body. */
const MAX_HEADER_BYTES = 5
const FIRST_PARTIAL_CAPACITY = 4096
const EMPTY = Buffer.alloc(0)

export type FrameStatus = 'Frame' | 'Incomplete' | 'TooLarge' | 'Malformed'

export class FrameReader {
  /** Whole packets longer than this are refused as soon as their length is known, not when they are read. */
  maxBytes: number
  /** Holds the current packet; valid until the next `push` or `next`. */
  buffer: Buffer = EMPTY
  /** Type and flags of the current packet. */
  header = 0
  /** The current packet is `buffer[frameStart, bodyEnd)`, its body `buffer[bodyStart, bodyEnd)`. */
  frameStart = 0
  bodyStart = 0
  bodyEnd = 0
  #offset = 0
  #end = 0
  /** True when `buffer` is ours and may be appended to; false when it is the socket's chunk. */
  #owned = false

  constructor(maxBytes: number) {
    this.maxBytes = maxBytes
  }

  /** Bytes that wait for the rest of their packet. */
  get buffered(): number {
    return this.#end - this.#offset
  }

  push(chunk: Buffer): void {
    const rest = this.buffered
    if (rest === 0) {
      this.buffer = chunk
      this.#offset = 0
      this.#end = chunk.length
      this.#owned = false
      return
    }
    this.#append(chunk, rest)
  }

  /** Advances to the next packet. After `TooLarge` or `Malformed` the stream can't be read any further. */
  next(): FrameStatus {
    const { buffer } = this
    const start = this.#offset
    if (this.#end - start < 2) return 'Incomplete'
    let length = 0
    let shift = 0
    let at = start + 1
    for (;;) {
      if (at >= this.#end) return 'Incomplete'
      const byte = buffer[at++] as number
      length |= (byte & 0x7f) << shift
      if (byte < 0x80) break
      shift += 7
      // [MQTT-2.2.3]: a fifth length byte does not exist.
      if (shift > 21) return 'Malformed'
    }
    if (at - start + length > this.maxBytes) {
      this.header = buffer[start] as number
      this.bodyStart = at
      this.bodyEnd = at + length
      return 'TooLarge'
    }
    if (at + length > this.#end) return 'Incomplete'
    this.header = buffer[start] as number
    this.frameStart = start
    this.bodyStart = at
    this.bodyEnd = at + length
    this.#offset = this.bodyEnd
    return 'Frame'
  }

  /** Drops everything, so that a closed link keeps no memory. */
  clear(): void {
    this.buffer = EMPTY
    this.#offset = 0
    this.#end = 0
    this.#owned = false
  }

  /**
   * Grows by doubling: one byte a TCP segment must cost neither a list entry (memory) nor a whole copy (time)
   * each, and a packet that only announces 4 MiB must not make us allocate them.
   */
  #append(chunk: Buffer, rest: number): void {
    const needed = rest + chunk.length
    if (this.#owned && this.#end + chunk.length <= this.buffer.length) {
      chunk.copy(this.buffer, this.#end)
      this.#end += chunk.length
      return
    }
    const capacity = Math.max(
      FIRST_PARTIAL_CAPACITY,
      Math.min(needed * 2, this.maxBytes + MAX_HEADER_BYTES),
      needed,
    )
    const grown = Buffer.allocUnsafeSlow(capacity)
    this.buffer.copy(grown, 0, this.#offset, this.#end)
    chunk.copy(grown, rest)
    this.buffer = grown
    this.#offset = 0
    this.#end = needed
    this.#owned = true
  }
}
