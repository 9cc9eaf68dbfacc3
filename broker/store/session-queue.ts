import type { AcceptTarget, ApplicationMessage, QueueEntry } from './store.ts'
import { isExpired, messageBytes, RELEASED_MESSAGE } from './stored-message.ts'

/** Below this length a queue is never compacted: moving a few slots is not worth a check per message. */
const COMPACT_FROM = 64

/**
 * The queue of one session in memory. Entries stand in order of their seq; a removed one leaves a hole that
 * compaction takes away, at amortised constant cost. Released entries are outside the bounds (`count`,
 * `bytes`) and never dropped: forgetting one would leave the client with a packet id it can't free, and
 * there can't be more of them than the session has packet ids.
 */
export class SessionQueue {
  /** Entries that still hold a message. */
  count = 0
  bytes = 0
  #entries: Array<QueueEntry | undefined> = []
  /** The seq of each slot, holes included, so that a slot is found after compaction has moved it. */
  #seqs: number[] = []
  /** First slot that may be in use. */
  #head = 0
  #held = 0
  #nextSeq = 1

  push(message: ApplicationMessage, target: AcceptTarget, bytes: number): number {
    if (this.#entries.length >= COMPACT_FROM && this.#entries.length > 2 * this.#held) this.#compact()
    const seq = this.#nextSeq++
    const { qos, retain, subscriptionIds } = target
    this.#entries.push(
      subscriptionIds === undefined
        ? { seq, message, qos, retain, released: false }
        : { seq, message, qos, retain, subscriptionIds, released: false },
    )
    this.#seqs.push(seq)
    this.#held += 1
    this.count += 1
    this.bytes += bytes
    return seq
  }

  /** Takes out the oldest entry that still holds a message; false: there is none. */
  dropOldest(): boolean {
    for (let slot = this.#head; slot < this.#entries.length; slot += 1) {
      const entry = this.#entries[slot]
      if (entry === undefined || entry.released) continue
      this.#remove(slot, entry)
      return true
    }
    return false
  }

  acknowledge(seq: number): void {
    const slot = this.#slotOf(seq)
    const entry = this.#entries[slot]
    if (entry !== undefined) this.#remove(slot, entry)
  }

  release(seq: number): void {
    const slot = this.#slotOf(seq)
    const entry = this.#entries[slot]
    if (entry === undefined || entry.released) return
    this.#discount(entry)
    // A new object: a reader may still hold the old one.
    this.#entries[slot] = { seq, message: RELEASED_MESSAGE, qos: entry.qos, retain: false, released: true }
  }

  read(afterSeq: number, limit: number, now: number): QueueEntry[] {
    const found: QueueEntry[] = []
    for (let slot = this.#slotAfter(afterSeq); slot < this.#entries.length; slot += 1) {
      const entry = this.#entries[slot]
      if (entry === undefined) continue
      if (found.length >= limit) break
      if (isExpired(entry.message, now)) this.#remove(slot, entry)
      else found.push(entry)
    }
    return found
  }

  #remove(slot: number, entry: QueueEntry): void {
    if (!entry.released) this.#discount(entry)
    this.#entries[slot] = undefined
    this.#held -= 1
    while (this.#head < this.#entries.length && this.#entries[this.#head] === undefined) this.#head += 1
  }

  #discount(entry: QueueEntry): void {
    this.count -= 1
    this.bytes -= messageBytes(entry.message)
  }

  #slotOf(seq: number): number {
    const slot = this.#slotAfter(seq - 1)
    return this.#seqs[slot] === seq ? slot : -1
  }

  /** First slot whose seq is above `seq`. */
  #slotAfter(seq: number): number {
    let low = this.#head
    const first = this.#seqs[low]
    if (first === undefined || seq < first) return low
    // Without a gap left by compaction the slot can be computed; a gap only moves it to the left.
    let high = Math.min(this.#seqs.length, low + (seq - first) + 1)
    if (this.#seqs[high - 1] === seq) return high
    while (low < high) {
      const middle = (low + high) >>> 1
      if (this.#seqs[middle]! <= seq) low = middle + 1
      else high = middle
    }
    return low
  }

  #compact(): void {
    let to = 0
    for (let from = this.#head; from < this.#entries.length; from += 1) {
      const entry = this.#entries[from]
      if (entry === undefined) continue
      this.#entries[to] = entry
      this.#seqs[to] = entry.seq
      to += 1
    }
    this.#entries.length = to
    this.#seqs.length = to
    this.#head = 0
  }
}
