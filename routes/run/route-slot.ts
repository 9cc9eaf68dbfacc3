import type { Clock } from '../../contract/clock.ts'
import type { RouteRecord } from '../../contract/hub-state.ts'
import type { RouteReport } from '../../contract/route-report.ts'
import type { RouteStream } from '../../contract/route-stream.ts'
import type { Egress } from '../net/egress.ts'
import { openSink } from '../sinks/open-sink.ts'
import type { PublishReply } from '../sinks/rest/reply.ts'
import { type SinkFailure, unavailable } from '../sinks/sink.ts'
import { compileTransform } from '../transform/expressions.ts'
import { deliveryPolicy } from './delivery-policy.ts'
import { RouteCounters } from './route-counters.ts'
import { routeFailure } from './route-item.ts'
import { RouteRunner } from './route-runner.ts'

export interface SlotOptions {
  routeId: string
  stream: RouteStream
  egress: Egress
  publishReply: PublishReply
  onFault: (error: unknown) => void
  clock: Clock
  random: () => number
  mayDeliver: () => boolean
}

/** All that a runner is made from. */
export interface WantedRoute {
  record: RouteRecord
  values: Readonly<Record<string, string>>
  partitions: readonly number[]
}

const PURGE_INTERVAL_MS = 60_000

/**
 * The place of one route in a worker: makes the runner be the one that is wanted, one change after the other, so
 * that two runners never read the same partition.
 */
export class RouteSlot {
  readonly #options: SlotOptions
  readonly #counters = new RouteCounters()
  #wanted: WantedRoute | undefined
  /** What the current runner, or the failure to make one, came from. */
  #currentKey: string | undefined
  #runner: RouteRunner | undefined
  /** Why there is no runner, though there should be. */
  #unable: SinkFailure | undefined
  /** What keeps messages of a bridge from coming in. */
  #inbound: SinkFailure | undefined
  #changes: Promise<void> = Promise.resolve()
  #lastPurge: number

  constructor(options: SlotOptions) {
    this.#options = options
    this.#lastPurge = options.clock.monotonic()
  }

  /** Deliveries of the runner that is no longer wanted have `drainMs` to end. */
  want(wanted: WantedRoute, drainMs: number): void {
    this.#wanted = wanted
    this.#change(drainMs)
  }

  /** Whether it is the place of a route that there is. */
  get isWanted(): boolean {
    return this.#wanted !== undefined
  }

  async stop(drainMs: number): Promise<void> {
    this.#wanted = undefined
    this.#change(drainMs)
    await this.#changes
  }

  snapshot(): RouteReport {
    const isGateFailing =
      this.#unable !== undefined || this.#inbound !== undefined || this.#runner?.isGateFailing === true
    return this.#counters.snapshot(this.#options.routeId, { now: this.#options.clock.now(), isGateFailing })
  }

  /** Reads the backlog, and now and then lets old dead letters go. */
  async sample(): Promise<void> {
    const { stream, routeId, clock, onFault } = this.#options
    try {
      await this.#purge()
      this.#counters.sample(await stream.backlog(routeId), clock.now())
    } catch (error) {
      this.#counters.sample(undefined, clock.now())
      onFault(error)
    }
  }

  async #purge(): Promise<void> {
    const { stream, routeId, clock } = this.#options
    if (this.#wanted === undefined || clock.monotonic() - this.#lastPurge < PURGE_INTERVAL_MS) return
    this.#lastPurge = clock.monotonic()
    const { maxAgeMs } = deliveryPolicy(this.#wanted.record.spec).deadLetter
    await stream.purge(routeId, { deadBefore: clock.now() - maxAgeMs })
  }

  #change(drainMs: number): void {
    this.#changes = this.#changes.then(() => this.#apply(drainMs)).catch(this.#options.onFault)
  }

  async #apply(drainMs: number): Promise<void> {
    const wanted = this.#wanted?.record.enabled === true ? this.#wanted : undefined
    const key = wanted === undefined ? undefined : keyOf(wanted)
    if (key === this.#currentKey) return
    const { onFault } = this.#options
    const old = this.#runner
    this.#currentKey = key
    this.#runner = undefined
    this.#unable = undefined
    await old?.stop(drainMs).catch(onFault)
    this.#inbound = undefined
    // Something newer may be wanted by now: it comes next, and this would only be started to be stopped.
    if (wanted === undefined || this.#wanted === undefined || keyOf(this.#wanted) !== key) return
    this.#start(wanted)
  }

  #start(wanted: WantedRoute): void {
    try {
      const made = this.#make(wanted)
      if ('ok' in made) this.#fail(made)
      else {
        this.#runner = made
        made.start()
      }
    } catch (error) {
      this.#options.onFault(error)
      this.#fail(unavailable({ code: 'ROUTE_FAULT', message: 'the route could not be started' }))
    }
  }

  #make({ record, values, partitions }: WantedRoute): RouteRunner | SinkFailure {
    const { routeId, stream, egress, publishReply, onFault, clock, random, mayDeliver } = this.#options
    const transform = compileTransform(record.spec)
    if (typeof transform === 'string') return unavailable({ code: 'EXPRESSION_INVALID', message: transform })
    const policy = deliveryPolicy(record.spec)
    const isBridge = record.spec.mqtt !== undefined
    const sink = openSink(record.spec, values, {
      ...{ routeId, egress, publishReply, now: () => clock.now() },
      // One of the workers, and one only.
      subscribes: partitions.includes(0),
      onInbound: (failure) => this.#noteInbound(failure),
    })
    if ('ok' in sink) return sink
    const prepare: typeof transform = (entry) =>
      // It came from there.
      isBridge && entry.trail?.includes(routeId) === true ? { take: false } : transform(entry)
    const counters = this.#counters
    return new RouteRunner({
      routeId,
      policy,
      partitions,
      stream,
      sink,
      prepare,
      counters,
      clock,
      random,
      mayDeliver,
      onFault,
    })
  }

  #noteInbound(failure: SinkFailure | undefined): void {
    this.#inbound = failure
    if (failure !== undefined) this.#counters.lastError = routeFailure(failure, this.#options.clock.now())
  }

  #fail(failure: SinkFailure): void {
    this.#unable = failure
    this.#counters.lastError = routeFailure(failure, this.#options.clock.now())
  }
}

/** Equal for equal routes. Holds secret values: it stays in memory and is compared, nothing else. */
function keyOf({ record, values, partitions }: WantedRoute): string {
  const sorted = Object.entries(values).sort(([a], [b]) => (a < b ? -1 : 1))
  return JSON.stringify([record.enabled, record.spec, sorted, [...partitions].sort((a, b) => a - b)])
}
