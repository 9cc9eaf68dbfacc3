import type { HubEvent } from '../../contract/hub-event.ts'
import type { HubRecord } from '../../contract/hub-state.ts'
import {
  isProvisionableName,
  type ProvisioningAnswer,
  type ProvisioningRequest,
} from '../../contract/provisioning.ts'
import type { PeerCertificate } from '../policy/link.ts'
import { type TokenBucket, takeTokens, tokenBucket } from '../policy/rate.ts'
import { type Denied, deny } from '../policy/verdict.ts'

/** Makes a device and resolves when the state has its record. */
export type Provision = (request: ProvisioningRequest) => Promise<ProvisioningAnswer>

/** Requests under way; a burst beyond it is told to come again. */
const MAX_PENDING = 1_000

export interface ProvisionerParts {
  provision: Provision
  hub: () => HubRecord
  raise: (event: HubEvent) => void
  /** ms since the epoch. */
  now: () => number
}

/**
 * Devices that make themselves known (spec §1.7): one request for one common name, however many connections
 * ask for it, and no more of them a second than the hub allows.
 */
export class Provisioner {
  readonly #parts: ProvisionerParts
  readonly #pending = new Map<string, Promise<ProvisioningAnswer>>()
  #bucket: TokenBucket | undefined

  constructor(parts: ProvisionerParts) {
    this.#parts = parts
  }

  /** The device has a record now (`created`: by this very call), or why it has none. */
  async provision(
    certificate: PeerCertificate,
    sourceAddress: string,
  ): Promise<Denied | { allowed: true; created: boolean }> {
    const { commonName, fingerprint } = certificate
    const rate = this.#parts.hub().autoProvisioning?.perSecond
    if (rate === undefined) return deny('UNKNOWN_DEVICE')
    if (!isProvisionableName(commonName)) {
      return this.#fail(deny('UNKNOWN_DEVICE', 'its name cannot be that of a device'), sourceAddress)
    }
    let pending = this.#pending.get(commonName)
    const isFirst = pending === undefined
    if (pending === undefined) {
      if (this.#pending.size >= MAX_PENDING || !this.#mayAsk(rate)) {
        return this.#fail(deny('HUB_BUSY', `at most ${rate} new devices a second`), sourceAddress)
      }
      const time = this.#parts.now()
      pending = this.#parts
        .provision({ commonName, fingerprint, sourceAddress, time })
        .finally(() => this.#pending.delete(commonName))
      this.#pending.set(commonName, pending)
    }
    const answer = await pending
    if (answer === 'Created' || answer === 'Existed') {
      return { allowed: true, created: answer === 'Created' && isFirst }
    }
    const detail =
      answer === 'QuotaReached' ? 'the hub has as many devices as it may' : 'it could not be stored'
    return this.#fail(deny(answer === 'QuotaReached' ? 'UNKNOWN_DEVICE' : 'HUB_BUSY', detail), sourceAddress)
  }

  #mayAsk(perSecond: number): boolean {
    const now = this.#parts.now()
    if (this.#bucket?.perSecond !== perSecond) this.#bucket = tokenBucket(perSecond, now)
    return takeTokens(this.#bucket, now) === 0
  }

  #fail(denied: Denied, sourceAddress: string): Denied {
    this.#parts.raise({
      code: 'AUTO_PROVISIONING_FAILED',
      objectType: 'hub',
      objectId: this.#parts.hub().uid,
      detail: denied.detail ?? '',
      extra: { 'source-address': sourceAddress },
    })
    return denied
  }
}
