import { Redis } from 'ioredis'
import { type RedisSettings, redisFault } from '../../contract/redis-access.ts'

/** Redis cannot be reached or does not let us in. Holds the word of `redisFault` and nothing else of the cause. */
export class RedisUnavailable extends Error {
  override readonly name = 'RedisUnavailable'
  readonly fault: string

  constructor(fault: string) {
    super(`Redis is not available: ${fault}`)
    this.fault = fault
  }
}

/** A function is asked before each attempt, so that a password may change while the process runs. */
export type RedisSettingsSource = RedisSettings | (() => RedisSettings)

export interface OpenRedisOptions {
  settings: RedisSettingsSource
  /** What `CLIENT LIST` shows. */
  name: string
  /** How long a command may go unanswered before the connection counts as dead and is closed, ms. */
  timeoutMs: number
  /** Gives up connecting; an open connection is its owner's to close. */
  signal?: AbortSignal
}

/** Connecting, greeting and waiting until Redis has loaded its data, ms. */
const OPEN_TIMEOUT_MS = 5_000

/**
 * One connection, ready for commands. It never reconnects and never queues: what is not answered when it closes
 * is rejected, and only the caller knows whether to ask again. Rejects with RedisUnavailable.
 */
export async function openRedis({ settings, name, timeoutMs, signal }: OpenRedisOptions): Promise<Redis> {
  const redis = new Redis({
    ...(typeof settings === 'function' ? settings() : settings),
    connectionName: name,
    disableClientInfo: true,
    protocol: 2,
    lazyConnect: true,
    retryStrategy: null,
    enableOfflineQueue: false,
    autoResendUnfulfilledCommands: false,
    maxLoadingRetryTime: 500,
    connectTimeout: OPEN_TIMEOUT_MS,
    // Closes the socket: behind an unanswered command every other one would wait as well.
    socketTimeout: timeoutMs,
  })
  let fault: string | undefined
  // Without a listener the client prints errors, arguments included, to stderr.
  redis.on('error', (error) => {
    fault = redisFault(error)
  })
  const giveUp = (why: string) => {
    fault ??= why
    closeRedis(redis)
  }
  const late = setTimeout(() => giveUp('TIMEOUT'), OPEN_TIMEOUT_MS)
  const onAbort = () => giveUp('STOPPED')
  signal?.addEventListener('abort', onAbort)
  try {
    if (signal?.aborted === true) throw new RedisUnavailable('STOPPED')
    await redis.connect()
    return redis
  } catch (error) {
    closeRedis(redis)
    throw error instanceof RedisUnavailable ? error : new RedisUnavailable(fault ?? redisFault(error))
  } finally {
    signal?.removeEventListener('abort', onAbort)
    clearTimeout(late)
  }
}

/** Closes at once. The client alone would wait for a peer that may have gone silent to close its side. */
export function closeRedis(redis: Redis): void {
  redis.disconnect()
  redis.stream?.destroy()
}

/** Resolves when the connection is closed, from whichever side. */
export function untilClosed(redis: Redis): Promise<void> {
  if (redis.status === 'end') return Promise.resolve()
  return new Promise((resolve) => redis.once('end', () => resolve()))
}
