/** Time as a process sees it. Everything that waits or dates takes one, so tests own time. */
export interface Clock {
  /** ms since the epoch: for timestamps that others read. */
  now(): number
  /** ms from an arbitrary start that never jumps back: for every duration and deadline. */
  monotonic(): number
  /** Runs `callback` once after `ms`; the returned function cancels it. Never keeps the process alive. */
  after(ms: number, callback: () => void): () => void
}
