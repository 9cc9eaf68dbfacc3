import { setTimeout as delay } from 'node:timers/promises'

export interface ReconnectingOptions {
  /**
   * Connects, works as long as the connection is good, and closes it. Calls `settled` once it works, so that the
   * next wait is short again. Rejects with what went wrong.
   */
  serve: (signal: AbortSignal, settled: () => void) => Promise<void>
  /** Each failure of `serve`, before the wait. */
  onFault: (error: unknown) => void
  /** [0, 1). */
  random: () => number
}

const SHORTEST_WAIT_MS = 50
const LONGEST_WAIT_MS = 5_000

/** Serves again and again until it is stopped, with growing waits in between. */
export class Reconnecting {
  readonly #options: ReconnectingOptions
  readonly #stop = new AbortController()
  #running: Promise<void> | undefined

  constructor(options: ReconnectingOptions) {
    this.#options = options
  }

  start(): void {
    this.#running ??= this.#run()
  }

  /** Resolves when nothing runs any more. */
  async stop(): Promise<void> {
    this.#stop.abort()
    await this.#running
  }

  async #run(): Promise<void> {
    const { serve, onFault, random } = this.#options
    const { signal } = this.#stop
    for (let attempt = 0; !signal.aborted; attempt += 1) {
      try {
        await serve(signal, () => {
          attempt = 0
        })
      } catch (error) {
        if (!signal.aborted) onFault(error)
      }
      await delay(waitMs(attempt, random()), undefined, { signal }).catch(() => {})
    }
  }
}

/** Between half and all of 50 ms, 100 ms … 5 s: the brokers of a Redis must not come back as one. */
export function waitMs(attempt: number, random: number): number {
  return Math.min(SHORTEST_WAIT_MS * 2 ** Math.min(attempt, 10), LONGEST_WAIT_MS) * (0.5 + random / 2)
}
