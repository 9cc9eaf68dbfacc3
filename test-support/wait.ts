import { setTimeout as delay } from 'node:timers/promises'

/**
 * How long tests wait for what they wait for: far longer than it takes on a quiet machine, for a wait that
 * succeeds costs no more under a longer limit. What has to be quick is measured, not limited.
 */
export const PATIENCE_MS = 30_000

export interface WaitOptions {
  timeoutMs?: number
  intervalMs?: number
}

/**
 * Asks again until `check` gives something other than `undefined`, `null` or `false`, and returns that.
 * Rejects after `timeoutMs` (default `PATIENCE_MS`) with `what` and the last error that `check` threw, if any.
 */
export async function waitUntil<T>(
  what: string,
  check: () => T | Promise<T>,
  { timeoutMs = PATIENCE_MS, intervalMs = 20 }: WaitOptions = {},
): Promise<NonNullable<Exclude<T, false>>> {
  const deadline = performance.now() + timeoutMs
  let cause: unknown
  for (;;) {
    // Looked at before `check`, so that one look comes after the deadline, however late this process was woken.
    const isLate = performance.now() >= deadline
    try {
      const answer = await check()
      if (answer !== undefined && answer !== null && answer !== false) {
        return answer as NonNullable<Exclude<T, false>>
      }
    } catch (error) {
      cause = error
    }
    if (isLate) throw tooLate(what, timeoutMs, cause)
    await delay(intervalMs)
  }
}

function tooLate(what: string, timeoutMs: number, cause?: unknown): Error {
  const text = `${what}: not within ${timeoutMs} ms`
  if (cause === undefined) return new Error(text)
  return new Error(`${text}; last error: ${cause instanceof Error ? cause.message : cause}`, { cause })
}

/** Rejects with `what` when `promise` takes longer than `timeoutMs`. */
export async function within<T>(what: string, timeoutMs: number, promise: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(tooLate(what, timeoutMs)), timeoutMs)
  })
  try {
    return await Promise.race([promise, late])
  } finally {
    clearTimeout(timer)
  }
}
