import type { Clock } from '../contract/clock.ts'

/** A clock that moves only when told to. `advance` runs what became due, in order, and lets promises settle. */
export class FakeClock implements Clock {
  #time: number
  readonly #start: number
  #timers: Array<{ due: number; callback: () => void }> = []

  constructor(start: number = Date.UTC(2026, 0, 1)) {
    this.#time = start
    this.#start = start
  }

  now(): number {
    return this.#time
  }

  monotonic(): number {
    return this.#time - this.#start
  }

  after(ms: number, callback: () => void): () => void {
    const timer = { due: this.#time + Math.max(0, ms), callback }
    this.#timers.push(timer)
    return () => {
      this.#timers = this.#timers.filter((other) => other !== timer)
    }
  }

  /** Timers that have not fired. */
  get pending(): number {
    return this.#timers.length
  }

  async advance(ms: number): Promise<void> {
    const end = this.#time + ms
    await settle()
    for (;;) {
      const next = this.#timers.filter(({ due }) => due <= end).sort((a, b) => a.due - b.due)[0]
      if (!next) break
      this.#timers = this.#timers.filter((timer) => timer !== next)
      this.#time = next.due
      next.callback()
      await settle()
    }
    this.#time = end
    await settle()
  }
}

/** Lets every promise that can settle without I/O do so. */
export const settle = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))
