import type { RouteBacklog, RouteFailure } from '../../contract/route-stream.ts'

/**
 * - `Ready`: what comes is delivered.
 * - `DeliveryFailing`: the last deliveries failed; messages wait and are tried again.
 * - `BufferFull`: messages were lost lately, because more came than went.
 */
export type RouteHealth = 'Ready' | 'DeliveryFailing' | 'BufferFull'

/** What a worker knows of one route: counts since it started, plus the backlog as the stream tells it. */
export interface RouteSnapshot {
  routeId: string
  health: RouteHealth
  /** Messages that wait for delivery. */
  lag: number
  /** How long the oldest of them has waited, ms. */
  lagMs: number
  delivered: number
  /** Attempts that failed. */
  failed: number
  deadLettered: number
  /** Given up while `spec.deadLetter.enabled` is false: gone. */
  discarded: number
  /** Settled because `spec.filter` did not take them. */
  filtered: number
  dropped: number
  /** Messages delivered a second, over the last ten seconds or so. */
  rate: number
  /** ms since the epoch. */
  lastDeliveryTime?: number
  lastError?: RouteFailure
}

/** How long a loss is shown in `health`. */
const LOSS_SHOWN_MS = 60_000
/** Failures in a row that make a route `DeliveryFailing` while its gate is still open. */
const FAILURES_THAT_TELL = 3
const RATE_WINDOW_MS = 10_000

/** Counts of one route; outlives its runners, so a changed spec resets nothing. */
export class RouteCounters {
  delivered = 0
  failed = 0
  deadLettered = 0
  discarded = 0
  filtered = 0
  lastDeliveryTime: number | undefined
  lastError: RouteFailure | undefined
  #failuresInARow = 0
  #backlog: RouteBacklog | undefined
  #lastLoss: number | undefined
  #rate = 0
  #rateSample: { time: number; delivered: number } | undefined

  succeeded(count: number, now: number): void {
    this.delivered += count
    this.lastDeliveryTime = now
    this.#failuresInARow = 0
  }

  attemptFailed(failure: RouteFailure): void {
    this.failed += 1
    this.#failuresInARow += 1
    this.lastError = failure
  }

  /** Backlogs are read now and then; `now` is ms since the epoch. */
  sample(backlog: RouteBacklog | undefined, now: number): void {
    if (backlog !== undefined) {
      const lost = this.#backlog !== undefined && backlog.dropped > this.#backlog.dropped
      if (lost) this.#lastLoss = now
      this.#backlog = backlog
    }
    this.#sampleRate(now)
  }

  snapshot(routeId: string, { now, isGateFailing }: { now: number; isGateFailing: boolean }): RouteSnapshot {
    const { lastDeliveryTime, lastError } = this
    const oldest = this.#backlog?.oldestTime
    return {
      routeId,
      health: this.#health(now, isGateFailing),
      lag: this.#backlog?.messages ?? 0,
      lagMs: oldest === undefined ? 0 : Math.max(0, now - oldest),
      delivered: this.delivered,
      failed: this.failed,
      deadLettered: this.deadLettered,
      discarded: this.discarded,
      filtered: this.filtered,
      dropped: this.#backlog?.dropped ?? 0,
      rate: Math.round(this.#rate * 10) / 10,
      ...(lastDeliveryTime === undefined ? {} : { lastDeliveryTime }),
      ...(lastError === undefined ? {} : { lastError }),
    }
  }

  #health(now: number, isGateFailing: boolean): RouteHealth {
    if (this.#lastLoss !== undefined && now - this.#lastLoss < LOSS_SHOWN_MS) return 'BufferFull'
    return isGateFailing || this.#failuresInARow >= FAILURES_THAT_TELL ? 'DeliveryFailing' : 'Ready'
  }

  #sampleRate(now: number): void {
    const { delivered } = this
    const last = this.#rateSample
    this.#rateSample = { time: now, delivered }
    if (last === undefined || now <= last.time) return
    const elapsed = now - last.time
    const current = ((delivered - last.delivered) * 1000) / elapsed
    const weight = Math.min(1, elapsed / RATE_WINDOW_MS)
    this.#rate += (current - this.#rate) * weight
  }
}
