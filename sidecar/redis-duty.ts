import type { Redis } from 'ioredis'
import {
  closeRedis,
  openRedis,
  type RedisSettingsSource,
  RedisUnavailable,
  untilClosed,
} from '../broker/redis/open-redis.ts'
import { Reconnecting } from '../broker/redis/reconnecting.ts'
import { RENEW_MS } from './lease.ts'

export interface RedisDutyOptions {
  settings: RedisSettingsSource
  /** Done every `RENEW_MS` while connected, never twice at a time. A rejection ends the connection. */
  duty: (redis: Redis) => Promise<void>
  onFault: (error: unknown) => void
}

const TIMEOUT_MS = 2_000

/** A connection of its own for what has to be in time, however much the streams have to carry. */
export class RedisDuty {
  readonly #options: RedisDutyOptions
  readonly #loop: Reconnecting
  #redis: Redis | undefined

  constructor(options: RedisDutyOptions) {
    this.#options = options
    this.#loop = new Reconnecting({
      serve: (signal, settled) => this.#serve(signal, settled),
      onFault: options.onFault,
      random: Math.random,
    })
  }

  start(): void {
    this.#loop.start()
  }

  /** Once more, and for the last time, while there is a connection. */
  async stop(last: (redis: Redis) => Promise<void>): Promise<void> {
    if (this.#redis !== undefined) await last(this.#redis).catch(this.#options.onFault)
    await this.#loop.stop()
  }

  async #serve(signal: AbortSignal, settled: () => void): Promise<void> {
    const { settings, duty } = this.#options
    const redis = await openRedis({ settings, name: 'hublet-routes-duty', timeoutMs: TIMEOUT_MS, signal })
    const onAbort = () => closeRedis(redis)
    signal.addEventListener('abort', onAbort)
    const closed = untilClosed(redis).then(() => {
      throw new RedisUnavailable('CLOSED')
    })
    closed.catch(() => {})
    this.#redis = redis
    try {
      for (;;) {
        await Promise.race([duty(redis), closed])
        settled()
        await Promise.race([pause(), closed])
      }
    } finally {
      this.#redis = undefined
      signal.removeEventListener('abort', onAbort)
      closeRedis(redis)
    }
  }
}

const pause = () => new Promise((resolve) => setTimeout(resolve, RENEW_MS).unref())
