/** Looks from time to time at what brokers report of their devices. */
import type { Reconcile } from '../runtime/controller.ts'
import { done, requeueAfter } from '../runtime/outcome.ts'
import type { ObjectKey } from '../runtime/resource.ts'
import { HUB_INDEX } from '../watch/indexes.ts'
import type { Tools } from './tools.ts'

/** Twice as long as brokers take between two reports. */
export const LOOK_EVERY_MS = 60_000

export interface ActivityWakers {
  hub: (hub: ObjectKey) => void
  device: (device: ObjectKey) => void
}

export function hubActivityReconcile(
  tools: Tools,
  wake: ActivityWakers,
  everyMs: number = LOOK_EVERY_MS,
): Reconcile {
  return async (key, { logger }) => {
    const hub = tools.world.hubs.get(key)
    if (hub === undefined) {
      tools.activities.forgetHub(key)
      return done()
    }
    try {
      const digests = await tools.publisher.activity(hub.metadata.uid ?? '')
      if (digests !== undefined) {
        const before = tools.activities.connected(key)
        const due = tools.activities.report(key, digests, tools.world.devices.byIndex(HUB_INDEX, key))
        for (const device of due) wake.device(device)
        if (tools.activities.connected(key) !== (before ?? hub.status?.connectedDevices)) wake.hub(key)
      }
    } catch (error) {
      // Publishing to the same Redis fails as well, and its loop says so where people look.
      logger.debug({ err: error }, 'reports of brokers cannot be read')
    }
    return requeueAfter(everyMs)
  }
}
