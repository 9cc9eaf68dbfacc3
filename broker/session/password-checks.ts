import { createHash, timingSafeEqual } from 'node:crypto'
import { verifyPassword } from '../../contract/password-verifier.ts'

/** Verifications at a time: each costs 16 MiB and some 50 ms of a thread of a pool that others use too. */
const CONCURRENCY = 2
/** Verifications that wait; beyond it a CONNECT is told to come again. */
const MAX_WAITING = 1_000
/** Successes remembered, so that a fleet that reconnects need not be verified anew one by one. */
const REMEMBERED = 10_000

/** Password verification, bounded: it is slow by design, and anybody may ask for it. */
export class PasswordChecks {
  /** Verifier → SHA-256 of the password that matched. A changed password has another verifier. */
  readonly #known = new Map<string, Buffer>()
  readonly #waiting: Array<() => void> = []
  #running = 0

  /** undefined: too many are waiting. */
  async verify(verifier: string, password: Buffer): Promise<boolean | undefined> {
    const digest = createHash('sha256').update(verifier).update(password).digest()
    const known = this.#known.get(verifier)
    if (known !== undefined && timingSafeEqual(known, digest)) return true
    if (this.#running >= CONCURRENCY) {
      if (this.#waiting.length >= MAX_WAITING) return undefined
      await new Promise<void>((resolve) => this.#waiting.push(resolve))
    }
    this.#running += 1
    try {
      const matches = await verifyPassword(verifier, password)
      if (matches) this.#remember(verifier, digest)
      return matches
    } finally {
      this.#running -= 1
      this.#waiting.shift()?.()
    }
  }

  #remember(verifier: string, digest: Buffer): void {
    if (this.#known.size >= REMEMBERED) this.#known.delete(this.#known.keys().next().value!)
    this.#known.set(verifier, digest)
  }
}
