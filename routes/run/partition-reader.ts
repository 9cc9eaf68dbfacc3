import { type Clock, pause } from '../../contract/clock.ts'
import type { RouteEntry, RouteStream } from '../../contract/route-stream.ts'
import type { ReadWindow } from './read-window.ts'

export interface ReaderOptions {
  stream: RouteStream
  clock: Clock
  place: { routeId: string; partition: number }
  window: ReadWindow
  keyOf: (entry: RouteEntry) => string
  accept: (entry: RouteEntry) => void
  onFault: (error: unknown) => void
  /** No broker appends here any more (the route had more partitions once): a look now and then is enough. */
  isLeftOver: boolean
}

const READ_AT_MOST = 256
const WAIT_MS = 5_000
const LEFT_OVER_PAUSE_MS = 30_000
const FAULT_PAUSE_MS = 250
const LONGEST_FAULT_PAUSE_MS = 5_000

/**
 * Topics whose messages are left in the stream for later; with more of them, reading waits for room like
 * anything else. Only topics with a message that is being retried get here.
 */
const MAX_SKIPPED_TOPICS = 4_096

/**
 * Reads one partition, each entry once, as far as there is room. When a topic that is held back fills the
 * memory, its messages are let go and passed over (`skip`); they are read again from the start of the stream,
 * where everything settled is gone, once the topic moves (`laneEnded`).
 */
export class PartitionReader {
  readonly #options: ReaderOptions
  /** Positions in memory. */
  readonly #known = new Set<string>()
  readonly #skipped = new Set<string>()
  #cursor: string | undefined
  /** Goes up when the cursor goes back: what a read brings that began before would be out of order. */
  #generation = 0
  #faults = 0
  #interrupt: AbortController | undefined

  constructor(options: ReaderOptions) {
    this.#options = options
  }

  async run(signal: AbortSignal): Promise<void> {
    const { clock, window, isLeftOver } = this.#options
    signal.addEventListener('abort', () => this.#interrupt?.abort(), { once: true })
    while (!signal.aborted) {
      await window.room(signal)
      if (signal.aborted) return
      const count = await this.#readOnce(signal)
      if (count === undefined) await pause(clock, this.#faultPause(), signal)
      else if (count === 0 && isLeftOver) await pause(clock, LEFT_OVER_PAUSE_MS, signal)
    }
  }

  /** The entry is gone from the stream. */
  forget(position: string): void {
    this.#known.delete(position)
  }

  /** Whether `skip` may be asked for one more topic. */
  get canSkip(): boolean {
    return this.#skipped.size < MAX_SKIPPED_TOPICS
  }

  /** Lets go of entries of one topic; those that follow, also in a read under way, are passed over too. */
  skip(key: string, positions: readonly string[]): void {
    this.#skipped.add(key)
    for (const position of positions) this.#known.delete(position)
  }

  /** Nothing of the topic is in memory any more. `isHeld` tells which other topics still are. */
  laneEnded(key: string, isHeld: (key: string) => boolean): void {
    if (!this.#skipped.has(key)) return
    for (const other of this.#skipped) if (!isHeld(other)) this.#skipped.delete(other)
    this.#cursor = undefined
    this.#generation += 1
    this.#interrupt?.abort()
  }

  /** How many entries there were; undefined: the stream could not be read. */
  async #readOnce(signal: AbortSignal): Promise<number | undefined> {
    const { stream, place, window, isLeftOver } = this.#options
    const generation = this.#generation
    const after = this.#cursor
    const interrupt = new AbortController()
    this.#interrupt = interrupt
    try {
      const entries = await stream.read(place, {
        ...(after === undefined ? {} : { after }),
        limit: window.limit(READ_AT_MOST),
        waitMs: isLeftOver ? 0 : WAIT_MS,
        signal: interrupt.signal,
      })
      this.#faults = 0
      if (signal.aborted) return 0
      for (const entry of entries) {
        // `accept` may free the topic that the cursor has to go back for.
        if (generation !== this.#generation) break
        this.#take(entry)
      }
      return entries.length
    } catch (error) {
      if (signal.aborted || interrupt.signal.aborted) return 1
      this.#faults += 1
      this.#options.onFault(error)
      return undefined
    }
  }

  #take(entry: RouteEntry): void {
    const key = this.#options.keyOf(entry)
    this.#cursor = entry.position
    if (this.#skipped.has(key) || this.#known.has(entry.position)) return
    this.#known.add(entry.position)
    this.#options.accept(entry)
  }

  #faultPause(): number {
    return Math.min(LONGEST_FAULT_PAUSE_MS, FAULT_PAUSE_MS * 2 ** (this.#faults - 1))
  }
}
