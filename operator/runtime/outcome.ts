/** What a reconcile says about what follows it. */
export interface Outcome {
  /** Look again after so many ms; absent: when something changes. */
  requeueAfterMs?: number
}

/** Everything is as it should be until something changes. */
export const done = (): Outcome => ({})

/** All is well, and there is a time at which to look again (a renewal, a digest). */
export const requeueAfter = (ms: number): Outcome => ({ requeueAfterMs: ms })

/** Of several outcomes the one that looks again first. */
export function soonest(outcomes: readonly Outcome[]): Outcome {
  const times = outcomes.flatMap(({ requeueAfterMs }) => requeueAfterMs ?? [])
  return times.length === 0 ? done() : requeueAfter(Math.min(...times))
}

/**
 * A person has to change something first (a bad reference, a taken name): not tried again until an event comes.
 * Throw it after the condition that says so was written.
 */
export class Stalled extends Error {
  override readonly name = 'Stalled'
  /** Stable, as in the condition. */
  readonly reason: string

  constructor(reason: string, message: string) {
    super(message)
    this.reason = reason
  }
}

/** Something else has to happen first and may tell nobody: tried again after `ms`, not counted as a failure. */
export class Waiting extends Error {
  override readonly name = 'Waiting'
  readonly reason: string
  readonly ms: number

  constructor(reason: string, message: string, ms: number) {
    super(message)
    this.reason = reason
    this.ms = ms
  }
}
