/** Looks from time to time at what route workers report. */
import type { Reconcile } from '../runtime/controller.ts'
import { done, requeueAfter } from '../runtime/outcome.ts'
import type { ObjectKey } from '../runtime/resource.ts'
import { HUB_INDEX } from '../watch/indexes.ts'
import type { Tools } from './tools.ts'

/** Workers report every few seconds; a person who waits for a status waits no longer than this. */
export const ROUTES_LOOK_EVERY_MS = 10_000

export function routeActivityReconcile(
  tools: Tools,
  wakeRoute: (route: ObjectKey) => void,
  everyMs: number = ROUTES_LOOK_EVERY_MS,
): Reconcile {
  return async (key, { logger }) => {
    const hub = tools.world.hubs.get(key)
    if (hub === undefined) return done()
    const routes = tools.world.routes.byIndex(HUB_INDEX, key)
    if (routes.length === 0) return requeueAfter(everyMs)
    try {
      const reports = await tools.publisher.routeReports(hub.metadata.uid ?? '')
      if (reports !== undefined)
        for (const route of tools.routeReports.note(reports, routes, tools.clock.monotonic()))
          wakeRoute(route)
    } catch (error) {
      // Publishing to the same Redis fails as well, and its loop says so where people look.
      logger.debug({ err: error }, 'reports of route workers cannot be read')
    }
    return requeueAfter(everyMs)
  }
}
