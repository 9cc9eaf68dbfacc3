/** The loop of list and watch that follows one collection through every way a connection can fail. */
import type { Logger } from 'pino'
import { type Clock, pause } from '../../contract/clock.ts'
import type { ApiClient } from './api-client.ts'
import { ApiError, isExpired, TransportError } from './api-error.ts'
import { type BackoffPolicy, backoffDelay, retryAfterDelay } from './backoff.ts'
import type { InformerMetrics } from './informer-metrics.ts'
import { listAll, type Selection } from './list.ts'
import { type KubeObject, keyOf, type ObjectKey } from './resource.ts'
import { type WatchEvent, watchOnce } from './watch.ts'

/** Every wait of an informer. The defaults suit a production API server; tests shorten them. */
export interface InformerTimes {
  /** Watches end after a random time in between, so that those of many clients do not all end at once. */
  watchSeconds: { min: number; max: number }
  /** ms without a byte on a watch before it is opened anew. */
  stallMs: number
  /** ms between full comparisons with the server, for what no watch ever told. */
  relistMs: number
  /** ms for one page of a list. */
  listMs: number
  backoff: BackoffPolicy
  /** Longest wait a `Retry-After` can cause, ms. */
  maxRetryAfterMs: number
}

export const DEFAULT_INFORMER_TIMES: InformerTimes = {
  watchSeconds: { min: 290, max: 580 },
  stallMs: 150_000,
  relistMs: 600_000,
  listMs: 60_000,
  backoff: { baseMs: 500, maxMs: 30_000 },
  maxRetryAfterMs: 60_000,
}

/** Where a reflector puts what it reads. Its calls come one at a time and in the server's order. */
export interface ReflectorSink<T> {
  /** Makes an object fit to be kept, before anything else sees it. */
  receive(object: T): T
  /** The whole collection as of now. */
  replaceAll(found: ReadonlyMap<ObjectKey, T>): void
  put(object: T): void
  remove(object: T): void
}

export interface ReflectorOptions extends Selection {
  client: ApiClient
  clock: Clock
  /** [0, 1). */
  random: () => number
  logger: Logger
  /** In logs and metrics; default the resource's plural. */
  name?: string
  pageSize?: number
  times?: Partial<InformerTimes>
  metrics?: InformerMetrics
}

/** A watch shorter than this that brought nothing is a fault of the server, not a watch that ran its time. */
const SHORT_WATCH_MS = 1_000

export class Reflector<T extends KubeObject> {
  readonly #name: string
  readonly #options: ReflectorOptions
  readonly #sink: ReflectorSink<T>
  readonly #times: InformerTimes
  readonly #stop = new AbortController()
  #loop: Promise<void> | undefined
  #resourceVersion: string | undefined
  #relistAt = 0
  #failures = 0
  /** Monotonic ms: the last time the sink was known to be in step with the server. */
  #lastSync: number
  /** Monotonic ms: the last time the loop did anything, failures included. */
  #lastBeat: number

  constructor(options: ReflectorOptions, sink: ReflectorSink<T>) {
    this.#options = options
    this.#sink = sink
    this.#times = { ...DEFAULT_INFORMER_TIMES, ...options.times }
    this.#name = options.name ?? options.resource.plural
    this.#lastSync = options.clock.monotonic()
    this.#lastBeat = this.#lastSync
  }

  /** ms since the sink was last known to be in step: a list ended, or a byte (bookmarks too) came on the watch. */
  lastSyncAge(): number {
    return this.#options.clock.monotonic() - this.#lastSync
  }

  /** True when the loop has not turned for twice its longest wait. */
  isStuck(): boolean {
    const { stallMs, listMs, maxRetryAfterMs, backoff } = this.#times
    const longest = Math.max(stallMs, listMs, maxRetryAfterMs, backoff.maxMs)
    return (
      this.#loop !== undefined &&
      !this.#stop.signal.aborted &&
      this.#options.clock.monotonic() - this.#lastBeat > 2 * longest
    )
  }

  start(): void {
    this.#loop ??= this.#run()
  }

  /** Ends list, watch or wait at once; resolves when the loop has ended. */
  async stop(): Promise<void> {
    this.#stop.abort(new Error(`informer ${this.#name} was stopped`))
    await this.#loop
  }

