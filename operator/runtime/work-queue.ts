/**
 * A queue of keys. A key waits at most once however often it is added, and is never worked on twice at the same
 * time: added while its run is going on, it runs once more afterwards.
 */

import type { Clock } from '../../contract/clock.ts'
import { type BackoffPolicy, backoffDelay } from './backoff.ts'
import { DelayHeap } from './delay-heap.ts'
import type { WorkQueueMetrics } from './queue-metrics.ts'
import type { ObjectKey } from './resource.ts'

export interface WorkQueueOptions {
  name: string
  clock: Clock
  /** [0, 1). */
  random: () => number
  /** Default 200 ms to 60 s: after an outage of any length everything was tried again within a minute. */
  backoff?: BackoffPolicy
  metrics?: WorkQueueMetrics
}

export interface AddOptions {
  /**
   * Give way to keys without this mark. For keys that come in bulk (first list, relist), so that an edit made by a
   * person does not wait behind thousands of them.
   */
  background?: boolean
}

export const DEFAULT_QUEUE_BACKOFF: BackoffPolicy = { baseMs: 200, maxMs: 60_000 }

/** One in so many keys is taken from the background first, so that a steady stream of edits cannot starve it. */
const BACKGROUND_SHARE = 5

type Work = (key: ObjectKey) => Promise<void>

export class WorkQueue {
  readonly #options: WorkQueueOptions
  /** Waiting keys and when they were added (monotonic ms). Insertion order is queue order. */
  readonly #waiting = new Map<ObjectKey, number>()
  readonly #background = new Map<ObjectKey, number>()
  /** Keys in work and when that began. */
  readonly #running = new Map<ObjectKey, number>()
  /** Keys added while in work, with the options to add them again by. */
  readonly #again = new Map<ObjectKey, { since: number; background: boolean }>()
  readonly #failures = new Map<ObjectKey, number>()
  readonly #delayed = new DelayHeap()
  #cancelTimer: (() => void) | undefined
  #work: Work | undefined
  #concurrency = 0
  #taken = 0
  #pumping = false
  #stopped = false
  #idle: Array<() => void> = []

  constructor(options: WorkQueueOptions) {
    this.#options = options
    options.metrics?.watch(this)
  }

  get name(): string {
    return this.#options.name
  }

  /** Keys that are ready and wait for a worker. */
  get depth(): number {
    return this.#waiting.size + this.#background.size
  }

  /** Keys that wait for their time. */
  get delayed(): number {
    return this.#delayed.size
  }

  /** Seconds each run now going on has taken, longest first. */
  runningSeconds(): number[] {
    const now = this.#options.clock.monotonic()
    return [...this.#running.values()].map((since) => (now - since) / 1000).sort((a, b) => b - a)
  }

  /** Makes the key ready. Does nothing when it is ready already, or after `stop`. */
  add(key: ObjectKey, { background = false }: AddOptions = {}): void {
    if (this.#stopped) return
    const since = this.#options.clock.monotonic()
    if (this.#running.has(key)) {
      const known = this.#again.get(key)
      if (!known) this.#options.metrics?.added(this.name)
      this.#again.set(key, {
        since: known?.since ?? since,
        background: background && (known?.background ?? true),
      })
      return
    }
    if (this.#waiting.has(key)) return
    if (this.#background.has(key)) {
      if (!background) this.#promote(key)
      return
    }
    this.#options.metrics?.added(this.name)
    ;(background ? this.#background : this.#waiting).set(key, since)
    this.#pump()
  }

  /** Makes the key ready after `ms`. Of several times for one key the earliest counts. */
  addAfter(key: ObjectKey, ms: number): void {
    if (this.#stopped) return
    if (ms <= 0) {
      this.add(key)
      return
    }
    this.#delayed.add(key, this.#options.clock.monotonic() + ms)
    this.#arm()
  }

  /** Adds the key after the back-off for its next failure in a row; returns that delay in ms. */
  addRateLimited(key: ObjectKey): number {
    const attempt = (this.#failures.get(key) ?? 0) + 1
    this.#failures.set(key, attempt)
    this.#options.metrics?.retried(this.name)
    const delay = backoffDelay(this.#options.backoff ?? DEFAULT_QUEUE_BACKOFF, attempt, this.#options.random)
    this.addAfter(key, delay)
    return delay
  }

  /** Ends the key's run of failures. Without it the map of failures would keep keys that are long gone. */
  forget(key: ObjectKey): void {
    this.#failures.delete(key)
  }

  /** Failures in a row so far. */
  failures(key: ObjectKey): number {
    return this.#failures.get(key) ?? 0
  }

  /** Begins to hand keys to `work`, at most `concurrency` at a time. `work` must not reject; a rejection is lost. */
  start(work: Work, concurrency: number): void {
    if (this.#work) throw new Error(`work queue ${this.name} was started already`)
    this.#work = work
    this.#concurrency = concurrency
    this.#pump()
  }

  /** Hands out nothing more; resolves when the runs going on have ended. What still waits is dropped. */
  async stop(): Promise<void> {
    this.#stopped = true
    this.#cancelTimer?.()
    this.#waiting.clear()
    this.#background.clear()
    this.#again.clear()
    if (this.#running.size > 0) await new Promise<void>((resolve) => this.#idle.push(resolve))
  }

  #promote(key: ObjectKey): void {
    this.#waiting.set(key, this.#background.get(key)!)
    this.#background.delete(key)
  }

  #arm(): void {
    this.#cancelTimer?.()
    const due = this.#delayed.nextDue
    if (due === undefined || this.#stopped) return
    this.#cancelTimer = this.#options.clock.after(Math.max(0, due - this.#options.clock.monotonic()), () => {
      for (const key of this.#delayed.takeDue(this.#options.clock.monotonic())) this.add(key)
      this.#arm()
    })
  }

  /** Keys are handed out after the caller's own turn: who adds a key never runs its work. */
  #pump(): void {
    if (this.#pumping) return
    this.#pumping = true
    queueMicrotask(() => {
      this.#pumping = false
      this.#handOut()
    })
  }

  #handOut(): void {
    while (this.#work && !this.#stopped && this.#running.size < this.#concurrency) {
      const key = this.#take()
      if (key === undefined) return
      void this.#run(key, this.#work)
    }
  }

  #take(): ObjectKey | undefined {
    const lanes = [this.#waiting, this.#background]
    if (this.#taken % BACKGROUND_SHARE === BACKGROUND_SHARE - 1) lanes.reverse()
    for (const lane of lanes) {
      for (const [key, since] of lane) {
        lane.delete(key)
        this.#taken += 1
        this.#options.metrics?.started(this.name, (this.#options.clock.monotonic() - since) / 1000)
        return key
      }
    }
    return undefined
  }

  async #run(key: ObjectKey, work: Work): Promise<void> {
    const started = this.#options.clock.monotonic()
    this.#running.set(key, started)
    try {
      await work(key)
    } catch {
      // The controller reports failures and decides what follows; the queue only has to go on.
    } finally {
      this.#running.delete(key)
      this.#options.metrics?.finished(this.name, (this.#options.clock.monotonic() - started) / 1000)
      this.#requeueAgain(key)
      if (this.#running.size === 0) for (const resolve of this.#idle.splice(0)) resolve()
      this.#pump()
    }
  }

  #requeueAgain(key: ObjectKey): void {
    const again = this.#again.get(key)
    if (!again || this.#stopped) return
    this.#again.delete(key)
    ;(again.background ? this.#background : this.#waiting).set(key, again.since)
  }
}
