import { isDeepStrictEqual } from 'node:util'
import type { Redis } from 'ioredis'
import type { HubChangeEntry } from '../../contract/hub-change.ts'
import type { DeviceRecord, HubRecord, NetworkRecord, RouteRecord } from '../../contract/hub-state.ts'
import { redisFault } from '../../contract/redis-access.ts'
import { type RedisSettingsSource, RedisUnavailable } from '../redis/open-redis.ts'
import { Reconnecting } from '../redis/reconnecting.ts'
import { DeviceCache, type DeviceKey } from './device-cache.ts'
import { DeviceLookups } from './device-lookups.ts'
import { type HubSnapshot, RedisStateReader } from './redis-state-reader.ts'
import { openStateConnections, type StateConnections } from './state-connections.ts'
import type { StateChange, StateSource } from './state-source.ts'
import { StateUnavailable } from './state-unavailable.ts'

export interface RedisStateSourceOptions {
  hubUid: string
  settings: RedisSettingsSource
  /** [0, 1). Default: Math.random. */
  random?: () => number
  /** How long `start` waits for Redis and for the operator to have written the hub, ms. Default 30,000. */
  startTimeoutMs?: number
  /** How long Redis may leave a command unanswered, ms. Default 2,000. */
  timeoutMs?: number
  /** How long the state may be out of reach before `onGraceOver`, ms. Default 60,000. */
  graceMs?: number
  /** Device records kept in memory. Default 20,000. */
  cachedDevices?: number
  /** With each turn of `healthy()`; `reason`: why it is not. */
  onHealth?: (healthy: boolean, reason?: StateUnavailable) => void
  /** Each failed attempt to reach the state, also those that change nothing; for a log at debug level. */
  onFault?: (reason: StateUnavailable) => void
  /** The state has been out of reach for `graceMs`: what it allowed may long be forbidden. Once an outage. */
  onGraceOver?: () => void
}

interface InstalledSnapshot extends HubSnapshot {
  networksByName: ReadonlyMap<string, NetworkRecord>
}

const BLOCK_MS = 2_000
const ABSENCES = 1_000
const ABSENCE_MS = 5_000

/**
 * The state of a hub as the operator keeps it in Redis. The hub, its networks and routes are held in memory,
 * devices are fetched when they are asked for. The change stream says what to forget; where it has a gap (trimmed,
 * lost with Redis, connection gone) everything in use is read anew and told as one change.
 *
 * With Redis out of reach `hub`, `networkByName`, `routes` and cached devices answer as they last were, other
 * look-ups reject with StateUnavailable and `healthy()` is false: sessions go on, new ones must be refused.
 */
export class RedisStateSource implements StateSource {
  readonly #options: RedisStateSourceOptions
  readonly #reader: RedisStateReader
  readonly #cache: DeviceCache
  readonly #lookups: DeviceLookups
  readonly #loop: Reconnecting
  readonly #started = Promise.withResolvers<void>()
  #current: InstalledSnapshot | undefined
  #connections: StateConnections | undefined
  #healthy = false
  #waiting: (() => void)[] = []
  #lastFault = new StateUnavailable('REDIS_UNAVAILABLE')
  #grace: NodeJS.Timeout | undefined
  #onChange: ((change: StateChange) => void) | undefined
  #liveDevices: () => Iterable<string> = () => []

