import type { Redis } from 'ioredis'
import type { ScriptArgument, ScriptRunner } from '../../contract/redis-script.ts'
import { closeRedis, openRedis, type RedisSettingsSource, untilClosed } from '../redis/open-redis.ts'
import type { StoreConnection } from './redis-pipeline.ts'
import { claimScript, freeingScript, readScript, writeScript } from './redis-store-script.ts'

export interface StoreConnectionOptions {
  settings: RedisSettingsSource
  /** `storePrefix` of the hub. */
  prefix: string
  /** Names the owner of the store. */
  bootId: string
  timeoutMs: number
  /** How many replicas have to have a batch before it counts as stored. */
  replicas: number
  signal: AbortSignal
}

/**
 * Ways of a Redis to lose what it has acknowledged: it writes nothing to disk as it goes, or it throws keys away
 * when its memory is full. (Whether it flushes before each answer it tells only administrators.)
 */
export type StoreDanger = 'NO_APPEND_ONLY_FILE' | 'EVICTION'

const LAYOUT_VERSION = '1'
const HASH_FIELDS_AT_ONCE = 200
const WAIT_MS = 500

/** One connection to Redis with the scripts of a store on it. Rejections are those of the client. */
export class RedisStoreConnection implements StoreConnection {
  readonly #redis: Redis
  readonly #options: StoreConnectionOptions

  private constructor(redis: Redis, options: StoreConnectionOptions) {
    this.#redis = redis
    this.#options = options
  }

  /** Rejects with RedisUnavailable. */
  static async open(options: StoreConnectionOptions): Promise<RedisStoreConnection> {
    const { settings, timeoutMs, signal } = options
    return new RedisStoreConnection(
      await openRedis({ settings, name: 'hublet-store', timeoutMs, signal }),
      options,
    )
  }

  /** Becomes the owner, whoever was it before. Resolves to how many deleted queues are still to be swept. */
  async claim(): Promise<number> {
    const { bootId } = this.#options
    return Number(await claimScript.run(this.#redis, this.#keys, [bootId, LAYOUT_VERSION]))
  }

  async write(number: number, args: readonly ScriptArgument[], frees: boolean): Promise<string> {
    const { bootId, replicas } = this.#options
    const script = frees ? freeingScript : writeScript
    const said = await script.run(this.#redis, this.#keys, [bootId, String(number), ...args])
    // Until enough replicas have it, it is not stored: whoever waits goes on waiting.
    while (replicas > 0 && (await this.#redis.wait(replicas, WAIT_MS)) < replicas);
    return String(said)
  }

  async read(args: readonly ScriptArgument[]): Promise<Buffer[]> {
    const redis = this.#redis
    // Payloads are no text.
    const binary: ScriptRunner = { call: (command, all) => redis.callBuffer(command, all) }
    return (await readScript.run(binary, this.#keys, [this.#options.bootId, ...args])) as Buffer[]
  }

  /** Calls `each` with all fields of a hash, in bounded steps. Nobody else may write to it meanwhile. */
  async readHash(name: string, each: (field: Buffer, value: Buffer) => void): Promise<void> {
    const key = this.#options.prefix + name
    let cursor = '0'
    do {
      const [next, pairs] = await this.#redis.hscanBuffer(key, cursor, 'COUNT', HASH_FIELDS_AT_ONCE)
      for (let i = 0; i + 1 < pairs.length; i += 2) each(pairs[i]!, pairs[i + 1]!)
      cursor = next.toString()
    } while (cursor !== '0')
  }

  /** What this Redis may lose although it has answered. */
  async dangers(): Promise<StoreDanger[]> {
    const info = `${await this.#redis.info('persistence')}${await this.#redis.info('memory')}`
    const value = (name: string) => new RegExp(`^${name}:(.*?)\\r?$`, 'm').exec(info)?.[1]
    const dangers: StoreDanger[] = []
    if (value('aof_enabled') === '0') dangers.push('NO_APPEND_ONLY_FILE')
    if (value('maxmemory') !== '0' && value('maxmemory_policy') !== 'noeviction') dangers.push('EVICTION')
    return dangers
  }

  untilClosed(): Promise<void> {
    return untilClosed(this.#redis)
  }

  close(): void {
    closeRedis(this.#redis)
  }

  get #keys(): [string] {
    return [`${this.#options.prefix}owner`]
  }
}