  async #run(): Promise<void> {
    const { signal } = this.#stop
    while (!signal.aborted) {
      this.#lastBeat = this.#options.clock.monotonic()
      try {
        if (this.#resourceVersion === undefined || this.#isRelistDue()) await this.#relist()
        if (!(await this.#watch())) await this.#backOff('short watch', undefined)
      } catch (error) {
        if (!signal.aborted) await this.#backOff('failed', error)
      }
    }
  }

  #isRelistDue(): boolean {
    return this.#options.clock.monotonic() >= this.#relistAt
  }

  async #backOff(what: string, error: unknown): Promise<void> {
    const { clock, random, logger, metrics } = this.#options
    this.#failures += 1
    // A version too old, or a stream that makes no sense: only a full comparison brings the copy in step again.
    if (isExpired(error) || (error instanceof TransportError && error.code === 'BAD_BODY')) {
      this.#resourceVersion = undefined
    }
    const asked = error instanceof ApiError ? error.retryAfterMs : undefined
    const delay =
      asked === undefined
        ? backoffDelay(this.#times.backoff, this.#failures, random)
        : retryAfterDelay(asked, this.#times.maxRetryAfterMs, random)
    const reason = reasonOf(error)
    metrics?.failed(this.#name, reason)
    const level = this.#failures > 1 ? 'warn' : 'debug'
    logger[level](
      { informer: this.#name, reason, failures: this.#failures, delay, err: error },
      `informer ${what}`,
    )
    await pause(clock, delay, this.#stop.signal)
  }

  async #relist(): Promise<void> {
    const { client, clock, random, metrics } = this.#options
    const started = clock.monotonic()
    const found = new Map<ObjectKey, T>()
    const version = await listAll<T>(
      {
        ...this.#options,
        client,
        signal: this.#stop.signal,
        timeoutMs: this.#times.listMs,
        onPage: () => this.#beat(),
      },
      (object) => {
        found.set(keyOf(object), this.#sink.receive(object))
      },
    )
    this.#resourceVersion = version
    this.#relistAt = clock.monotonic() + this.#times.relistMs * (0.9 + random() * 0.2)
    this.#inStep()
    metrics?.listed(this.#name, (clock.monotonic() - started) / 1000, found.size)
    this.#sink.replaceAll(found)
  }

  /** True when the watch did something useful: brought an event, or lasted. */
  async #watch(): Promise<boolean> {
    const { client, clock, random, metrics } = this.#options
    const { min, max } = this.#times.watchSeconds
    const untilRelist = (this.#relistAt - clock.monotonic()) / 1000
    const seconds = Math.max(1, Math.ceil(Math.min(min + random() * (max - min), untilRelist)))
    const started = clock.monotonic()
    let useful = false
    metrics?.watched(this.#name)
    await watchOnce<T>(
      {
        ...this.#options,
        client,
        signal: this.#stop.signal,
        resourceVersion: this.#resourceVersion!,
        timeoutSeconds: seconds,
        stallMs: this.#times.stallMs,
        onBytes: () => this.#beat(),
      },
      (event) => {
        useful = true
        this.#failures = 0
        this.#inStep()
        this.#take(event)
      },
    )
    const lasted = clock.monotonic() - started >= Math.min(SHORT_WATCH_MS, seconds * 1000)
    if (lasted) this.#failures = 0
    return useful || lasted || this.#stop.signal.aborted
  }

  #take(event: WatchEvent<T>): void {
    const version = event.object.metadata.resourceVersion
    if (event.type === 'DELETED') this.#sink.remove(this.#sink.receive(event.object))
    else if (event.type !== 'BOOKMARK') this.#sink.put(this.#sink.receive(event.object))
    // Only now: were the telling to fail, the next watch would begin before this event again.
    this.#resourceVersion = version
  }

  #beat(): void {
    this.#lastBeat = this.#options.clock.monotonic()
  }

  #inStep(): void {
    this.#beat()
    this.#lastSync = this.#lastBeat
  }
}

function reasonOf(error: unknown): string {
  if (error instanceof ApiError) return `http-${error.status}`
  if (error instanceof TransportError) return error.code
  return error === undefined ? 'SHORT_WATCH' : 'OTHER'
}
