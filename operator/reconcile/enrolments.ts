/**
 * Requests of devices for certificates, on their way from a broker's ask to the device's own reconcile, which alone
 * decides about its certificates, and back. Lost with the process: the device then asks again.
 */
import type { EnrolmentAnswer, EnrolmentRequest } from '../../contract/asks.ts'
import type { Device } from '../api/resources.ts'
import { sha256 } from '../pki/enrolment.ts'
import { BoundedMap } from '../runtime/bounded-map.ts'
import { keyOf, type ObjectKey } from '../runtime/resource.ts'

const MAX_KEPT = 10_000

export interface Enrolment {
  id: string
  device: ObjectKey
  request: EnrolmentRequest
  /** SHA-256 of the CSR, hex. */
  digest: string
  outcome?: EnrolmentAnswer
  /** Of the certificate that was issued. */
  fingerprint?: string
}

export class Enrolments {
  readonly #known = new BoundedMap<string, Enrolment>(MAX_KEPT)

  /** The same ask again is the same enrolment. */
  take(id: string, device: Device, request: EnrolmentRequest): { enrolment: Enrolment; isNew: boolean } {
    const known = this.#known.get(id)
    if (known !== undefined) return { enrolment: known, isNew: false }
    const digest = sha256(request.csr)
    const enrolment = { id, device: keyOf(device), request, digest }
    this.#known.set(id, enrolment)
    return { enrolment, isNew: true }
  }

  /** Those of a device that nobody has decided yet. */
  waiting(device: Device): Enrolment[] {
    const key = keyOf(device)
    return [...this.#known.values()].filter((one) => one.device === key && one.outcome === undefined)
  }

  forget(id: string): void {
    this.#known.delete(id)
  }
}
