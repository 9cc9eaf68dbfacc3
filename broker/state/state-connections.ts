import type { Redis } from 'ioredis'
import { closeRedis, openRedis, type RedisSettingsSource, untilClosed } from '../redis/open-redis.ts'

/** Two connections, as the one that waits for changes can't serve look-ups. With either the other closes too. */
export interface StateConnections {
  data: Redis
  stream: Redis
  close(): void
}

export interface StateConnectionOptions {
  settings: RedisSettingsSource
  /** How long a command may go unanswered, ms. */
  timeoutMs: number
  /** How long `stream` waits in Redis at most, ms. */
  blockMs: number
  signal: AbortSignal
}

/** Rejects with RedisUnavailable, with nothing left open. */
export async function openStateConnections(options: StateConnectionOptions): Promise<StateConnections> {
  const { settings, timeoutMs, blockMs, signal } = options
  const open = (timeout: number) => openRedis({ settings, name: 'hublet-state', timeoutMs: timeout, signal })
  const data = await open(timeoutMs)
  const stream = await open(blockMs + timeoutMs).catch((error: unknown) => {
    closeRedis(data)
    throw error
  })
  const close = () => {
    closeRedis(data)
    closeRedis(stream)
  }
  // A command that waits on one ends with the other, and whoever waits for it starts anew.
  for (const redis of [data, stream]) void untilClosed(redis).then(close)
  return { data, stream, close }
}
