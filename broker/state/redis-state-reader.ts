import type { Redis } from 'ioredis'
import { changeEntryId, decodeChangeEntry, type HubChangeEntry } from '../../contract/hub-change.ts'
import {
  type DeviceRecord,
  HUB_STATE_VERSION,
  type HubRecord,
  type NetworkRecord,
  type RouteRecord,
} from '../../contract/hub-state.ts'
import { decodeDevice, decodeHub, decodeNetworks, decodeRoutes } from '../../contract/hub-state-codec.ts'
import { type StateKeys, stateKeys } from '../../contract/redis-keys.ts'
import type { DeviceKey } from './device-cache.ts'
import { StateUnavailable } from './state-unavailable.ts'

/** Everything but the devices, of one moment. */
export interface HubSnapshot {
  revision: string
  hub: HubRecord
  networks: NetworkRecord[]
  routes: RouteRecord[]
}

/** Device records read by one command. */
const DEVICES_AT_ONCE = 500
/** Entries of the change stream read by one command. */
const CHANGES_AT_ONCE = 100

/** Reads a hub over given connections. Rejects with StateUnavailable on what it can't read, else as the client does. */
export class RedisStateReader {
  readonly #keys: StateKeys

  constructor(uid: string) {
    this.#keys = stateKeys(uid)
  }

  async snapshot(redis: Redis): Promise<HubSnapshot> {
    const { version, revision, hub, networks, routes } = this.#keys
    const texts = await redis.mget(version, revision, hub, networks, routes)
    if (texts.some((text) => text === null)) throw new StateUnavailable('STATE_MISSING')
    const [storedVersion, storedRevision, ...parts] = texts as [string, string, string, string, string]
    if (Number(storedVersion) !== HUB_STATE_VERSION)
      throw new StateUnavailable('STATE_VERSION', storedVersion)
    return {
      revision: storedRevision,
      hub: sound(decodeHub(parts[0])),
      networks: sound(decodeNetworks(parts[1])),
      routes: sound(decodeRoutes(parts[2])),
    }
  }

  async revision(redis: Redis): Promise<string | null> {
    return await redis.get(this.#keys.revision)
  }

  async device(redis: Redis, key: DeviceKey, value: string): Promise<DeviceRecord | undefined> {
    const { names, fingerprints, devices } = this.#keys
    const id = key === 'id' ? value : await redis.hget(key === 'name' ? names : fingerprints, value)
    const text = id === null ? null : await redis.hget(devices, id)
    return text === null ? undefined : sound(decodeDevice(text))
  }

  /** Those of `ids` that exist, in bounded steps. */
  async devices(redis: Redis, ids: readonly string[]): Promise<Map<string, DeviceRecord>> {
    const found = new Map<string, DeviceRecord>()
    for (let from = 0; from < ids.length; from += DEVICES_AT_ONCE) {
      const some = ids.slice(from, from + DEVICES_AT_ONCE)
      for (const text of await redis.hmget(this.#keys.devices, ...some)) {
        if (text === null) continue
        const record = sound(decodeDevice(text))
        found.set(record.id, record)
      }
    }
    return found
  }

  /**
   * The changes after `revision`, oldest first; waits up to `blockMs` for one. undefined: there is something in
   * the stream that can't be read, so that everything has to be read anew.
   */
  async changes(redis: Redis, revision: number, blockMs: number): Promise<HubChangeEntry[] | undefined> {
    const { changes } = this.#keys
    const from = changeEntryId(revision)
    const reply = await redis.xread('COUNT', CHANGES_AT_ONCE, 'BLOCK', blockMs, 'STREAMS', changes, from)
    const entries: HubChangeEntry[] = []
    for (const [id, fields] of reply?.[0]?.[1] ?? []) {
      const entry = decodeChangeEntry(id, fields)
      if (entry === undefined) return undefined
      entries.push(entry)
    }
    return entries
  }
}

function sound<T>(record: T | undefined): T {
  if (record === undefined) throw new StateUnavailable('STATE_CORRUPT')
  return record
}
