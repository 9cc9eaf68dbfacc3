import { randomFillSync } from 'node:crypto'

/** Random bytes are drawn for many ids at a time: one draw costs more than all the rest. */
const POOL_BYTES = 4096
const RANDOM_BYTES = 10

/** Makes UUIDv7s (RFC 9562 §5.7): `now` in ms since the epoch, then 74 random bits. */
export function messageIds(now: () => number): () => string {
  const pool = Buffer.allocUnsafeSlow(POOL_BYTES)
  let used = POOL_BYTES
  return () => {
    if (used + RANDOM_BYTES > POOL_BYTES) {
      randomFillSync(pool)
      used = 0
    }
    const bytes = pool.subarray(used, used + RANDOM_BYTES)
    used += RANDOM_BYTES
    bytes[0] = (bytes[0]! & 0x0f) | 0x70
    bytes[2] = (bytes[2]! & 0x3f) | 0x80
    const time = now().toString(16).padStart(12, '0')
    const random = bytes.toString('hex')
    return `${time.slice(0, 8)}-${time.slice(8)}-${random.slice(0, 4)}-${random.slice(4, 8)}-${random.slice(8)}`
  }
}
