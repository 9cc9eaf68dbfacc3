/**
 * Delivers one route: reads its partitions, keeps the order of every topic, calls the sink with as many
 * messages at a time as the route allows, and decides what becomes of each.
 */
import type { Clock } from '../../contract/clock.ts'
import type { RouteEntry, RouteFailure, RouteStream } from '../../contract/route-stream.ts'
import type { Sink, SinkFailure } from '../sinks/sink.ts'
import { type DeliveryPolicy, judge } from './delivery-policy.ts'
import { PartitionReader } from './partition-reader.ts'
import { ReadWindow } from './read-window.ts'
import type { RouteCounters } from './route-counters.ts'
import { noteFailure, type RouteItem, routeFailure, routeItem } from './route-item.ts'
import { Settler } from './settler.ts'
import { SinkCalls } from './sink-calls.ts'
import { SinkGate } from './sink-gate.ts'
import { TopicLanes } from './topic-lanes.ts'

/** What `spec.filter` and `spec.transform` make of a message. */
export type Prepared = { take: false } | { take: true; entry: RouteEntry } | { failure: SinkFailure }

export interface RunnerOptions {
  routeId: string
  policy: DeliveryPolicy
  /** Those of `policy.partitions` that this worker owns, and any that the route had before. */
  partitions: readonly number[]
  stream: RouteStream
  sink: Sink
  prepare: (entry: RouteEntry) => Prepared
  counters: RouteCounters
  clock: Clock
  random: () => number
  /** Asked before each call; once it has said no, the runner is to be stopped. */
  mayDeliver: () => boolean
  /** A fault of the stream or of ours; delivery goes on. Texts of it may hold anything: for a debug log only. */
  onFault: (error: unknown) => void
}

const WINDOW_MESSAGES = 2_000
const WINDOW_BYTES = 32 * 1024 * 1024
/** Settling what was delivered may take this much longer than the drain. */
const LAST_WORDS_MS = 2_000

export class RouteRunner {
  readonly #options: RunnerOptions
  readonly #lanes = new TopicLanes<RouteItem>()
  readonly #gate: SinkGate
  readonly #window: ReadWindow
  readonly #settler: Settler
  readonly #readers = new Map<number, PartitionReader>()
  readonly #reading = new AbortController()
  readonly #sinkCalls: SinkCalls
  readonly #settling = new AbortController()
  readonly #timers = new Set<() => void>()
  readonly #calls = new Set<Promise<void>>()
  #wakeTimer: (() => void) | undefined
  #lingerSince: number | undefined
  #reads: Promise<unknown> = Promise.resolve()

