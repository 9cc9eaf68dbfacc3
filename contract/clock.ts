/** Time as a process sees it. Everything that waits or dates takes one, so tests own time. */
export interface Clock {
  /** ms since the epoch: for timestamps that others read. */
  now(): number
  /** ms from an arbitrary start that never jumps back: for every duration and deadline. */
  monotonic(): number
  /** Runs `callback` once after `ms`; the returned function cancels it. Never keeps the process alive. */
  after(ms: number, callback: () => void): () => void
}

/** Resolves after `ms`, or as soon as `signal` aborts: the caller looks at the signal, nothing is thrown. */
export function pause(clock: Clock, ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) return resolve()
    const finish = () => {
      cancel()
      signal.removeEventListener('abort', finish)
      resolve()
    }
    const cancel = clock.after(ms, finish)
    signal.addEventListener('abort', finish)
  })
}
