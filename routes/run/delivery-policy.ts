/** Decides what becomes of a message after an attempt. Pure: time and chance are arguments. */
import { parseDuration } from '../../contract/duration.ts'
import type { RouteSpec } from '../../crds/route.ts'
import type { SinkFailure } from '../sinks/sink.ts'

/** `spec.delivery` and `spec.deadLetter` in numbers; all times in ms. */
export interface DeliveryPolicy {
  maxAttempts: number
  backoffInitialMs: number
  backoffMaximumMs: number
  timeoutMs: number
  concurrency: number
  order: 'PerTopic' | 'None'
  partitions: number
  deadLetter: { enabled: boolean; maxMessages: number; maxAgeMs: number }
}

/** Throws a RangeError for a duration that no API server would have let through. */
export function deliveryPolicy({ delivery, deadLetter }: RouteSpec): DeliveryPolicy {
  return {
    maxAttempts: delivery.maxAttempts,
    backoffInitialMs: milliseconds('delivery.backoff.initial', delivery.backoff.initial),
    backoffMaximumMs: milliseconds('delivery.backoff.maximum', delivery.backoff.maximum),
    timeoutMs: milliseconds('delivery.timeout', delivery.timeout),
    concurrency: delivery.concurrency,
    order: delivery.order,
    partitions: delivery.partitions,
    deadLetter: {
      enabled: deadLetter.enabled,
      maxMessages: deadLetter.maxMessages,
      maxAgeMs: milliseconds('deadLetter.maxAge', deadLetter.maxAge),
    },
  }
}

/** The ms of a duration of a spec. Throws a RangeError when it is none. */
export function milliseconds(field: string, text: string): number {
  const value = parseDuration(text)
  if (value === undefined)
    throw new RangeError(`spec.${field}: expected a duration such as 1m30s, got ${JSON.stringify(text)}`)
  return value
}

/** What a failed attempt means for its message. `afterMs` counts from now. */
export type Verdict =
  /** The message waits, and with it its topic. */
  | { next: 'Retry'; afterMs: number }
  /** Every message waits. */
  | { next: 'PauseRoute'; afterMs: number | undefined }
  | { next: 'GiveUp' }

/** `attempts` counts those that may have failed because of this message, this one included. */
export function judge(
  failure: SinkFailure,
  attempts: number,
  { policy, random }: { policy: DeliveryPolicy; random: () => number },
): Verdict {
  if (failure.kind === 'Permanent') return { next: 'GiveUp' }
  if (failure.kind === 'Throttled') return { next: 'PauseRoute', afterMs: failure.retryAfterMs }
  if (attempts >= policy.maxAttempts) return { next: 'GiveUp' }
  if (failure.scope === 'Sink') return { next: 'PauseRoute', afterMs: failure.retryAfterMs }
  return { next: 'Retry', afterMs: Math.max(backoff(attempts, policy, random), failure.retryAfterMs ?? 0) }
}

/**
 * The wait after the `failures`th failure in a row, ms: any part of a span that doubles each time (full jitter,
 * so that what failed together does not come back together).
 */
export function backoff(
  failures: number,
  { backoffInitialMs, backoffMaximumMs }: DeliveryPolicy,
  random: () => number,
): number {
  // 2^40 ms is 35 years: beyond it the exponent only loses precision.
  const span = Math.min(backoffMaximumMs, backoffInitialMs * 2 ** Math.min(failures - 1, 40))
  return Math.round(random() * span)
}
