import type { Transport } from './transport.ts'

/** One socket write a turn: the system call, not the copy, is what a broker spends its time on (design §6). */
const MAX_JOINED_BYTES = 256 * 1024

const dirty: Outbox[] = []
let scheduled = false

function flushAll(): void {
  scheduled = false
  // A flush may close links but never adds to this list in the same turn's tail: swap first.
  const batch = dirty.splice(0, dirty.length)
  for (const outbox of batch) outbox.flush()
}

/** Collects the frames of one event-loop turn for one link and writes them as one. */
export class Outbox {
  readonly #transport: Transport
  #frames: Buffer[] = []
  #bytes = 0
  /** What the transport still held after the last flush: asking it for every frame would cost more than the frame. */
  #carried = 0
  #queued = false

  constructor(transport: Transport) {
    this.#transport = transport
  }

  /** Bytes not yet taken by the kernel. */
  get pendingBytes(): number {
    return this.#bytes + this.#transport.pendingBytes
  }

  /** More than `limit` bytes wait. Asks the transport only when the last answer may be too high. */
  isOver(limit: number): boolean {
    if (this.#bytes + this.#carried <= limit) return false
    this.#carried = this.#transport.pendingBytes
    return this.#bytes + this.#carried > limit
  }

  /** `frame` must not change afterwards: it may be shared with other links. */
  send(frame: Buffer): void {
    this.#frames.push(frame)
    this.#bytes += frame.length
    if (this.#queued) return
    this.#queued = true
    dirty.push(this)
    if (!scheduled) {
      scheduled = true
      setImmediate(flushAll)
    }
  }

  flush(): void {
    this.#queued = false
    const frames = this.#frames
    if (frames.length === 0) return
    this.#frames = []
    this.#bytes = 0
    if (frames.length === 1) {
      this.#transport.write(frames[0] as Buffer)
      this.#carried = this.#transport.pendingBytes
      return
    }
    let first = 0
    let size = 0
    for (let i = 0; i < frames.length; i++) {
      size += (frames[i] as Buffer).length
      if (size >= MAX_JOINED_BYTES || i === frames.length - 1) {
        this.#transport.write(Buffer.concat(frames.slice(first, i + 1), size))
        first = i + 1
        size = 0
      }
    }
    this.#carried = this.#transport.pendingBytes
  }

  clear(): void {
    this.#frames = []
    this.#bytes = 0
  }
}
