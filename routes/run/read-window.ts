/** Bounds what one route keeps in memory; readers wait here for room. */
export class ReadWindow {
  readonly #maxMessages: number
  readonly #maxBytes: number
  readonly #makeRoom: () => void
  readonly #waiting = new Set<() => void>()
  #messages = 0
  #bytes = 0
  /** Of late, to guess what the next ones bring. */
  #averageBytes = 1024

  /** `makeRoom` is asked before a reader waits. */
  constructor(bounds: { maxMessages: number; maxBytes: number }, makeRoom: () => void) {
    this.#maxMessages = bounds.maxMessages
    this.#maxBytes = bounds.maxBytes
    this.#makeRoom = makeRoom
  }

  get isFull(): boolean {
    return this.#messages >= this.#maxMessages || this.#bytes >= this.#maxBytes
  }

  add(bytes: number): void {
    this.#messages += 1
    this.#bytes += bytes
    // Rises at once and falls slowly: too small a guess costs memory, too large a one only round trips.
    this.#averageBytes = Math.max(bytes, this.#averageBytes * 0.95)
  }

  remove(bytes: number): void {
    this.#messages -= 1
    this.#bytes -= bytes
    if (!this.isFull) this.wake()
  }

  /** How many to read now, at most `most`. */
  limit(most: number): number {
    const byBytes = Math.floor((this.#maxBytes - this.#bytes) / this.#averageBytes)
    return Math.max(1, Math.min(most, this.#maxMessages - this.#messages, byBytes))
  }

  /** Whoever waits looks again, and may make room first. */
  wake(): void {
    for (const resolve of [...this.#waiting]) resolve()
  }

  /** Resolves when there is room, or `signal` aborts. */
  async room(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      if (this.isFull) this.#makeRoom()
      if (!this.isFull) return
      await this.#woken(signal)
    }
  }

  #woken(signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const wake = () => {
        this.#waiting.delete(wake)
        signal.removeEventListener('abort', wake)
        resolve()
      }
      this.#waiting.add(wake)
      signal.addEventListener('abort', wake)
    })
  }
}
