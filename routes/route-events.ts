/** Which events of a hub (spec §5) follow from what a worker reports of a route. */
import type { HubEvent } from '../contract/hub-event.ts'
import type { RouteReport } from '../contract/route-report.ts'
import type { RouteFailure } from '../contract/route-stream.ts'

interface Told {
  isDown: boolean
  failed: number
  gone: number
  /** When the last error happened. */
  errorTime: number | undefined
}

/** Codes of answers that were not published, though the message itself was delivered (`sinks/rest/reply.ts`). */
const REFUSED_REPLIES = new Set(['REPLY_LOOP', 'REPLY_TOPIC_INVALID', 'REPLY_TOO_LARGE'])

/**
 * Turns reports, as they come every few seconds, into a few events a route each: a destination that is down
 * for an hour is told of each time an attempt has failed since the last report, not once a message.
 */
export class RouteEvents {
  readonly #told = new Map<string, Told>()

  /** What is new since the last report on the same route. */
  of(report: RouteReport): HubEvent[] {
    const { routeId, isDown, failed, lastError, lastLetter } = report
    const last = this.#told.get(routeId) ?? { isDown: false, failed: 0, gone: 0, errorTime: undefined }
    const gone = report.deadLettered + report.discarded
    this.#told.set(routeId, { isDown, failed, gone, errorTime: lastError?.time })
    const about = { objectType: 'route', objectId: routeId } as const
    const why = textOf(lastError)
    const events: HubEvent[] = []
    if (gone > last.gone) {
      const count = gone - last.gone
      const detail = `${count} message${count === 1 ? '' : 's'}, last ${textOf(lastLetter ?? lastError)}`
      events.push({ ...about, code: 'ROUTE_DEAD_LETTER', detail })
      // A route without a runner (an expression that is none) fails without an attempt.
    } else if (failed > last.failed || (isDown && !last.isDown))
      events.push({ ...about, code: 'ROUTE_DELIVERY_FAILED', detail: why })
    const isNews = lastError !== undefined && lastError.time !== last.errorTime
    if (isNews && REFUSED_REPLIES.has(lastError.code))
      events.push({ ...about, code: 'ROUTE_REPLY_REFUSED', detail: why })
    // Also when attempts failed since the last report: how it is now comes last.
    if (last.isDown && !isDown) events.push({ ...about, code: 'ROUTE_RECOVERED' })
    return events
  }

  /** Forgets routes that are gone. */
  keep(routeIds: ReadonlySet<string>): void {
    for (const routeId of this.#told.keys()) if (!routeIds.has(routeId)) this.#told.delete(routeId)
  }
}

const textOf = (failure: RouteFailure | undefined) =>
  failure === undefined ? 'unknown' : `${failure.code} ${failure.message}`
