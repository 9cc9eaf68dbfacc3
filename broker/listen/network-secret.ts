import { createHash, randomBytes, timingSafeEqual } from 'node:crypto'
import type { NetworkRecord } from '../../contract/hub-state.ts'
import { type TokenBucket, takeTokens, tokenBucket } from '../policy/rate.ts'

const DIGEST_BYTES = 32
/** Compared with when there is nothing to compare with, so that the answer takes as long. */
const NO_SECRET = randomBytes(DIGEST_BYTES)

/**
 * Does `secret`, one character a byte, open `network`? Takes the same time for a wrong secret, an unknown
 * network and one whose token is not known yet.
 */
export function opensNetwork(network: NetworkRecord | undefined, secret: string): boolean {
  const given = createHash('sha256').update(secret, 'latin1').digest()
  const known = Buffer.from(network?.tokenSha256 ?? '', 'hex')
  const usable = known.length === DIGEST_BYTES
  return timingSafeEqual(given, usable ? known : NO_SECRET) && usable
}

/** Wrong secrets of one address that are answered and told of: 10 at once, then one in 6 s. */
const WRONG_PER_SECOND = 1 / 6
const WRONG_BURST = 10
const TRACKED_ADDRESSES = 10_000

/**
 * Bounds what wrong secrets of one address cost in answers and events. It is asked after the comparison and
 * only for wrong ones: whoever shares an address with a guesser still gets in with the right secret.
 */
export class WrongSecrets {
  readonly #buckets = new Map<string, TokenBucket>()

  /** Counts one; answers 0, or the ms after which the address may fail again. */
  count(remoteAddress: string, now: number): number {
    const key = sourceOf(remoteAddress)
    const bucket = this.#buckets.get(key) ?? tokenBucket(WRONG_PER_SECOND, now, WRONG_BURST)
    // Anew at the end: who was silent longest is forgotten first.
    this.#buckets.delete(key)
    this.#buckets.set(key, bucket)
    if (this.#buckets.size > TRACKED_ADDRESSES) this.#forgetOldest()
    return takeTokens(bucket, now)
  }

  #forgetOldest(): void {
    for (const key of this.#buckets.keys()) {
      this.#buckets.delete(key)
      return
    }
  }
}

/** An IPv6 client owns a /64, so single addresses would bound nothing. */
function sourceOf(remoteAddress: string): string {
  if (!remoteAddress.startsWith('[')) return remoteAddress.slice(0, remoteAddress.lastIndexOf(':'))
  const [head = '', tail] = remoteAddress.slice(1, remoteAddress.indexOf(']')).split('::')
  const groups = head.split(':')
  if (tail !== undefined) {
    const rest = tail === '' ? 0 : tail.split(':').length
    while (groups.length + rest < 8) groups.push('0')
  }
  return groups.slice(0, 4).join(':')
}
