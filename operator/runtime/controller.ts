/**
 * The one loop every kind shares: takes keys from a queue, runs the reconcile of its kind for each under a time
 * limit, and decides by its outcome when to look again.
 */
import { randomUUID } from 'node:crypto'
import type { Logger } from 'pino'
import type { Clock } from '../../contract/clock.ts'
import { isConflict } from './api-error.ts'
import type { BackoffPolicy } from './backoff.ts'
import type { ControllerMetrics, ReconcileResult } from './controller-metrics.ts'
import { type Outcome, Stalled, Waiting } from './outcome.ts'
import type { WorkQueueMetrics } from './queue-metrics.ts'
import type { ObjectKey } from './resource.ts'
import { type AddOptions, WorkQueue } from './work-queue.ts'

export interface ReconcileContext {
  /** Aborts when the time is up, the controller stops or leadership is lost. Hand it to every request. */
  signal: AbortSignal
  /** Carries controller, key and reconcile id. */
  logger: Logger
  reconcileId: string
  /** Failures of this key in a row before this run. */
  failures: number
}

/** Brings the world in step with the object that `key` names, which may be gone. Reads state, never an event. */
export type Reconcile = (key: ObjectKey, context: ReconcileContext) => Promise<Outcome>

export interface ControllerOptions {
  name: string
  reconcile: Reconcile
  logger: Logger
  clock: Clock
  /** [0, 1). */
  random: () => number
  /** Keys in work at a time. Default 4. */
  concurrency?: number
  /** ms for one run. Default 60,000. */
  timeoutMs?: number
  backoff?: BackoffPolicy
  metrics?: ControllerMetrics
  queueMetrics?: WorkQueueMetrics
}

export const DEFAULT_CONCURRENCY = 4
export const DEFAULT_RECONCILE_TIMEOUT_MS = 60_000
/** A run that ignores its signal for so long after its time is counted as stuck. */
const STUCK_GRACE_MS = 60_000

export class Controller {
  readonly name: string
  readonly #options: ControllerOptions
  readonly #queue: WorkQueue
  readonly #stop = new AbortController()
  readonly #timeoutMs: number
  #started = false

  constructor(options: ControllerOptions) {
    this.name = options.name
    this.#options = options
    this.#timeoutMs = options.timeoutMs ?? DEFAULT_RECONCILE_TIMEOUT_MS
    this.#queue = new WorkQueue({
      name: options.name,
      clock: options.clock,
      random: options.random,
      ...(options.backoff ? { backoff: options.backoff } : {}),
      ...(options.queueMetrics ? { metrics: options.queueMetrics } : {}),
    })
    options.metrics?.watch(options.name, options.concurrency ?? DEFAULT_CONCURRENCY)
  }

  /** Asks for a run of `key`; works before `start` too, the keys wait. */
  enqueue(key: ObjectKey, options?: AddOptions): void {
    this.#queue.add(key, options)
  }

  enqueueAfter(key: ObjectKey, ms: number): void {
    this.#queue.addAfter(key, ms)
  }

  start(): void {
    if (this.#started) return
    this.#started = true
    this.#queue.start((key) => this.#run(key), this.#options.concurrency ?? DEFAULT_CONCURRENCY)
  }

  /** Aborts the runs going on and resolves when they have ended. */
  async stop(): Promise<void> {
    this.#stop.abort(new Error(`controller ${this.name} was stopped`))
    await this.#queue.stop()
  }

  /** Keys that wait for a worker now. */
  get depth(): number {
    return this.#queue.depth
  }

  /**
   * Runs that neither ended nor heeded their signal. Such a key is never run again in this process, because it
   * must not run twice at a time: only a restart helps, so liveness asks for this number.
   */
  stuckRuns(): number {
    const limit = (this.#timeoutMs + STUCK_GRACE_MS) / 1000
    return this.#queue.runningSeconds().filter((seconds) => seconds > limit).length
  }

  async #run(key: ObjectKey): Promise<void> {
    const { clock, metrics } = this.#options
    const started = clock.monotonic()
    const reconcileId = randomUUID()
    const logger = this.#options.logger.child({ controller: this.name, key, reconcileId })
    const timeout = new AbortController()
    const cancel = clock.after(this.#timeoutMs, () =>
      timeout.abort(new Error(`reconcile took longer than ${this.#timeoutMs} ms`)),
    )
    const signal = AbortSignal.any([this.#stop.signal, timeout.signal])
    const failures = this.#queue.failures(key)
    metrics?.began(this.name)
    let result: ReconcileResult = 'error'
    try {
      const outcome = await this.#options.reconcile(key, { signal, logger, reconcileId, failures })
      result = this.#follow(key, outcome)
    } catch (error) {
      result = this.#fail(key, error, logger)
      if (timeout.signal.aborted) metrics?.timedOut(this.name)
    } finally {
      cancel()
      metrics?.ended(this.name, result, (clock.monotonic() - started) / 1000)
    }
  }

  #follow(key: ObjectKey, { requeueAfterMs }: Outcome): ReconcileResult {
    this.#queue.forget(key)
    if (requeueAfterMs === undefined) return 'success'
    this.#queue.addAfter(key, requeueAfterMs)
    return 'requeue_after'
  }

  #fail(key: ObjectKey, error: unknown, logger: Logger): ReconcileResult {
    if (this.#stop.signal.aborted) return 'aborted'
    if (error instanceof Stalled) {
      this.#queue.forget(key)
      logger.info({ reason: error.reason, detail: error.message }, 'reconcile stalled')
      return 'stalled'
    }
    if (error instanceof Waiting) {
      this.#queue.forget(key)
      this.#queue.addAfter(key, error.ms)
      logger.debug({ reason: error.reason, detail: error.message, ms: error.ms }, 'reconcile waits')
      return 'requeue_after'
    }
    const delay = this.#queue.addRateLimited(key)
    if (isConflict(error)) {
      // The copy was older than the object. By the next run it has caught up; nobody needs to read about it.
      logger.debug({ err: error, delay }, 'reconcile met a newer object')
      return 'requeue'
    }
    logger.error({ err: error, delay, failures: this.#queue.failures(key) }, 'reconcile failed')
    return 'error'
  }
}
