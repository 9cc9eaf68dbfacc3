/** What a route worker tells of its routes: to the operator, to people, to metrics and to events. */
import type { RouteFailure } from './route-stream.ts'

/**
 * - `Ready`: what comes is delivered.
 * - `DeliveryFailing`: the last deliveries failed; messages wait and are tried again.
 * - `BufferFull`: messages were lost lately, because more came than went.
 */
export type RouteHealth = 'Ready' | 'DeliveryFailing' | 'BufferFull'

/** What a worker knows of one route: counts since the worker started, and the backlog as the stream tells it. */
export interface RouteReport {
  routeId: string
  health: RouteHealth
  /** The destination takes nothing at present; `BufferFull` hides it in `health`. */
  isDown: boolean
  /** Messages were given up within the last minute: dead letters, or gone. Absent: not, or a worker of before. */
  isGivingUp?: boolean
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
  /** Why the last message that was given up was given up. */
  lastLetter?: RouteFailure
}

/** Reports that nobody renews are gone after so long: nobody may take them for the truth then. */
export const REPORT_TTL_SECONDS = 60

export const encodeReport = (report: RouteReport): string => JSON.stringify(report)

/** Undefined: not one of this version. */
export function decodeReport(text: string): RouteReport | undefined {
  try {
    const value = JSON.parse(text) as Partial<RouteReport> | null
    if (typeof value !== 'object' || value === null) return undefined
    const { routeId, health, isDown } = value
    if (typeof routeId !== 'string' || typeof health !== 'string' || typeof isDown !== 'boolean')
      return undefined
    const counts = [value.lag, value.lagMs, value.delivered, value.failed, value.deadLettered]
    return [...counts, value.discarded, value.filtered, value.dropped, value.rate].every(Number.isFinite)
      ? (value as RouteReport)
      : undefined
  } catch {
    return undefined
  }
}
