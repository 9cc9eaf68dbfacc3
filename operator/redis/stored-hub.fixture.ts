import type { Redis } from 'ioredis'
import { decodeChangeEntry, type HubChangeEntry } from '../../contract/hub-change.ts'
import { HUB_STATE_VERSION, type HubState } from '../../contract/hub-state.ts'
import { encodeDevice, encodeHub, encodeNetworks, encodeRoutes } from '../../contract/hub-state-codec.ts'
import { stateKeys } from '../../contract/redis-keys.ts'
import { digestOf } from './hub-state-diff.ts'

/** Everything that Redis holds of a hub's state but revision and stream, read without the code under test. */
export async function storedContent(redis: Redis, uid: string): Promise<unknown> {
  const keys = stateKeys(uid)
  return {
    version: await redis.get(keys.version),
    hub: await redis.get(keys.hub),
    networks: await redis.get(keys.networks),
    routes: await redis.get(keys.routes),
    devices: await redis.hgetall(keys.devices),
    names: await redis.hgetall(keys.names),
    fingerprints: await redis.hgetall(keys.fingerprints),
    digests: await redis.hgetall(keys.digests),
  }
}

/** The same as it has to be. */
export function expectedContent({ hub, networks, routes, devices }: HubState): unknown {
  const byId = <T>(value: (device: HubState['devices'][number]) => T) =>
    Object.fromEntries(devices.map((device) => [device.id, value(device)]))
  return {
    version: String(HUB_STATE_VERSION),
    hub: encodeHub(hub),
    networks: encodeNetworks(networks),
    routes: encodeRoutes(routes),
    devices: byId(encodeDevice),
    names: Object.fromEntries(devices.map((device) => [device.name, device.id])),
    fingerprints: Object.fromEntries(
      devices.flatMap(({ id, certificate }) => certificate.fingerprints.map((print) => [print, id])),
    ),
    digests: byId((device) => digestOf(encodeDevice(device))),
  }
}

/** The change stream, oldest first. */
export async function storedChanges(redis: Redis, uid: string): Promise<HubChangeEntry[]> {
  const entries = await redis.xrange(stateKeys(uid).changes, '-', '+')
  return entries.map(([id, fields]) => {
    const entry = decodeChangeEntry(id, fields)
    if (entry === undefined) throw new Error(`entry ${id} cannot be read`)
    return entry
  })
}

/** How often Redis has changed anything since it was started. */
export async function dirtyCount(redis: Redis): Promise<number> {
  return Number(/rdb_changes_since_last_save:(\d+)/.exec(await redis.info('persistence'))?.[1])
}

/** Commands that Redis has run for clients since it was started, this one included. */
export async function commandCount(redis: Redis): Promise<number> {
  return Number(/total_commands_processed:(\d+)/.exec(await redis.info('stats'))?.[1])
}
