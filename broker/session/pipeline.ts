interface Slot<T> {
  result: T | undefined
  settled: boolean
  done: (result: T) => void
}

/**
 * Completes what came in on one link in the order it came, however long the store takes for each: messages of
 * one publisher must not overtake each other, nor their acknowledgements [MQTT-4.6.0-2].
 */
export class Pipeline<T> {
  readonly #slots: Array<Slot<T>> = []
  readonly #onFault: (error: unknown) => void
  readonly #onShrink: () => void
  #failed = false

  /** `onFault` runs once, for the first result that is refused; nothing after it is completed. */
  constructor(options: { onFault: (error: unknown) => void; onShrink: () => void }) {
    this.#onFault = options.onFault
    this.#onShrink = options.onShrink
  }

  /** Results that are awaited, and what waits behind them. */
  get size(): number {
    return this.#slots.length
  }

  /** Calls `done` at once when nothing has to be waited for. */
  add(result: T | Promise<T>, done: (result: T) => void): void {
    if (this.#failed) return
    const pending = result instanceof Promise
    if (!pending && this.#slots.length === 0) {
      done(result)
      return
    }
    const slot: Slot<T> = { result: pending ? undefined : result, settled: !pending, done }
    this.#slots.push(slot)
    if (!pending) return
    result.then(
      (value) => {
        slot.result = value
        slot.settled = true
        this.#flush()
      },
      (error: unknown) => this.#fail(error),
    )
  }

  #flush(): void {
    for (let slot = this.#slots[0]; slot?.settled === true && !this.#failed; slot = this.#slots[0]) {
      this.#slots.shift()
      slot.done(slot.result as T)
    }
    this.#onShrink()
  }

  #fail(error: unknown): void {
    if (this.#failed) return
    this.#failed = true
    this.#slots.length = 0
    this.#onFault(error)
  }
}
