import { type Clock, pause } from '../../contract/clock.ts'
import type { RouteStream } from '../../contract/route-stream.ts'
import { deadLetter, type RouteItem } from './route-item.ts'

export interface SettlerOptions {
  stream: RouteStream
  routeId: string
  clock: Clock
  maxDeadLetters: number
  /** The stream has let go of the message. */
  onSettled: (item: RouteItem) => void
  onFault: (error: unknown) => void
  /** Ends the retries; what is not settled then will be delivered once more. */
  signal: AbortSignal
}

interface Pending {
  settled: RouteItem[]
  buried: RouteItem[]
  isRunning: boolean
}

const MAX_SETTLED_AT_ONCE = 1_000
const MAX_BURIED_AT_ONCE = 100
const FIRST_PAUSE_MS = 100
const LONGEST_PAUSE_MS = 5_000

/**
 * Tells the stream what is done, many at a time, one call a partition at a time, again and again until the
 * stream has heard it. What waits here still counts in the window of the route, so this is bounded too.
 */
export class Settler {
  readonly #options: SettlerOptions
  readonly #partitions = new Map<number, Pending>()
  #running = 0
  #idle: (() => void)[] = []

  constructor(options: SettlerOptions) {
    this.#options = options
  }

  settle(item: RouteItem): void {
    const pending = this.#pending(item.partition)
    pending.settled.push(item)
    this.#start(item.partition, pending)
  }

  /** Its errors have been noted in the item. */
  bury(item: RouteItem): void {
    const pending = this.#pending(item.partition)
    pending.buried.push(item)
    this.#start(item.partition, pending)
  }

  /** Resolves when nothing is left to tell, or the signal has aborted. */
  async idle(): Promise<void> {
    while (this.#running > 0) await new Promise<void>((resolve) => this.#idle.push(resolve))
  }

  #pending(partition: number): Pending {
    let pending = this.#partitions.get(partition)
    if (pending === undefined) {
      pending = { settled: [], buried: [], isRunning: false }
      this.#partitions.set(partition, pending)
    }
    return pending
  }

  #start(partition: number, pending: Pending): void {
    if (pending.isRunning) return
    pending.isRunning = true
    this.#running += 1
    void this.#run(partition, pending).finally(() => {
      pending.isRunning = false
      this.#running -= 1
      for (const resolve of this.#idle.splice(0)) resolve()
    })
  }

  async #run(partition: number, pending: Pending): Promise<void> {
    const { clock, signal, onFault } = this.#options
    let wait = FIRST_PAUSE_MS
    // One turn of the loop later, whatever was delivered meanwhile goes along.
    await Promise.resolve()
    while (!signal.aborted && pending.settled.length + pending.buried.length > 0) {
      try {
        await this.#tell(partition, pending)
        wait = FIRST_PAUSE_MS
      } catch (error) {
        onFault(error)
        await pause(clock, wait, signal)
        wait = Math.min(LONGEST_PAUSE_MS, wait * 2)
      }
    }
  }

  async #tell(partition: number, pending: Pending): Promise<void> {
    const { stream, routeId, maxDeadLetters, onSettled } = this.#options
    const place = { routeId, partition }
    const settled = pending.settled.slice(0, MAX_SETTLED_AT_ONCE)
    if (settled.length > 0) {
      await stream.settle(
        place,
        settled.map(({ entry }) => entry.position),
      )
      pending.settled.splice(0, settled.length)
      for (const item of settled) onSettled(item)
    }
    const buried = pending.buried.slice(0, MAX_BURIED_AT_ONCE)
    if (buried.length === 0) return
    const letters = buried.flatMap((item) =>
      item.lastError === undefined ? [] : [deadLetter(item, item.lastError)],
    )
    await stream.bury(place, letters, { maxMessages: maxDeadLetters })
    pending.buried.splice(0, buried.length)
    for (const item of buried) onSettled(item)
  }
}
