/**
 * Delivers the routes of a hub: one runner a route, started, changed and stopped by itself as records and
 * secret values change. The same in the sidecar of a broker pod and inside `hublet dev`.
 */
import type { Clock } from '../contract/clock.ts'
import type { RouteRecord } from '../contract/hub-state.ts'
import type { RouteCredentials } from '../contract/route-credentials.ts'
import type { RouteReport } from '../contract/route-report.ts'
import type { RouteStream } from '../contract/route-stream.ts'
import { createEgress, type EgressPolicy } from './net/egress.ts'
import { RouteSlot } from './run/route-slot.ts'
import type { PublishReply } from './sinks/rest/reply.ts'

export interface RouteWorkerOptions {
  stream: RouteStream
  /** The routes as they are now; asked by `refresh`. */
  records: () => readonly RouteRecord[]
  /** Secret values of a route; undefined: none are at hand (yet). Asked by `refresh`. */
  credentials: (routeId: string) => RouteCredentials | undefined
  /**
   * Which partitions of a route this worker owns, among 0 to 15: also those beyond `spec.delivery.partitions`,
   * where messages may wait since there were more. Asked by `refresh`. Default: all.
   */
  partitions?: (routeId: string) => readonly number[]
  /**
   * Asked before each call of a destination. Once it has said no, `refresh` has to be called, with partitions that
   * are still this worker's. Default: always.
   */
  mayDeliver?: () => boolean
  /** Publishes what a destination answered; rejects when the hub did not take it. */
  publishReply: (routeId: string, reply: Parameters<PublishReply>[0]) => Promise<void>
  /** Every `STATUS_INTERVAL_MS`, for each route there is. */
  onStatus: (snapshot: RouteReport) => void
  /** A fault that delivery survives. The error may quote anything: for a debug log only. */
  onFault: (routeId: string, error: unknown) => void
  network: EgressPolicy
  clock: Clock
  /** From 0 (included) to 1. */
  random: () => number
}

export interface RouteWorker {
  /** Looks at records, credentials and partitions again; routes of which nothing changed go on undisturbed. */
  refresh(): void
  snapshots(): RouteReport[]
  /** Stops every route; deliveries under way have `drainMs` (default 10 s) to end. */
  stop(drainMs?: number): Promise<void>
}

export const STATUS_INTERVAL_MS = 2_000
const DRAIN_MS = 10_000
/** More than `spec.delivery.partitions` may ever have been. */
const ALL_PARTITIONS = Array.from({ length: 16 }, (_, partition) => partition)

/** Starts delivering at once. Throws a RangeError when `network.denied` names no address. */
export function createRouteWorker(options: RouteWorkerOptions): RouteWorker {
  const { records, credentials, partitions = () => ALL_PARTITIONS, clock, onStatus } = options
  const mayDeliver = options.mayDeliver ?? (() => true)
  const egress = createEgress(options.network)
  const slots = new Map<string, RouteSlot>()
  let isStopped = false
  let cancelReport = () => {}

  const slotOf = (routeId: string): RouteSlot => {
    let slot = slots.get(routeId)
    if (slot === undefined) {
      const publishReply: PublishReply = (reply) => options.publishReply(routeId, reply)
      const onFault = (error: unknown) => options.onFault(routeId, error)
      slot = new RouteSlot({ ...options, routeId, egress, publishReply, onFault, mayDeliver })
      slots.set(routeId, slot)
    }
    return slot
  }

  const refresh = (): void => {
    if (isStopped) return
    const wanted = new Set<string>()
    for (const record of records()) {
      wanted.add(record.id)
      const values = credentials(record.id)?.values ?? {}
      const owned = partitions(record.id)
      // What another worker owns by now, it delivers: there is nothing to wait for.
      const drainMs = owned.length === 0 ? 0 : DRAIN_MS
      slotOf(record.id).want({ record, values, partitions: owned }, drainMs)
    }
    for (const [routeId, slot] of slots) {
      if (wanted.has(routeId)) continue
      // A route that comes back meanwhile gets the same slot, so nothing is read twice at a time.
      void slot.stop(DRAIN_MS).then(() => {
        if (!slot.isWanted) slots.delete(routeId)
      })
    }
  }

  const present = () => [...slots.values()].filter((slot) => slot.isWanted)

  const report = (): void => {
    cancelReport = clock.after(STATUS_INTERVAL_MS, () => {
      void Promise.all(
        present().map(async (slot) => {
          await slot.sample()
          if (!isStopped) onStatus(slot.snapshot())
        }),
      ).finally(() => {
        if (!isStopped) report()
      })
    })
  }

  refresh()
  report()
  return {
    refresh,
    snapshots: () => present().map((slot) => slot.snapshot()),
    async stop(drainMs = DRAIN_MS) {
      isStopped = true
      cancelReport()
      await Promise.all([...slots.values()].map((slot) => slot.stop(drainMs)))
    },
  }
}
