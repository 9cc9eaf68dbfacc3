/**
 * Leader election by a Lease, after client-go: of several processes one writes at a time. Nobody compares clocks
 * with anybody else; each measures on its own for how long it has not seen the lease change.
 *
 * What is promised: a process begins no write later than `renewDeadlineMs` after it *sent* its last successful
 * renewal (`mayWrite`, asked by `guardWrites` in the tick in which a request's first byte leaves), and no other
 * becomes leader earlier than `leaseDurationMs` after it *saw* that renewal. The difference between both covers a
 * write that is under way, and clocks that run at different speeds.
 */
import type { Logger } from 'pino'
import { type Clock, pause } from '../../contract/clock.ts'
import type { ApiClient } from './api-client.ts'
import { isConflict, isNotFound } from './api-error.ts'
import type { LeaderMetrics } from './leader-metrics.ts'
import {
  createLease,
  type Lease,
  type LeaseRequest,
  type LeaseSpec,
  readLease,
  replaceLease,
} from './lease.ts'

export interface LeaderOptions {
  client: ApiClient
  clock: Clock
  /** [0, 1). */
  random: () => number
  logger: Logger
  namespace: string
  /** Name of the Lease: one for each set of processes of which one may write. */
  name: string
  /** Unique to this process, also after a restart under the same host name. */
  identity: string
  /** Default 15,000: how long after its last renewal a silent leader is respected. */
  leaseDurationMs?: number
  /** Default 10,000: how long the leader itself goes on without a renewal. */
  renewDeadlineMs?: number
  /** Default 2,000: between renewals, and between looks at another's lease. */
  retryMs?: number
  metrics?: LeaderMetrics
}

/** What others ask of an election. */
export interface Leadership {
  /** True while a write may be begun. Exact at the moment of the call; never cache the answer. */
  mayWrite(): boolean
}

/** The times client-go's defaults have, in ms. */
export const DEFAULT_LEASE_DURATION_MS = 15_000
export const DEFAULT_RENEW_DEADLINE_MS = 10_000
export const DEFAULT_RETRY_MS = 2_000
/** A renewal under way may come in between, once; the rest is for hands that touch the lease. */
const MAX_GIVE_UPS = 3

interface Observed {
  lease: Lease
  /** Monotonic ms of when the lease was last seen to change. */
  at: number
}

export class LeaderElection implements Leadership {
  readonly #options: LeaderOptions
  readonly #leaseMs: number
  readonly #deadlineMs: number
  readonly #retryMs: number
  readonly #stop = new AbortController()
  readonly #lost = new AbortController()
  readonly #elected = Promise.withResolvers<void>()
  #loop: Promise<void> | undefined
  #observed: Observed | undefined
  /** When the last successful renewal was sent, on both clocks. */
  #renewed: { monotonic: number; wall: number } | undefined
  #lastBeat: number
  /** A claim is on its way, or was cut off: the server may have taken it. */
  #isClaiming = false

  constructor(options: LeaderOptions) {
    this.#options = options
    this.#leaseMs = options.leaseDurationMs ?? DEFAULT_LEASE_DURATION_MS
    this.#deadlineMs = options.renewDeadlineMs ?? DEFAULT_RENEW_DEADLINE_MS
    this.#retryMs = options.retryMs ?? DEFAULT_RETRY_MS
    if (this.#deadlineMs >= this.#leaseMs || this.#retryMs * 2 > this.#deadlineMs) {
      throw new Error(
        `leader election: expected lease duration > renew deadline >= 2 × retry, got ${this.#leaseMs}, ${this.#deadlineMs}, ${this.#retryMs} ms`,
      )
    }
    this.#lastBeat = options.clock.monotonic()
    options.metrics?.watch(options.name, () => this.mayWrite())
  }

  /** Aborts when leadership was held and is lost. It never comes back in this process: end it and start anew. */
  get lost(): AbortSignal {
    return this.#lost.signal
  }

