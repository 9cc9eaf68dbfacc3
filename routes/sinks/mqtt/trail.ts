/** How bridges tell each other which routes a message has come through: a user property of MQTT 5. Pure. */
import { MAX_TRAIL } from '../rest/reply.ts'

export const TRAIL_PROPERTY = 'Hublet-Trail'

const ROUTE_ID = /^[0-9a-f-]{1,64}$/

export const trailText = (trail: readonly string[]): string => trail.join(',')

/** Oldest first. Anybody may have written it, so what is no trail is none. */
export function readTrail(value: unknown): string[] {
  const text = Array.isArray(value) ? value[0] : value
  if (typeof text !== 'string' || text === '') return []
  const ids = text.split(',', MAX_TRAIL + 1)
  return ids.every((id) => ROUTE_ID.test(id)) ? ids : []
}

/** Whether a message with this trail may go through the route, or has come too far already. */
export const mayPass = (trail: readonly string[], routeId: string): boolean =>
  !trail.includes(routeId) && trail.length < MAX_TRAIL
