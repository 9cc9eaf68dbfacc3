/** What the status of an HTTP answer means for the message that was sent. Pure. */
import { STATUS_CODES } from 'node:http'
import { permanent, type SinkFailure, throttled, transient, unavailable } from '../sink.ts'

/** About who we are or which URL it is, so about every message alike. */
const OF_THE_ROUTE = new Set([401, 402, 403, 404, 405, 407, 410, 421, 426, 451, 501, 503, 505])
const PASSING = new Set([408, 425])

/** `now`: ms since the epoch, for a Retry-After with a date. */
export function statusFailure(
  status: number,
  retryAfter: string | undefined,
  now: number,
): SinkFailure | undefined {
  if (status >= 200 && status < 300) return undefined
  const details = {
    code: `HTTP_${status}`,
    message: `the destination answered ${status} ${STATUS_CODES[status] ?? ''}`,
    retryAfterMs: retryAfterMs(retryAfter, now),
  }
  if (status === 429 || (status === 503 && details.retryAfterMs !== undefined)) return throttled(details)
  if (OF_THE_ROUTE.has(status)) return unavailable(details)
  if (status >= 400 && status < 500 && !PASSING.has(status)) return permanent(details)
  return transient(details)
}

/** RFC 9110 §10.2.3: seconds or a date; undefined: absent or neither. */
export function retryAfterMs(value: string | undefined, now: number): number | undefined {
  if (value === undefined) return undefined
  if (/^\d{1,9}$/.test(value)) return Number(value) * 1000
  // Date.parse takes much more for a date than HTTP does, even a mere "-5".
  const date = value.endsWith(' GMT') ? Date.parse(value) : Number.NaN
  return Number.isNaN(date) ? undefined : Math.max(0, date - now)
}
