/**
 * A token bucket: `perSecond` on average, `burst` at once. The clock is an argument (any monotone one, in ms).
 * The state is changed in place, as it is asked per message and a new object each would be the larger cost.
 */
export interface TokenBucket {
  /** 0 or less: no bound, every request passes. */
  readonly perSecond: number
  readonly burst: number
  tokens: number
  /** Time up to which tokens have been added. */
  at: number
}

/** A full bucket. `burst` defaults to one second's worth, and is never below one token. */
export function tokenBucket(perSecond: number, now: number, burst: number = perSecond): TokenBucket {
  const capacity = Math.max(1, burst)
  return { perSecond, burst: capacity, tokens: capacity, at: now }
}

/**
 * Takes `n` tokens or none. Answers 0 when they were taken, else the ms (at least 1) after which to ask again;
 * `Infinity` when `n` is more than the bucket ever holds. For requests that can be refused, such as a CONNECT.
 */
export function takeTokens(bucket: TokenBucket, now: number, n = 1): number {
  if (bucket.perSecond <= 0) return 0
  if (n > bucket.burst) return Number.POSITIVE_INFINITY
  refill(bucket, now)
  if (bucket.tokens < n) return waitFor(bucket, n)
  bucket.tokens -= n
  return 0
}

/**
 * Takes `n` tokens in any case, on credit if need be, and answers the ms until the debt is paid; 0: go on. For
 * what has already arrived, such as a PUBLISH: the reader pauses its link that long. The debt is bounded by the
 * burst, so one link can never be silenced for longer than `burst / perSecond` seconds.
 */
export function chargeTokens(bucket: TokenBucket, now: number, n = 1): number {
  if (bucket.perSecond <= 0) return 0
  refill(bucket, now)
  bucket.tokens = Math.max(-bucket.burst, bucket.tokens - n)
  return bucket.tokens >= 0 ? 0 : waitFor(bucket, 0)
}

/** A clock that steps back adds nothing, and a long silence no more than the burst. */
function refill(bucket: TokenBucket, now: number): void {
  if (now <= bucket.at) return
  bucket.tokens = Math.min(bucket.burst, bucket.tokens + ((now - bucket.at) * bucket.perSecond) / 1000)
  bucket.at = now
}

/** Whole ms, rounded up: a timer that fires early would only find the bucket short again. */
function waitFor(bucket: TokenBucket, tokens: number): number {
  return Math.max(1, Math.ceil(((tokens - bucket.tokens) * 1000) / bucket.perSecond))
}
