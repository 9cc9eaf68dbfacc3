import type { Redis } from 'ioredis'
import { RedisScript } from '../contract/redis-script.ts'

/** How long a worker that died keeps the routes from the next one. */
export const LEASE_MS = 10_000
export const RENEW_MS = 2_500

/**
 * Key: owner. Arguments: token, ms, what tokens of the same pod begin with. 1: it is ours. A pod has one route
 * worker at a time, so one that starts there goes on at once where the one before it died.
 */
const claim = new RedisScript(`#!lua
local owner = redis.call('GET', KEYS[1])
if owner and string.sub(owner, 1, #ARGV[3]) ~= ARGV[3] then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
`)

const release = new RedisScript(`#!lua
if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('DEL', KEYS[1]) end
return 0
`)

export interface LeaseOptions {
  key: string
  pod: string
  bootId: string
  /** ms that never jump back, and go on while the process is stopped. */
  now: () => number
  /** Called once when it ends by itself, renewals having failed or the process having been stopped. */
  onLapse: () => void
}

/**
 * Who delivers the routes of a hub: one worker at a time, so that the order within a topic holds while pods change
 * (docs/adr/0016). It ends here before another can begin, and `token` is what the streams ask for: a worker that
 * wakes after its time starts no delivery, and nothing it has to say about messages is heard.
 */
export class Lease {
  readonly token: string
  readonly #options: LeaseOptions
  #validUntil = 0
  #lapse: NodeJS.Timeout | undefined

  constructor(options: LeaseOptions) {
    this.#options = options
    this.token = `${options.pod}/${options.bootId}`
  }

  /** Whether this worker may deliver. */
  get isHeld(): boolean {
    return this.#options.now() < this.#validUntil
  }

  /** Takes or renews it; rejects as the client does. */
  async renew(redis: Redis): Promise<boolean> {
    const { key, pod, bootId, now } = this.#options
    // From before the request: Redis counts from later, so ours ends first.
    const start = now()
    const samePod = pod === '' ? `/${bootId}` : `${pod}/`
    const isOurs = Number(await claim.run(redis, [key], [this.token, LEASE_MS, samePod])) === 1
    this.#hold(isOurs ? start + LEASE_MS - RENEW_MS / 2 : 0)
    return this.isHeld
  }

  async release(redis: Redis): Promise<void> {
    this.#hold(0)
    await release.run(redis, [this.#options.key], [this.token])
  }

  #hold(until: number): void {
    const { now, onLapse } = this.#options
    this.#validUntil = until
    clearTimeout(this.#lapse)
    if (until > now()) this.#lapse = setTimeout(onLapse, until - now()).unref()
  }
}
