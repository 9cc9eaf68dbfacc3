import { Redis } from 'ioredis'
import { type RedisSettings, redisFault } from '../../contract/redis-access.ts'

export interface OperatorRedisOptions {
  /** [0, 1). */
  random: () => number
  /** The connection is gone or cannot be made, with the word of `redisFault`. */
  onFault?: (fault: string) => void
  /** How long Redis may leave a command unanswered before the connection counts as dead, ms. Default 10,000. */
  timeoutMs?: number
}

const CONNECT_TIMEOUT_MS = 5_000
const LONGEST_BACKOFF_MS = 10_000

/**
 * A client that connects again by itself and never queues: a command without a connection fails at once, and the
 * reconciliation that needed it is tried again. Not connected yet: `await redis.connect()`, whose rejection says
 * no more than `onFault` did; it goes on trying. End it with `disconnect()`.
 */
export function createOperatorRedis(settings: RedisSettings, options: OperatorRedisOptions): Redis {
  const { random, onFault, timeoutMs = 10_000 } = options
  const redis = new Redis({
    ...settings,
    connectionName: 'hublet-operator',
    disableClientInfo: true,
    protocol: 2,
    lazyConnect: true,
    enableOfflineQueue: false,
    // A command whose answer was lost may have run: only its caller knows whether to run it again.
    autoResendUnfulfilledCommands: false,
    // Whoever listens subscribes at each `ready`. The client's own attempt has nobody to hear of its failure, and such a
    // rejection ends the process.
    autoResubscribe: false,
    maxRetriesPerRequest: 0,
    connectTimeout: CONNECT_TIMEOUT_MS,
    commandTimeout: timeoutMs,
    socketTimeout: timeoutMs,
    retryStrategy: (attempt) => backoff(attempt, random),
  })
  // Without a listener the client prints errors, arguments included, to stderr.
  redis.on('error', (error) => onFault?.(redisFault(error)))
  return redis
}

/** Between half and all of 100 ms, 200 ms, 400 ms … 10 s: brokers and operators must not come back as one. */
function backoff(attempt: number, random: () => number): number {
  const longest = Math.min(100 * 2 ** Math.min(attempt - 1, 10), LONGEST_BACKOFF_MS)
  return longest * (0.5 + random() / 2)
}
