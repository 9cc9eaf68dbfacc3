/** The end of a hub: who holds it, and what has to be gone before it is. */
import { HUB_STATE_VERSION, type HubState } from '../../contract/hub-state.ts'
import { DEPLOYMENTS, DEVICES, HUBS, type Hub, NETWORKS, OWNED_RESOURCES, ROUTES } from '../api/resources.ts'
import { hubRecord } from '../compile/hub-record.ts'
import { isNotFound } from '../runtime/api-error.ts'
import type { Applier } from '../runtime/apply.ts'
import type { ReconcileContext } from '../runtime/controller.ts'
import { finalize, isDeleting } from '../runtime/finalizer.ts'
import { done, type Outcome, Waiting } from '../runtime/outcome.ts'
import { OWNER_INDEX } from '../runtime/owner.ts'
import { type KubeObject, keyOf, objectPath, type Resource } from '../runtime/resource.ts'
import { HUB_INDEX } from '../watch/indexes.ts'
import { EVENT_REASONS } from './event-reasons.ts'
import { removalTarget } from './redis-access.ts'
import { FINALIZER, FORCE_ANNOTATION, type Tools } from './tools.ts'

/** After so long a hub is let go although its Redis could not be cleaned. */
const GIVE_UP_AFTER_MS = 600_000
const LOOK_AGAIN_MS = 1_000

/** Names of the Devices that a hub under deletion waits for. Under `Cascade` and `Orphan` it waits for none. */
export function holders(hub: Hub, { devices }: Pick<Tools['world'], 'devices'>): string[] {
  if (hub.spec.deletionPolicy !== 'Protect') return []
  return devices
    .byIndex(HUB_INDEX, keyOf(hub))
    .map(({ metadata }) => metadata.name)
    .sort()
}

/**
 * Members first, then the pods, then what is in Redis: a broker that still runs must not write there anew. What it
 * needs may be gone already, when a whole namespace is deleted; what is gone needs no cleaning.
 */
export async function finalizeHub(
  tools: Tools,
  applier: Applier,
  hub: Hub,
  { signal, logger }: ReconcileContext,
): Promise<Outcome> {
  const { clean, left } = await finalize({
    client: tools.client,
    clock: tools.clock,
    resource: HUBS,
    object: hub,
    finalizer: FINALIZER,
    forceAnnotation: FORCE_ANNOTATION,
    giveUpAfterMs: GIVE_UP_AFTER_MS,
    signal,
    cleanUp: () => cleanUp(tools, applier, hub, signal),
  })
  if (!clean) {
    const note = `keys of the hub may be left in Redis: ${left}`
    const reason = EVENT_REASONS.RedisKeysLeft
    tools.events.event(hub, { type: 'Warning', reason, action: 'Delete', note })
    logger.warn({ left }, 'hub was let go without being cleaned up after')
  }
  tools.published.forget(keyOf(hub))
  return done()
}

async function cleanUp(tools: Tools, applier: Applier, hub: Hub, signal: AbortSignal): Promise<void> {
  if (hub.spec.deletionPolicy === 'Cascade') await deleteMembers(tools, hub, signal)
  await cleanRedis(tools, applier, hub, signal)
  // Where no garbage collector runs, what was applied goes with its owner all the same.
  await applier.prune(hub, [], OWNED_RESOURCES, signal)
}

async function cleanRedis(tools: Tools, applier: Applier, hub: Hub, signal: AbortSignal): Promise<void> {
  const uid = hub.metadata.uid ?? ''
  const answer = await removalTarget(hub, tools, signal)
  const target = 'found' in answer ? answer.found : undefined
  // Cuts every client, also where a pod takes its time to end.
  if (target !== undefined) await tools.publisher.publish(target, stateOff(hub))
  await applier.prune(hub, [], [DEPLOYMENTS], signal)
  const isRunning = tools.world.deployments.byIndex(OWNER_INDEX, uid).length > 0
  if (isRunning) throw new Waiting('Deleting', 'the broker pods are being deleted', LOOK_AGAIN_MS)
  if (target !== undefined) await tools.publisher.remove(target, uid)
  if ('problem' in answer) throw new Error(`Redis cannot be cleaned: ${answer.problem.message}`)
}

function stateOff(hub: Hub): HubState {
  const off = { ...hub, spec: { ...hub.spec, enabled: false } }
  return {
    version: HUB_STATE_VERSION,
    hub: hubRecord(off, hub.metadata.uid ?? '', { deviceCACertificates: [] }),
    devices: [],
    networks: [],
    routes: [],
  }
}

async function deleteMembers(tools: Tools, hub: Hub, signal: AbortSignal): Promise<void> {
  const { devices, networks, routes } = tools.world
  const key = keyOf(hub)
  const members: Array<[Resource, KubeObject[]]> = [
    [DEVICES, devices.byIndex(HUB_INDEX, key)],
    [NETWORKS, networks.byIndex(HUB_INDEX, key)],
    [ROUTES, routes.byIndex(HUB_INDEX, key)],
  ]
  let left = 0
  for (const [resource, objects] of members) {
    left += objects.length
    for (const object of objects) if (!isDeleting(object)) await remove(tools, resource, object, signal)
  }
  if (left > 0) throw new Waiting('Deleting', `${left} objects of the hub are being deleted`, LOOK_AGAIN_MS)
}

async function remove(
  { client }: Tools,
  resource: Resource,
  object: KubeObject,
  signal: AbortSignal,
): Promise<void> {
  const { uid } = object.metadata
  try {
    const body = { preconditions: { uid } }
    await client.request({ method: 'DELETE', path: objectPath(resource, keyOf(object)), body, signal })
  } catch (error) {
    if (!isNotFound(error)) throw error
  }
}
