import type { SQLInputValue } from 'node:sqlite'
import type { DeadLetter, RouteEntry, RouteFailure } from '../../contract/route-stream.ts'
import { positionOf, routeContent } from './route-entry.ts'
import type { BodyReference } from './sqlite-bodies.ts'
import { type BodyRow, decodeMessage } from './sqlite-codec.ts'
import type { ApplicationMessage, RouteIntake } from './store.ts'

/** What an entry says beside its message. */
export interface FactsRow {
  id: string
  time: number
  device_id: string | null
  trail: string | null
}

/** An entry or a dead letter that was taken out of its table. */
export type TakenRow = FactsRow & BodyReference & { bytes: number }

export type EntryRow = FactsRow & BodyRow & { seq: number }

export type LetterRow = EntryRow & {
  attempts: number
  first_error: string
  last_error: string
  dead_at: number
}

/** Columns in the order id, time, device_id, trail. */
export function encodeFacts({ id, time, deviceId, trail }: Omit<RouteIntake, 'into'>): SQLInputValue[] {
  return [id, time, deviceId ?? null, trail === undefined ? null : JSON.stringify(trail)]
}

/** Columns in the order attempts, first_error, last_error, dead_at. */
export function encodeEnd({ attempts, firstError, lastError, deadAt }: DeadLetter): SQLInputValue[] {
  return [attempts, JSON.stringify(firstError), JSON.stringify(lastError), deadAt]
}

export function decodeEntry(row: EntryRow): RouteEntry {
  return {
    position: positionOf(row.seq),
    id: row.id,
    ...routeContent(decodeMessage(row)),
    time: row.time,
    ...(row.device_id === null ? {} : { deviceId: row.device_id }),
    ...(row.trail === null ? {} : { trail: JSON.parse(row.trail) as string[] }),
  }
}

export function decodeLetter(row: LetterRow): DeadLetter {
  return {
    entry: decodeEntry(row),
    attempts: row.attempts,
    firstError: JSON.parse(row.first_error) as RouteFailure,
    lastError: JSON.parse(row.last_error) as RouteFailure,
    deadAt: row.dead_at,
  }
}

/** The message of an entry whose own is gone. */
export function messageOfEntry({ topic, payload, qos, retain, contentType }: RouteEntry): ApplicationMessage {
  return {
    topic,
    payload,
    qos,
    retain,
    ...(contentType === undefined ? {} : { properties: { contentType } }),
  }
}
