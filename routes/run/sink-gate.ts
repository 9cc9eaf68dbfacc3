/**
 * Whether anything may be sent to a destination just now. When it is down, or failing whatever it gets, one
 * message after the other would use up its attempts and die of somebody else's fault; so then all of them wait,
 * and one at a time tries whether the destination is back. Pure: `now` is in ms of any clock that only rises.
 */
import { backoff, type DeliveryPolicy } from './delivery-policy.ts'

/** Failures on this many topics, with no success between, are a failure of the destination. */
const TOPICS_THAT_TELL = 5

/** A destination may ask for a long pause, but not for one nobody would notice the end of. */
const LONGEST_ASKED_PAUSE_MS = 3_600_000

export class SinkGate {
  readonly #policy: DeliveryPolicy
  readonly #random: () => number
  /** Pauses in a row. */
  #pauses = 0
  #closedUntil = 0
  readonly #failing = new Set<string>()

  constructor(policy: DeliveryPolicy, random: () => number) {
    this.#policy = policy
    this.#random = random
  }

  /** True from the first pause until something was delivered. */
  get failing(): boolean {
    return this.#pauses > 0
  }

  /** Whether another call may begin while `underWay` are. */
  mayStart(now: number, underWay: number): boolean {
    if (now < this.#closedUntil) return false
    return !this.failing || underWay === 0
  }

  /** ms until it makes sense to ask again; 0: now. */
  waitMs(now: number): number {
    return Math.max(0, this.#closedUntil - now)
  }

  succeeded(): void {
    this.#pauses = 0
    this.#closedUntil = 0
    this.#failing.clear()
  }

  /** The destination itself failed, or asked for a pause of `askedMs`. */
  pause(now: number, askedMs?: number): void {
    // Calls that began before the pause fail after it: they tell nothing new.
    if (now < this.#closedUntil && askedMs === undefined) return
    this.#pauses += 1
    const own = backoff(this.#pauses, this.#policy, this.#random)
    const wait = Math.max(own, Math.min(askedMs ?? 0, LONGEST_ASKED_PAUSE_MS))
    this.#closedUntil = Math.max(this.#closedUntil, now + wait)
  }

  /** A message of `topic` failed; it is counted as a failure of the destination once many topics fail. */
  messageFailed(topic: string, now: number): void {
    if (this.#failing.size < TOPICS_THAT_TELL) this.#failing.add(topic)
    if (this.#failing.size >= TOPICS_THAT_TELL) this.pause(now)
  }
}