  mayWrite(): boolean {
    if (!this.#renewed || this.#lost.signal.aborted) return false
    const { clock } = this.#options
    // The monotonic clock stands still while a machine is suspended, the wall clock can be set back: whichever
    // says that more time has passed is believed.
    const passed = Math.max(clock.monotonic() - this.#renewed.monotonic, clock.now() - this.#renewed.wall)
    return passed < this.#deadlineMs
  }

  /** True when the loop has not turned for longer than any wait of it. */
  isStuck(): boolean {
    const running = this.#loop !== undefined && !this.#stop.signal.aborted && !this.#lost.signal.aborted
    return running && this.#options.clock.monotonic() - this.#lastBeat > 2 * (this.#leaseMs + this.#retryMs)
  }

  start(): void {
    this.#loop ??= this.#run()
  }

  /** Resolves when leadership was won, or when `signal` aborts first (look at it then). */
  async whenElected(signal: AbortSignal): Promise<void> {
    if (signal.aborted) return
    const aborted = Promise.withResolvers<void>()
    const abort = () => aborted.resolve()
    signal.addEventListener('abort', abort, { once: true })
    await Promise.race([this.#elected.promise, aborted.promise])
    signal.removeEventListener('abort', abort)
  }

  /**
   * Gives the lease up, so that the next leader need not wait for it to run out. Stop everything that writes
   * before: from here on `mayWrite` is false.
   */
  async stop(): Promise<void> {
    this.#stop.abort(new Error('leader election was stopped'))
    await this.#loop
    const held = this.mayWrite()
    this.#lose('stopped')
    if (held || this.#isClaiming) await this.#release()
  }

  async #run(): Promise<void> {
    const { clock, random } = this.#options
    const { signal } = this.#stop
    while (!signal.aborted && !this.#lost.signal.aborted) {
      this.#lastBeat = clock.monotonic()
      await this.#turn()
      if (this.#lost.signal.aborted) return
      // Candidates spread their looks; the leader is punctual.
      const wait = this.#renewed ? this.#retryMs : this.#retryMs * (1 + random() * 0.2)
      await pause(clock, wait, signal)
    }
  }

  /** One look or renewal. */
  async #turn(): Promise<void> {
    const { clock, logger, name, identity } = this.#options
    const sent = { monotonic: clock.monotonic(), wall: clock.now() }
    try {
      const won = await this.#acquireOrRenew()
      if (won && !this.#renewed) this.#win(sent)
      else if (won) this.#prolong(sent)
      else if (this.#renewed) this.#lose('another process holds the lease')
    } catch (error) {
      logger.warn({ lease: name, identity, err: error }, 'lease could not be read or written')
      if (this.#renewed && !this.mayWrite()) this.#lose('the renew deadline has passed')
    }
  }

  #win(sent: { monotonic: number; wall: number }): void {
    const { clock, logger, name, identity } = this.#options
    this.#renewed = sent
    // The answer took longer than the deadline: whoever waited for it may be leader by now.
    if (!this.mayWrite()) {
      this.#renewed = undefined
      return
    }
    logger.info({ lease: name, identity }, 'became leader')
    this.#elected.resolve()
    this.#watchDeadline(clock)
  }

  #prolong(sent: { monotonic: number; wall: number }): void {
    // A renewal that comes back after the deadline does not revive a leadership that has ended.
    if (this.mayWrite()) this.#renewed = sent
    else this.#lose('the renew deadline has passed')
  }

  /** Tells what runs, at the deadline itself, and not only when the next request fails. */
  #watchDeadline(clock: Clock): void {
    const left = this.#renewed!.monotonic + this.#deadlineMs - clock.monotonic()
    const cancel = clock.after(Math.max(0, left), () => {
      if (this.#lost.signal.aborted) return
      if (this.mayWrite()) this.#watchDeadline(clock)
      else this.#lose('the renew deadline has passed')
    })
    this.#lost.signal.addEventListener('abort', cancel, { once: true })
  }

  #lose(why: string): void {
    if (!this.#renewed || this.#lost.signal.aborted) return
    const { logger, name, identity } = this.#options
    logger.info({ lease: name, identity, why }, 'no longer leader')
    this.#lost.abort(new Error(`leadership was lost: ${why}`))
  }

  async #acquireOrRenew(): Promise<boolean> {
    const { client, namespace, name } = this.#options
    const request = { client, namespace, name, timeoutMs: this.#requestMs(), signal: this.#stop.signal }
    try {
      // The leader knows the lease; when that turns out to be old, the conflict below makes it look.
      const known = this.#renewed ? this.#observed?.lease : undefined
      const current = known ?? (await readLease(request))
      if (!known) this.#observe(current)
      if (!this.#isMine(current) && !this.#isFree()) return false
      await this.#claiming(replaceLease(request, current, this.#claim(current)))
      return true
    } catch (error) {
      if (isNotFound(error)) return this.#create()
      if (!isConflict(error)) throw error
      const current = await readLease(request)
      this.#observe(current)
      if (!this.#renewed || !this.#isMine(current)) return false
      // Someone touched the lease (an annotation, say) while it stayed ours.
      this.#observe(await replaceLease(request, current, this.#claim(current)))
      return true
    }
  }

  async #create(): Promise<boolean> {
    const { client, namespace, name } = this.#options
    const request = { client, namespace, name, timeoutMs: this.#requestMs(), signal: this.#stop.signal }
    // A leader whose lease was deleted does not make itself a new one: another may have done so first. And who saw
    // the lease of another before it went respects it as long as if it were there; the other may still write.
    // (Who never saw it cannot know: deleting the lease of a running operator by hand and starting another at
    // once is the one way to two writers, as with client-go.)
    if (this.#renewed || (this.#observed && !this.#isFree())) return false
    try {
      await this.#claiming(createLease(request, this.#claim(undefined)))
      return true
    } catch (error) {
      if (isConflict(error)) return false
      throw error
    }
  }

  /** Until there is an answer, and when none came, the claim may have been stored. */
  async #claiming(claim: Promise<Lease>): Promise<void> {
    this.#isClaiming = true
    try {
      this.#observe(await claim)
      this.#isClaiming = false
    } catch (error) {
      if (isConflict(error)) this.#isClaiming = false
      throw error
    }
  }

  /** A renewal that hangs must not use up the time in which a second one could succeed. */
  #requestMs(): number {
    return Math.max(1, Math.min(this.#deadlineMs / 2, this.#leaseMs - this.#deadlineMs))
  }

  #isMine(lease: Lease): boolean {
    return lease.spec?.holderIdentity === this.#options.identity
  }

  /** Nobody holds it, or its holder was silent for as long as the lease says. */
  #isFree(): boolean {
    const { lease, at } = this.#observed!
    if (!lease.spec?.holderIdentity) return true
    const durationMs = (lease.spec.leaseDurationSeconds ?? this.#leaseMs / 1000) * 1000
    return this.#options.clock.monotonic() - at >= durationMs
  }

  #observe(lease: Lease): void {
    const known = this.#observed?.lease.metadata
    if (known?.uid === lease.metadata.uid && known?.resourceVersion === lease.metadata.resourceVersion) return
    this.#observed = { lease, at: this.#options.clock.monotonic() }
  }

  #claim(current: Lease | undefined): LeaseSpec {
    const now = new Date(this.#options.clock.now()).toISOString().replace('Z', '000Z')
    const mine = current !== undefined && this.#isMine(current)
    return {
      holderIdentity: this.#options.identity,
      leaseDurationSeconds: Math.max(1, Math.ceil(this.#leaseMs / 1000)),
      renewTime: now,
      acquireTime: mine ? (current.spec?.acquireTime ?? now) : now,
      leaseTransitions: (current?.spec?.leaseTransitions ?? 0) + (current && !mine ? 1 : 0),
    }
  }

  async #release(): Promise<void> {
    const { client, namespace, name, logger } = this.#options
    const request = { client, namespace, name, timeoutMs: this.#requestMs() }
    try {
      await this.#giveUp(request)
    } catch (error) {
      logger.warn(
        { lease: name, err: error },
        'lease was not given up; the next leader waits for it to run out',
      )
    }
  }

  /** The last renewal was cut off by `stop`; it may be stored before the look here, after it, or never. */
  async #giveUp(request: LeaseRequest): Promise<void> {
    for (let left = MAX_GIVE_UPS; ; left -= 1) {
      const current = await readLease(request)
      if (!this.#isMine(current)) return
      const spec = { ...this.#claim(current), holderIdentity: '', leaseDurationSeconds: 1 }
      try {
        await replaceLease(request, current, spec)
        return
      } catch (error) {
        if (!isConflict(error) || left <= 1) throw error
      }
    }
  }
}
