import type { Redis } from 'ioredis'
import { encodeReport, REPORT_TTL_SECONDS, type RouteReport } from '../contract/route-report.ts'

/** Writes what has changed in the reports on routes, and lets the rest live on. */
export class RouteReports {
  readonly #key: string
  #written = new Map<string, string>()

  constructor(key: string) {
    this.#key = key
  }

  /** Rejects as the client does; the next call then brings what this one has not. */
  async send(redis: Redis, reports: readonly RouteReport[]): Promise<void> {
    const current = new Map(reports.map((report) => [report.routeId, encodeReport(report)]))
    // Expired, or written by the worker before: all of it is told anew.
    if (this.#written.size === 0 || (await redis.exists(this.#key)) === 0) {
      this.#written = new Map()
      await redis.unlink(this.#key)
    }
    const changed = [...current].filter(([id, text]) => this.#written.get(id) !== text)
    const gone = [...this.#written.keys()].filter((id) => !current.has(id))
    const batch = redis.multi()
    if (changed.length > 0) batch.hset(this.#key, ...changed.flat())
    if (gone.length > 0) batch.hdel(this.#key, ...gone)
    // At once with its end: a worker that dies in between must not leave it for ever.
    await batch.expire(this.#key, REPORT_TTL_SECONDS).exec()
    this.#written = current
  }

  /** Another worker writes from now on. */
  forget(): void {
    this.#written = new Map()
  }
}