  constructor(options: RunnerOptions) {
    this.#options = options
    const { stream, routeId, clock, policy, sink } = options
    this.#gate = new SinkGate(policy, options.random)
    const { timeoutMs } = policy
    this.#sinkCalls = new SinkCalls({ sink, clock, timeoutMs, onFault: options.onFault })
    const parallel = Math.min(policy.concurrency, sink.parallel ?? policy.concurrency)
    const bounds = {
      // One batch more than are on the way: a window that these fill would give small ones only.
      maxMessages: Math.max(
        WINDOW_MESSAGES,
        (parallel + 1) * (sink.batch?.maxMessages ?? 0),
        4 * policy.concurrency,
      ),
      maxBytes: Math.max(WINDOW_BYTES, 2 * (sink.batch?.maxBytes ?? 0)),
    }
    this.#window = new ReadWindow(bounds, () => this.#makeRoom())
    this.#settler = new Settler({
      stream,
      routeId,
      clock,
      maxDeadLetters: policy.deadLetter.maxMessages,
      onSettled: (item) => this.#onSettled(item),
      onFault: options.onFault,
      signal: this.#settling.signal,
    })
  }

  get isGateFailing(): boolean {
    return this.#gate.failing
  }

  start(): void {
    const { partitions, stream, clock, routeId, policy, onFault } = this.#options
    for (const partition of partitions) {
      const reader = new PartitionReader({
        stream,
        clock,
        place: { routeId, partition },
        window: this.#window,
        keyOf: (entry) => this.#keyOf(entry, partition),
        accept: (entry) => this.#accept(entry, partition),
        onFault,
        isLeftOver: partition >= policy.partitions,
      })
      this.#readers.set(partition, reader)
    }
    const { signal } = this.#reading
    this.#reads = Promise.all([...this.#readers.values()].map((reader) => reader.run(signal)))
  }

  /**
   * Begins nothing new, waits for deliveries under way for at most `drainMs`, tells the stream of them and
   * closes the sink. What was not delivered stays in the stream.
   */
  async stop(drainMs: number): Promise<void> {
    const { clock, sink } = this.#options
    this.#reading.abort()
    this.#wakeTimer?.()
    for (const cancel of this.#timers) cancel()
    const cancelDrain = clock.after(drainMs, () => this.#sinkCalls.cut())
    await Promise.all([this.#reads, ...this.#calls])
    cancelDrain()
    const cancelSettling = clock.after(LAST_WORDS_MS, () => this.#settling.abort())
    await this.#settler.idle()
    cancelSettling()
    await sink.close()
  }

  get #isStopping(): boolean {
    return this.#reading.signal.aborted
  }

  #keyOf(entry: RouteEntry, partition: number): string {
    return this.#options.policy.order === 'PerTopic' ? entry.topic : `${partition}:${entry.position}`
  }

  #accept(entry: RouteEntry, partition: number): void {
    const { prepare, counters } = this.#options
    const prepared = prepare(entry)
    const outgoing = 'take' in prepared && prepared.take ? prepared.entry : entry
    const item = routeItem(entry, { outgoing, partition, key: this.#keyOf(entry, partition) })
    this.#window.add(item.bytes)
    if ('failure' in prepared) {
      item.attempts = 1
      this.#giveUp(item, this.#note(item, prepared.failure))
    } else if (prepared.take) {
      this.#lanes.push(item.key, item)
      this.#pump()
    } else {
      counters.filtered += 1
      this.#settler.settle(item)
    }
  }

  #pump(): void {
    const { clock, policy, sink, mayDeliver } = this.#options
    const most = Math.min(policy.concurrency, sink.parallel ?? policy.concurrency)
    while (!this.#isStopping && this.#calls.size < most && mayDeliver()) {
      const now = clock.monotonic()
      if (!this.#gate.mayStart(now, this.#calls.size)) {
        this.#wakeIn(this.#gate.waitMs(now))
        return
      }
      const items = this.#next(now)
      if (items.length === 0) return
      const call = this.#deliver(items).finally(() => {
        this.#calls.delete(call)
        this.#pump()
      })
      this.#calls.add(call)
    }
  }

  /** What to send now; their lanes are busy. */
  #next(now: number): RouteItem[] {
    const { sink } = this.#options
    const { batch } = sink
    const alone = this.#lanes.takeAlone()
    if (alone !== undefined) return [alone]
    if (batch === undefined) return this.#lanes.take({ maxMessages: 1, maxBytes: 1 })
    if (this.#lanes.readyItems === 0) return []
    const isComplete =
      this.#lanes.readyItems >= batch.maxMessages ||
      this.#lanes.readyBytes >= batch.maxBytes ||
      // Otherwise those on the way will make room.
      (this.#window.isFull && this.#calls.size === 0)
    this.#lingerSince ??= now
    const left = this.#lingerSince + batch.lingerMs - now
    if (!isComplete && left > 0) {
      this.#wakeIn(left)
      return []
    }
    this.#lingerSince = undefined
    return this.#lanes.take(batch)
  }

  #wakeIn(ms: number): void {
    this.#wakeTimer?.()
    this.#wakeTimer = undefined
    // With nothing to wait for, the end of a call under way pumps again.
    if (ms === 0) return
    this.#wakeTimer = this.#options.clock.after(ms, () => this.#pump())
  }

  async #deliver(items: readonly RouteItem[]): Promise<void> {
    const { counters, clock } = this.#options
    const result = await this.#sinkCalls.deliver(items.map(({ outgoing }) => outgoing))
    if (this.#sinkCalls.isCut) return
    if (result.ok) {
      this.#gate.succeeded()
      counters.succeeded(items.length, clock.now())
      if (result.note !== undefined) counters.lastError = { ...result.note, time: clock.now() }
      for (const item of items) this.#settler.settle(item)
      for (const key of new Set(items.map((item) => item.key))) this.#finish(key)
    } else if (items.length > 1) this.#batchFailed(items, result)
    else for (const item of items) this.#failed(item, result)
  }

  /** Whose fault it was is found by sending each by itself. */
  #batchFailed(items: readonly RouteItem[], failure: SinkFailure): void {
    const { counters, clock } = this.#options
    counters.attemptFailed(routeFailure(failure, clock.now()))
    const isOfSink = failure.scope === 'Sink' || failure.kind === 'Throttled'
    if (isOfSink) this.#gate.pause(clock.monotonic(), failure.retryAfterMs)
    else for (const item of items) item.alone = true
    for (const [key, back] of Map.groupBy(items, (item) => item.key)) this.#lanes.finish(key, back)
  }

  #failed(item: RouteItem, failure: SinkFailure): void {
    const { policy, random, counters, clock } = this.#options
    const now = clock.monotonic()
    const noted = this.#note(item, failure)
    counters.attemptFailed(noted)
    if (this.#countsAgainst(item, failure)) item.attempts += 1
    item.deliveredBefore = counters.delivered
    const verdict = judge(failure, item.attempts, { policy, random })
    if (verdict.next === 'GiveUp') {
      this.#giveUp(item, noted)
      this.#finish(item.key)
    } else if (verdict.next === 'PauseRoute') {
      this.#gate.pause(now, verdict.afterMs)
      this.#lanes.finish(item.key, [item])
    } else {
      this.#gate.messageFailed(item.entry.topic, now)
      this.#lanes.hold(item.key, [item])
      this.#releaseIn(item.key, verdict.afterMs)
      this.#window.wake()
    }
  }

  /**
   * A destination that "is down" again and again for one message, but took others between, fails because of
   * that message, however it words it.
   */
  #countsAgainst(item: RouteItem, { kind, scope }: SinkFailure): boolean {
    if (kind === 'Throttled') return false
    const { counters } = this.#options
    const tookOthers = item.deliveredBefore !== undefined && counters.delivered > item.deliveredBefore
    return scope === 'Message' || tookOthers
  }

  #note(item: RouteItem, failure: SinkFailure): RouteFailure {
    const noted = routeFailure(failure, this.#options.clock.now())
    noteFailure(item, noted)
    return noted
  }

  #giveUp(item: RouteItem, failure: RouteFailure): void {
    const { policy, counters } = this.#options
    counters.lastError = failure
    counters.gaveUp(failure, policy.deadLetter.enabled ? 'deadLettered' : 'discarded')
    if (policy.deadLetter.enabled) this.#settler.bury(item)
    else this.#settler.settle(item)
  }

  #releaseIn(key: string, ms: number): void {
    const cancel = this.#options.clock.after(ms, () => {
      this.#timers.delete(cancel)
      this.#lanes.release(key)
      this.#pump()
    })
    this.#timers.add(cancel)
  }

  #finish(key: string): void {
    this.#lanes.finish(key)
    if (this.#lanes.has(key)) return
    for (const reader of this.#readers.values()) reader.laneEnded(key, (other) => this.#lanes.has(other))
  }

  #onSettled(item: RouteItem): void {
    this.#readers.get(item.partition)?.forget(item.entry.position)
    this.#window.remove(item.bytes)
  }

  /** The window is full. If topics that are held back fill it, what waits behind their first goes. */
  #makeRoom(): void {
    if (this.#gate.failing || this.#lanes.heldItems === 0) return
    const parked = this.#lanes.heldItems - this.#lanes.heldLanes
    const isStuck = this.#calls.size === 0 && this.#lanes.readyItems === 0
    if (parked === 0 || (!isStuck && parked < WINDOW_MESSAGES / 4)) return
    if ([...this.#readers.values()].some((reader) => !reader.canSkip)) return
    for (const { key, items } of this.#lanes.evictHeld()) this.#evict(key, items)
  }

  #evict(key: string, items: readonly RouteItem[]): void {
    for (const [partition, group] of Map.groupBy(items, (item) => item.partition)) {
      const positions = group.map(({ entry }) => entry.position)
      this.#readers.get(partition)?.skip(key, positions)
    }
    for (const item of items) this.#window.remove(item.bytes)
  }
}
