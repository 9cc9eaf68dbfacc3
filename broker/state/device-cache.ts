import { isDeepStrictEqual } from 'node:util'
import type { DeviceRecord } from '../../contract/hub-state.ts'

export type DeviceKey = 'id' | 'name' | 'fingerprint'

export interface DeviceCacheBounds {
  /** Records; the one that was not asked for the longest makes room. */
  records: number
  /** Remembered answers "no such device". */
  absences: number
  /** How long an absence is remembered, ms. */
  absenceMs: number
}

/**
 * Records of devices by each of their keys, and for a short time what was asked for in vain: a client that tries
 * again and again with an unknown identity should cost Redis nothing.
 */
export class DeviceCache {
  readonly #bounds: DeviceCacheBounds
  readonly #now: () => number
  /** In order of use, the latest last. */
  readonly #records = new Map<string, DeviceRecord>()
  readonly #names = new Map<string, string>()
  readonly #fingerprints = new Map<string, string>()
  readonly #absences = new Map<string, number>()

  /** `now`: monotonic ms. */
  constructor(bounds: DeviceCacheBounds, now: () => number) {
    this.#bounds = bounds
    this.#now = now
  }

  get size(): number {
    return this.#records.size
  }

  ids(): Iterable<string> {
    return this.#records.keys()
  }

  /** null: known not to be there; undefined: not known. */
  find(key: DeviceKey, value: string): DeviceRecord | null | undefined {
    const id = key === 'id' ? value : this.#index(key).get(value)
    const record = id === undefined ? undefined : this.#records.get(id)
    if (record === undefined) return this.#isAbsent(key, value) ? null : undefined
    this.#records.delete(record.id)
    this.#records.set(record.id, record)
    return record
  }

  /** The same record without counting as a use. */
  peek(id: string): DeviceRecord | undefined {
    return this.#records.get(id)
  }

  /** Gives back what stands in the cache now: the old object when it says the same. */
  put(record: DeviceRecord): DeviceRecord {
    const known = this.#records.get(record.id)
    const kept = known !== undefined && isDeepStrictEqual(known, record) ? known : record
    this.forget(record.id)
    this.#records.set(kept.id, kept)
    this.#names.set(kept.name, kept.id)
    for (const fingerprint of kept.certificate.fingerprints) this.#fingerprints.set(fingerprint, kept.id)
    if (this.#records.size > this.#bounds.records) this.forget(this.#records.keys().next().value as string)
    return kept
  }

  putAbsent(key: DeviceKey, value: string): void {
    if (this.#absences.size >= this.#bounds.absences) {
      this.#absences.delete(this.#absences.keys().next().value as string)
    }
    this.#absences.set(`${key} ${value}`, this.#now() + this.#bounds.absenceMs)
  }

  forget(id: string): void {
    const record = this.#records.get(id)
    if (record === undefined) return
    this.#records.delete(id)
    removeOwn(this.#names, record.name, id)
    for (const fingerprint of record.certificate.fingerprints) removeOwn(this.#fingerprints, fingerprint, id)
  }

  /** Any new or edited device may be one that was asked for in vain. */
  forgetAbsences(): void {
    this.#absences.clear()
  }

  #index(key: 'name' | 'fingerprint'): Map<string, string> {
    return key === 'name' ? this.#names : this.#fingerprints
  }

  #isAbsent(key: DeviceKey, value: string): boolean {
    const until = this.#absences.get(`${key} ${value}`)
    return until !== undefined && this.#now() < until
  }
}

/** Another device may have taken the name or fingerprint over. */
function removeOwn(index: Map<string, string>, value: string, id: string): void {
  if (index.get(value) === id) index.delete(value)
}
