/** Shape of an exponential back-off. */
export interface BackoffPolicy {
  /** ms before the first retry. */
  baseMs: number
  /** Ceiling in ms. Too high and recovery after an outage is slow; too low and an outage is a flood. */
  maxMs: number
}

/**
 * Delay in ms before retry number `attempt` (1 is the first): exponential, and spread over the upper half of its
 * step so that many that failed together do not come back together. `random` gives [0, 1).
 */
export function backoffDelay(policy: BackoffPolicy, attempt: number, random: () => number): number {
  // The exponent is capped before the power: 2 ** 1024 is Infinity, and Infinity * 0 is NaN.
  const step = Math.min(policy.maxMs, policy.baseMs * 2 ** Math.min(attempt - 1, 30))
  return step * (0.5 + random() * 0.5)
}

/**
 * Delay when the server named one (`Retry-After`): never earlier than it asked, spread by up to a fifth, and
 * never longer than `ceilingMs`, so that one absurd header cannot park a loop for a day.
 */
export function retryAfterDelay(askedMs: number, ceilingMs: number, random: () => number): number {
  return Math.min(askedMs * (1 + random() * 0.2), ceilingMs)
}
