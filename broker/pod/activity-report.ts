import type { Redis } from 'ioredis'
import { type DeviceDigest, DIGEST_TTL_SECONDS, encodeDigest } from '../../contract/activity-digest.ts'
import { deviceDigestKey } from '../../contract/redis-keys.ts'

export interface ActivityReportOptions {
  hubUid: string
  /** A connection for one report; it is closed by it. */
  open: () => Promise<Redis>
  close: (redis: Redis) => void
  activity: () => Iterable<DeviceDigest & { deviceId: string }>
}

const FIELDS_AT_ONCE = 500

/** Writes the digest of the devices: all of it the first time, then what has changed. */
export class ActivityReport {
  readonly #options: ActivityReportOptions
  readonly #key: string
  #reported = new Map<string, string>()

  constructor(options: ActivityReportOptions) {
    this.#options = options
    this.#key = deviceDigestKey(options.hubUid)
  }

  /** Rejects as the client does; the next report then brings what this one has not. */
  async send(): Promise<void> {
    const { open, close, activity } = this.#options
    const current = new Map(Array.from(activity(), (it) => [it.deviceId, encodeDigest(it)]))
    const redis = await open()
    try {
      // Gone (expired, hub deleted, Redis emptied): what was reported before has to be told again.
      if (this.#reported.size === 0 || (await redis.exists(this.#key)) === 0) {
        this.#reported.clear()
        await redis.unlink(this.#key)
      }
      await this.#write(redis, current)
    } finally {
      close(redis)
    }
  }

  async #write(redis: Redis, current: ReadonlyMap<string, string>): Promise<void> {
    const changed = [...current].filter(([id, digest]) => this.#reported.get(id) !== digest)
    const gone = [...this.#reported.keys()].filter((id) => !current.has(id))
    for (let from = 0; from < changed.length; from += FIELDS_AT_ONCE) {
      const some = changed.slice(from, from + FIELDS_AT_ONCE)
      // At once with its end: a broker that dies in between must not leave it for ever.
      await redis
        .multi()
        .hset(this.#key, ...some.flat())
        .expire(this.#key, DIGEST_TTL_SECONDS)
        .exec()
      for (const [id, digest] of some) this.#reported.set(id, digest)
    }
    for (let from = 0; from < gone.length; from += FIELDS_AT_ONCE) {
      const some = gone.slice(from, from + FIELDS_AT_ONCE)
      await redis.hdel(this.#key, ...some)
      for (const id of some) this.#reported.delete(id)
    }
    await redis.expire(this.#key, DIGEST_TTL_SECONDS)
  }
}
