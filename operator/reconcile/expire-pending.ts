/** Lets go of devices that made themselves known and that nobody has approved in time. */
import { DEVICES, type Device } from '../api/resources.ts'
import { pendingUntil } from '../compile/provisioned-device.ts'
import { isConflict, isNotFound } from '../runtime/api-error.ts'
import { keyOf, objectPath } from '../runtime/resource.ts'
import { hubKeyOf } from '../watch/indexes.ts'
import { EVENT_REASONS } from './event-reasons.ts'
import type { Tools } from './tools.ts'

/** True: the device goes. An approval that came meanwhile keeps it. */
export async function expirePending(
  { client, clock, world, events }: Tools,
  device: Device,
  signal: AbortSignal,
): Promise<boolean> {
  const hub = world.hubs.get(hubKeyOf(device))
  const until = hub && pendingUntil(hub, device)
  if (hub === undefined || until === undefined || until > clock.now()) return false
  const { uid, resourceVersion } = device.metadata
  try {
    await client.request({
      method: 'DELETE',
      path: objectPath(DEVICES, keyOf(device)),
      body: { preconditions: { uid, resourceVersion } },
      signal,
    })
  } catch (error) {
    // Changed or gone: the change brings the next look.
    if (!isConflict(error) && !isNotFound(error)) throw error
    return true
  }
  const { pendingTTL } = hub.spec.autoProvisioning
  const note = `Device ${device.metadata.name} was deleted: nobody approved it within ${pendingTTL}`
  events.event(hub, { type: 'Normal', reason: EVENT_REASONS.ApprovalExpired, action: 'Delete', note })
  return true
}
