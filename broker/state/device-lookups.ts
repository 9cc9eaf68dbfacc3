import type { DeviceRecord } from '../../contract/hub-state.ts'
import type { DeviceCache, DeviceKey } from './device-cache.ts'
import { StateUnavailable } from './state-unavailable.ts'

/** A look-up under way, with what has changed since it was asked. */
interface Race {
  changed: Set<string>
  all: boolean
}

/** More often than this a device does not change while it is being read. */
const MAX_READS = 10

/**
 * Look-ups through the cache. No answer is older than the last change that was told before it: a read that a
 * change has overtaken is made again, else a revoked device could get in on a record from before.
 */
export class DeviceLookups {
  readonly #cache: DeviceCache
  readonly #read: (key: DeviceKey, value: string) => Promise<DeviceRecord | undefined>
  readonly #races = new Set<Race>()
  /** One read for all who ask for the same at the same time. */
  readonly #running = new Map<string, Promise<DeviceRecord | undefined>>()

  constructor(
    cache: DeviceCache,
    read: (key: DeviceKey, value: string) => Promise<DeviceRecord | undefined>,
  ) {
    this.#cache = cache
    this.#read = read
  }

  async find(key: DeviceKey, value: string): Promise<DeviceRecord | undefined> {
    const known = this.#cache.find(key, value)
    if (known !== undefined) return known ?? undefined
    const name = `${key} ${value}`
    let running = this.#running.get(name)
    if (running === undefined) {
      running = this.#fetch(key, value).finally(() => this.#running.delete(name))
      this.#running.set(name, running)
    }
    return await running
  }

  /** These devices have changed, were added or removed. */
  invalidate(ids: readonly string[]): void {
    if (ids.length === 0) return
    for (const id of ids) this.#cache.forget(id)
    this.#cache.forgetAbsences()
    for (const race of this.#races) for (const id of ids) race.changed.add(id)
  }

  /** Anything may have changed; what is cached goes on being answered until `replace`. */
  invalidateAll(): void {
    for (const race of this.#races) race.all = true
  }

  /** Somebody has said that there is more than was found: what was asked for in vain is asked for again. */
  forgetAbsences(): void {
    this.#cache.forgetAbsences()
    this.invalidateAll()
  }

  /** `found` is all there is of `ids`. */
  replace(ids: readonly string[], found: ReadonlyMap<string, DeviceRecord>): void {
    for (const id of ids) {
      const record = found.get(id)
      if (record === undefined) this.#cache.forget(id)
      else this.#cache.put(record)
    }
    this.#cache.forgetAbsences()
    this.invalidateAll()
  }

  async #fetch(key: DeviceKey, value: string): Promise<DeviceRecord | undefined> {
    for (let reads = 0; reads < MAX_READS; reads += 1) {
      const race: Race = { changed: new Set(), all: false }
      this.#races.add(race)
      let record: DeviceRecord | undefined
      try {
        record = await this.#read(key, value)
      } finally {
        this.#races.delete(race)
      }
      if (isOvertaken(race, record)) continue
      if (record !== undefined) return this.#cache.put(record)
      this.#cache.putAbsent(key, value)
      return undefined
    }
    throw new StateUnavailable('REDIS_UNAVAILABLE', 'CHANGING')
  }
}

/** What was not found may be one of those that have changed. */
function isOvertaken({ changed, all }: Race, record: DeviceRecord | undefined): boolean {
  if (all) return true
  return record === undefined ? changed.size > 0 : changed.has(record.id)
}