  constructor(options: RedisStateSourceOptions) {
    this.#options = options
    this.#reader = new RedisStateReader(options.hubUid)
    const bounds = { records: options.cachedDevices ?? 20_000, absences: ABSENCES, absenceMs: ABSENCE_MS }
    this.#cache = new DeviceCache(bounds, () => performance.now())
    this.#lookups = new DeviceLookups(this.#cache, (key, value) => this.#read(key, value))
    this.#loop = new Reconnecting({
      serve: (signal, settled) => this.#serve(signal, settled),
      onFault: (error) => this.#onFault(error),
      random: options.random ?? Math.random,
    })
  }

  /**
   * Resolves with the first state; rejects with StateUnavailable after `startTimeoutMs`. `liveDevices` gives the
   * ids of devices in use: after an outage they are told as changed, cached or not.
   */
  async start(onChange: (change: StateChange) => void, liveDevices?: () => Iterable<string>): Promise<void> {
    this.#onChange = onChange
    if (liveDevices !== undefined) this.#liveDevices = liveDevices
    this.#loop.start()
    const late = setTimeout(
      () => this.#started.reject(this.#lastFault),
      this.#options.startTimeoutMs ?? 30_000,
    )
    try {
      await this.#started.promise
    } catch (error) {
      await this.stop()
      throw error
    } finally {
      clearTimeout(late)
    }
  }

  /** False while what is answered may be out of date. New sessions have to wait for it. */
  healthy(): boolean {
    return this.#healthy
  }

  /** Resolves once the state is in touch, everything in use has been read anew and changes have been told. */
  async untilHealthy(): Promise<void> {
    if (!this.#healthy) await new Promise<void>((resolve) => this.#waiting.push(resolve))
  }

  hub(): HubRecord {
    return this.#snapshot().hub
  }

  networkByName(name: string): NetworkRecord | undefined {
    return this.#snapshot().networksByName.get(name)
  }

  routes(): readonly RouteRecord[] {
    return this.#snapshot().routes
  }

  deviceById(id: string): Promise<DeviceRecord | undefined> {
    return this.#lookups.find('id', id)
  }

  deviceByName(name: string): Promise<DeviceRecord | undefined> {
    return this.#lookups.find('name', name)
  }

  deviceByFingerprint(fingerprint: string): Promise<DeviceRecord | undefined> {
    return this.#lookups.find('fingerprint', fingerprint)
  }

  /** The operator has told of a device before the change that brings it: it can be read already. */
  expectDevice(): void {
    this.#lookups.forgetAbsences()
  }

  async stop(): Promise<void> {
    this.#onChange = undefined
    this.#lastFault = new StateUnavailable('STOPPED')
    this.#healthy = false
    clearTimeout(this.#grace)
    this.#started.reject(this.#lastFault)
    this.#started.promise.catch(() => {})
    this.#connections?.close()
    await this.#loop.stop()
  }

  #snapshot(): InstalledSnapshot {
    if (this.#current === undefined) throw this.#lastFault
    return this.#current
  }

  async #read(key: DeviceKey, value: string): Promise<DeviceRecord | undefined> {
    const connections = this.#connections
    if (connections === undefined || !this.#healthy) throw this.#lastFault
    try {
      return await this.#reader.device(connections.data, key, value)
    } catch (error) {
      throw toStateUnavailable(error)
    }
  }

  /** From connecting to the loss of either connection. */
  async #serve(signal: AbortSignal, settled: () => void): Promise<void> {
    const { settings, timeoutMs = 2_000 } = this.#options
    const connections = await openStateConnections({ settings, timeoutMs, blockMs: BLOCK_MS, signal })
    this.#connections = connections
    try {
      let revision = await this.#readAll(connections.data)
      settled()
      this.#setHealthy()
      for (;;) revision = await this.#follow(connections, revision)
    } finally {
      this.#connections = undefined
      connections.close()
    }
  }

  /** Waits for changes after `revision` and brings them into force; gives the revision reached. */
  async #follow({ data, stream }: StateConnections, revision: number): Promise<number> {
    const entries = await this.#reader.changes(stream, revision, BLOCK_MS)
    if (entries === undefined) return await this.#readAll(data)
    if (entries.length === 0) {
      // Shows that the other connection lives, and that the stream has not lost its end.
      const stored = await this.#reader.revision(data)
      return stored === String(revision) ? revision : await this.#readAll(data)
    }
    let reached = revision
    for (const entry of entries) {
      if (entry.previous !== reached) return await this.#readAll(data)
      await this.#apply(data, entry)
      reached = entry.revision
    }
    return reached
  }

  async #apply(data: Redis, { change }: HubChangeEntry): Promise<void> {
    this.#lookups.invalidate([...change.devices, ...change.removed])
    if (change.hub || change.networks || change.routes) this.#install(await this.#reader.snapshot(data))
    this.#tell({
      hub: change.hub,
      networks: change.networks,
      routes: change.routes,
      devices: new Set(change.devices),
      removedDevices: new Set(change.removed),
    })
  }

  /**
   * Reads the hub and every device in use. What is live counts as changed even where the cache says that it is
   * not: a broker may have been told of a change, and then been unable to read it.
   */
  async #readAll(data: Redis): Promise<number> {
    const snapshot = await this.#reader.snapshot(data)
    const live = new Set(this.#liveDevices())
    const ids = [...new Set([...live, ...this.#cache.ids()])]
    this.#lookups.invalidateAll()
    const found = await this.#reader.devices(data, ids)
    const changed = ids.filter(
      (id) => live.has(id) || !isDeepStrictEqual(this.#cache.peek(id), found.get(id)),
    )
    const previous = this.#current
    this.#install(snapshot)
    this.#lookups.replace(ids, found)
    if (previous === undefined) this.#started.resolve()
    else {
      this.#tell({
        hub: !isDeepStrictEqual(previous.hub, snapshot.hub),
        networks: !isDeepStrictEqual(previous.networks, snapshot.networks),
        routes: !isDeepStrictEqual(previous.routes, snapshot.routes),
        devices: new Set(changed.filter((id) => found.has(id))),
        removedDevices: new Set(changed.filter((id) => !found.has(id))),
      })
    }
    return Number(snapshot.revision)
  }

  #install(snapshot: HubSnapshot): void {
    const known = this.#current?.hub
    this.#current = {
      ...snapshot,
      // The same object for the same record, so that what was compiled from it can be kept.
      hub: known !== undefined && isDeepStrictEqual(known, snapshot.hub) ? known : snapshot.hub,
      networksByName: new Map(snapshot.networks.map((network) => [network.name, network])),
    }
  }

  #tell(change: StateChange): void {
    const { hub, networks, routes, devices, removedDevices } = change
    if (hub || networks || routes || devices.size > 0 || removedDevices.size > 0) this.#onChange?.(change)
  }

  #setHealthy(): void {
    clearTimeout(this.#grace)
    this.#grace = undefined
    if (this.#healthy) return
    this.#healthy = true
    this.#options.onHealth?.(true)
    for (const resolve of this.#waiting.splice(0)) resolve()
  }

  #onFault(error: unknown): void {
    const { onFault, onHealth, onGraceOver, graceMs = 60_000 } = this.#options
    this.#lastFault = toStateUnavailable(error)
    onFault?.(this.#lastFault)
    if (!this.#healthy) return
    this.#healthy = false
    this.#grace = setTimeout(() => onGraceOver?.(), graceMs)
    onHealth?.(false, this.#lastFault)
  }
}

function toStateUnavailable(error: unknown): StateUnavailable {
  if (error instanceof StateUnavailable) return error
  const fault = error instanceof RedisUnavailable ? error.fault : redisFault(error)
  return new StateUnavailable('REDIS_UNAVAILABLE', fault)
}
