/**
 * Certificates that were issued and wait for brokers to know them: a device that gets its new certificate and uses it
 * at once must not be refused. Until then its Secret holds the one before.
 *
 * After a crash they are gone and others are issued: nobody has seen them.
 */
import type { Device } from '../api/resources.ts'
import type { Pair } from '../pki/pair.ts'
import { BoundedMap } from '../runtime/bounded-map.ts'
import { keyOf, type ObjectKey } from '../runtime/resource.ts'
import type { IssueReason } from './certificate-state.ts'

export interface HeldCertificate {
  pair: Pair
  /** Why it was issued. */
  reason: IssueReason
  /** Value of the rotate annotation that it answers. */
  rotation: string | undefined
}

/** All devices of a hub of the largest size that was measured; one that is forgotten is issued again. */
const MAX_HELD = 20_000

export class HeldCertificates {
  readonly #held = new BoundedMap<ObjectKey, HeldCertificate & { uid: string }>(MAX_HELD)

  hold(device: Device, held: HeldCertificate): void {
    this.#held.set(keyOf(device), { ...held, uid: device.metadata.uid ?? '' })
  }

  of(device: Device): HeldCertificate | undefined {
    const held = this.#held.get(keyOf(device))
    return held?.uid === device.metadata.uid ? held : undefined
  }

  forget(key: ObjectKey): void {
    this.#held.delete(key)
  }
}
