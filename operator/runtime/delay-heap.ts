/** Keys that become due later: a binary heap, earliest first, each key at most once. */
export class DelayHeap {
  readonly #entries: Array<{ key: string; due: number }> = []
  readonly #index = new Map<string, number>()

  get size(): number {
    return this.#entries.length
  }

  /** Earliest time in the heap; undefined when it is empty. */
  get nextDue(): number | undefined {
    return this.#entries[0]?.due
  }

  /** Adds `key`, or brings it forward. A later time than the one it has changes nothing. */
  add(key: string, due: number): void {
    const at = this.#index.get(key)
    if (at === undefined) {
      this.#entries.push({ key, due })
      this.#rise(this.#entries.length - 1)
    } else if (due < this.#entries[at]!.due) {
      this.#entries[at]!.due = due
      this.#rise(at)
    }
  }

  /** Takes out every key due at `now`, earliest first. */
  takeDue(now: number): string[] {
    const due: string[] = []
    while (this.#entries.length > 0 && this.#entries[0]!.due <= now) due.push(this.#takeFirst())
    return due
  }

  #takeFirst(): string {
    const first = this.#entries[0]!
    const last = this.#entries.pop()!
    this.#index.delete(first.key)
    if (this.#entries.length > 0) {
      this.#entries[0] = last
      this.#index.set(last.key, 0)
      this.#sink(0)
    }
    return first.key
  }

  #rise(from: number): void {
    let at = from
    this.#index.set(this.#entries[at]!.key, at)
    while (at > 0) {
      const parent = (at - 1) >> 1
      if (this.#entries[parent]!.due <= this.#entries[at]!.due) return
      this.#swap(at, parent)
      at = parent
    }
  }

  #sink(from: number): void {
    let at = from
    for (;;) {
      const left = 2 * at + 1
      const right = left + 1
      let least = at
      for (const child of [left, right]) {
        const entry = this.#entries[child]
        if (entry && entry.due < this.#entries[least]!.due) least = child
      }
      if (least === at) return
      this.#swap(at, least)
      at = least
    }
  }

  #swap(a: number, b: number): void {
    const entries = this.#entries
    const moved = entries[a]!
    entries[a] = entries[b]!
    entries[b] = moved
    this.#index.set(entries[a]!.key, a)
    this.#index.set(entries[b]!.key, b)
  }
}
