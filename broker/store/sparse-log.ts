/** Below this length a log is never compacted. */
const COMPACT_FROM = 64

/**
 * Things in the order of rising numbers, appended at the end and taken out anywhere: from the front quickly, and
 * found by number in a few steps. A hole that is left is taken away by compaction, at amortised constant cost.
 */
export class SparseLog<T> {
  #items: Array<T | undefined> = []
  /** The number of each slot, holes included. */
  #seqs: number[] = []
  /** First slot that may be in use. */
  #head = 0
  #size = 0

  get size(): number {
    return this.#size
  }

  /** `seq` is above every number before it. */
  push(seq: number, item: T): void {
    if (this.#items.length >= COMPACT_FROM && this.#items.length > 2 * this.#size) this.#compact()
    this.#items.push(item)
    this.#seqs.push(seq)
    this.#size += 1
  }

  first(): T | undefined {
    return this.#items[this.#head]
  }

  /** Takes it out and returns it; undefined: it was not there. */
  take(seq: number): T | undefined {
    const slot = this.#slotAfter(seq - 1)
    const item = this.#seqs[slot] === seq ? this.#items[slot] : undefined
    if (item === undefined) return undefined
    this.#items[slot] = undefined
    this.#size -= 1
    while (this.#head < this.#items.length && this.#items[this.#head] === undefined) this.#head += 1
    return item
  }

  /** At most `limit`, those with the lowest numbers above `seq`. */
  after(seq: number, limit: number): T[] {
    const found: T[] = []
    for (let slot = this.#slotAfter(seq); slot < this.#items.length && found.length < limit; slot += 1) {
      const item = this.#items[slot]
      if (item !== undefined) found.push(item)
    }
    return found
  }

  #slotAfter(seq: number): number {
    let low = this.#head
    let high = this.#seqs.length
    while (low < high) {
      const middle = (low + high) >>> 1
      if (this.#seqs[middle]! <= seq) low = middle + 1
      else high = middle
    }
    return low
  }

  #compact(): void {
    const seqs: number[] = []
    const items: Array<T | undefined> = []
    for (let slot = this.#head; slot < this.#items.length; slot += 1) {
      const item = this.#items[slot]
      if (item === undefined) continue
      items.push(item)
      seqs.push(this.#seqs[slot]!)
    }
    this.#items = items
    this.#seqs = seqs
    this.#head = 0
  }
}
