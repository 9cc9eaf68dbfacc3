import type { Redis } from 'ioredis'
import { type DeviceDigest, decodeDigest } from '../../contract/activity-digest.ts'
import { redisFault } from '../../contract/redis-access.ts'
import { deviceDigestKey } from '../../contract/redis-keys.ts'
import { HubStateError } from './hub-state-error.ts'

const FIELDS_AT_ONCE = 1000

/**
 * What the brokers of a hub last told of its devices, by device id; a device that is missing was not seen since
 * the broker started. Empty: no broker has told anything for two minutes. Rejects with `HubStateError`.
 */
export async function readDeviceDigests(redis: Redis, hubUid: string): Promise<Map<string, DeviceDigest>> {
  const digests = new Map<string, DeviceDigest>()
  try {
    let cursor = '0'
    do {
      const [next, pairs] = await redis.hscan(deviceDigestKey(hubUid), cursor, 'COUNT', FIELDS_AT_ONCE)
      for (let i = 0; i + 1 < pairs.length; i += 2) {
        const digest = decodeDigest(pairs[i + 1]!)
        if (digest !== undefined) digests.set(pairs[i]!, digest)
      }
      cursor = next
    } while (cursor !== '0')
  } catch (error) {
    const fault = redisFault(error)
    throw new HubStateError('REDIS_UNAVAILABLE', `hub ${hubUid}: Redis failed with ${fault}`, fault)
  }
  return digests
}
