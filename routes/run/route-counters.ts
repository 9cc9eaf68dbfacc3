import type { RouteReport } from '../../contract/route-report.ts'
import type { RouteBacklog, RouteFailure } from '../../contract/route-stream.ts'

/** How long a loss is shown in `health`, and a message that was given up in `isGivingUp`. */
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
  /** Of the message that was given up last: other errors may have followed. */
  lastLetter: RouteFailure | undefined
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

  /** A message was given up over `failure`. */
  gaveUp(failure: RouteFailure, kept: 'deadLettered' | 'discarded'): void {
    this[kept] += 1
    this.lastLetter = failure
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

  snapshot(routeId: string, { now, isGateFailing }: { now: number; isGateFailing: boolean }): RouteReport {
    const { lastDeliveryTime, lastError, lastLetter } = this
    const oldest = this.#backlog?.oldestTime
    const isDown = isGateFailing || this.#failuresInARow >= FAILURES_THAT_TELL
    return {
      routeId,
      health: this.#isLosing(now) ? 'BufferFull' : isDown ? 'DeliveryFailing' : 'Ready',
      isDown,
      isGivingUp: lastLetter !== undefined && now - lastLetter.time < LOSS_SHOWN_MS,
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
      ...(lastLetter === undefined ? {} : { lastLetter }),
    }
  }

  #isLosing(now: number): boolean {
    return this.#lastLoss !== undefined && now - this.#lastLoss < LOSS_SHOWN_MS
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
