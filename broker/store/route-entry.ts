import type { RouteAppend, RouteEntry } from '../../contract/route-stream.ts'
import type { ApplicationMessage, RouteIntake } from './store.ts'

/** What one message counts for in the bounds of a route. */
export function routeBytes({ topic, payload, contentType }: Omit<RouteContent, 'qos' | 'retain'>): number {
  const content = contentType === undefined ? 0 : Buffer.byteLength(contentType)
  return Buffer.byteLength(topic) + payload.length + content
}

type RouteContent = Pick<RouteEntry, 'topic' | 'payload' | 'qos' | 'retain' | 'contentType'>

/** What an entry has of its message. */
export function routeContent({ topic, payload, qos, retain, properties }: ApplicationMessage): RouteContent {
  const contentType = properties?.contentType
  return { topic, payload, qos, retain, ...(contentType === undefined ? {} : { contentType }) }
}

/** What an entry has beside its message. */
export function routeFacts({
  id,
  time,
  deviceId,
  trail,
}: Omit<RouteIntake, 'into'>): Omit<RouteIntake, 'into'> {
  return {
    id,
    time,
    ...(deviceId === undefined ? {} : { deviceId }),
    ...(trail === undefined ? {} : { trail }),
  }
}

/** What waits in a route. */
export interface RouteTotals {
  messages: number
  bytes: number
}

export const hasRoom = (totals: RouteTotals, bytes: number, { buffer }: RouteAppend): boolean =>
  totals.messages < buffer.messages && totals.bytes + bytes <= buffer.bytes

/** Whether others may go for a message of that size. One that could never fit must not push all out. */
export const mayMakeRoom = (bytes: number, { buffer }: RouteAppend): boolean =>
  buffer.overflow === 'DropOldest' && buffer.messages > 0 && bytes <= buffer.bytes

export const positionOf = (seq: number): string => String(seq)

/** The number behind a position; undefined: not one of ours. */
export function seqOf(position: string): number | undefined {
  return /^[1-9]\d{0,14}$/.test(position) ? Number(position) : undefined
}

/** Of all positions those that may exist. */
export const seqsOf = (positions: readonly string[]): number[] =>
  positions.flatMap((position) => seqOf(position) ?? [])
