import type { Redis } from 'ioredis'
import { hubKeyPattern, stateKeys, storePrefix } from '../../contract/redis-keys.ts'

const KEYS_AT_ONCE = 500

/**
 * Removes every key of a hub and resolves to how many there were. The fence of the store goes first, so that a
 * broker that still runs can't write new keys behind the scan. `assertMayWrite` throws to stop in the middle.
 */
export async function removeHubKeys(redis: Redis, uid: string, assertMayWrite: () => void): Promise<number> {
  assertMayWrite()
  const { version, revision } = stateKeys(uid)
  let removed = await redis.unlink(`${storePrefix(uid)}owner`, version, revision)
  let cursor = '0'
  do {
    const [next, keys] = await redis.scan(cursor, 'MATCH', hubKeyPattern(uid), 'COUNT', KEYS_AT_ONCE)
    assertMayWrite()
    if (keys.length > 0) removed += await redis.unlink(...keys)
    cursor = next
  } while (cursor !== '0')
  return removed
}
