/**
 * What the route worker of a pod asks of the broker beside it, over a socket that only the two can reach: to publish
 * the answer of a destination, and to tell an event. JSON, one request each, `POST /reply` and `POST /event`.
 */
import { type Static, Type } from 'typebox'
import { Compile } from 'typebox/compile'
import { EVENT_CODES, type EventCode } from './hub-event.ts'

export const DoorReply = Type.Object({
  topic: Type.String({ maxLength: 65_535 }),
  payloadBase64: Type.String(),
  qos: Type.Union([Type.Literal(0), Type.Literal(1), Type.Literal(2)]),
  retain: Type.Boolean(),
  contentType: Type.Optional(Type.String({ maxLength: 1024 })),
  trail: Type.Array(Type.String({ maxLength: 64 }), { maxItems: 16 }),
})
export type DoorReply = Static<typeof DoorReply>

export const DoorEvent = Type.Object({
  code: Type.String({ maxLength: 64 }),
  routeId: Type.String({ maxLength: 64 }),
  detail: Type.Optional(Type.String({ maxLength: 2048 })),
})
export type DoorEvent = Static<typeof DoorEvent> & { code: EventCode }

/** Answer to `/reply`: what the hub said. `code` of a refusal, which trying again does not change. */
export interface DoorVerdict {
  allowed: boolean
  code?: string
}

/** More than the largest payload that a hub may take, in base64. */
export const DOOR_BODY_BYTES = 96 * 1024 * 1024
export const DOOR_TIMEOUT_MS = 10_000

const checkReply = Compile(DoorReply)
const checkEvent = Compile(DoorEvent)

/** Undefined: not of this form. */
export const parseDoorReply = (value: unknown): DoorReply | undefined =>
  checkReply.Check(value) ? value : undefined

/** Undefined: not of this form, a code of another version, or one that is not about routes. */
export function parseDoorEvent(value: unknown): DoorEvent | undefined {
  if (!checkEvent.Check(value)) return undefined
  const { code } = value
  return code.startsWith('ROUTE_') && code in EVENT_CODES ? { ...value, code: code as EventCode } : undefined
}
