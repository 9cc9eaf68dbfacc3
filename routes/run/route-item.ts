import type { DeadLetter, RouteEntry, RouteFailure } from '../../contract/route-stream.ts'
import type { SinkFailure } from '../sinks/sink.ts'

/** A message in memory: read, and not yet settled. */
export interface RouteItem {
  /** As it was read, for settling and for dead letters. */
  readonly entry: RouteEntry
  /** As it is delivered: after `spec.transform`. */
  readonly outgoing: RouteEntry
  readonly partition: number
  /** The lane it waits in. */
  readonly key: string
  /** What it costs to keep. */
  readonly bytes: number
  alone: boolean
  /** Those that may have failed because of this message. */
  attempts: number
  firstError: RouteFailure | undefined
  lastError: RouteFailure | undefined
  /** How many messages the route had delivered when the destination failed on this one. */
  deliveredBefore: number | undefined
}

/** A guess at what an entry costs beside its payload and topic. */
const ENTRY_OVERHEAD_BYTES = 256

export function routeItem(
  entry: RouteEntry,
  { outgoing, partition, key }: { outgoing: RouteEntry; partition: number; key: string },
): RouteItem {
  const payload = entry.payload.length + (outgoing === entry ? 0 : outgoing.payload.length)
  return {
    entry,
    outgoing,
    partition,
    key,
    bytes: payload + entry.topic.length + ENTRY_OVERHEAD_BYTES,
    alone: false,
    attempts: 0,
    firstError: undefined,
    lastError: undefined,
    deliveredBefore: undefined,
  }
}

export const routeFailure = ({ code, message }: SinkFailure, time: number): RouteFailure => ({
  code,
  message,
  time,
})

export function noteFailure(item: RouteItem, failure: RouteFailure): void {
  item.firstError ??= failure
  item.lastError = failure
}

export function deadLetter(item: RouteItem, failure: RouteFailure): DeadLetter {
  return {
    entry: item.entry,
    attempts: item.attempts,
    firstError: item.firstError ?? failure,
    lastError: item.lastError ?? failure,
    deadAt: failure.time,
  }
}
