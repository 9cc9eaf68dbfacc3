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
/** Refusals that are remembered, and for how long: only a person changes them. */
const MAX_REFUSED = 1_000
const REFUSED_MS = 5_000

const REFUSALS = {
  QuotaReached: deny('UNKNOWN_DEVICE', 'the hub has as many devices as it may'),
  // Its certificate may be good for years: only a person brings it back.
  Deleted: deny('DEVICE_DELETED', 'a device of this name was deleted'),
  Failed: deny('HUB_BUSY', 'it could not be stored'),
  Late: deny('HUB_BUSY', 'nobody has answered in time'),
} as const satisfies Partial<Record<ProvisioningAnswer, Denied>>

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
  readonly #refused = new Map<string, { denied: Denied; until: number }>()
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
    const refused = this.#refused.get(commonName)
    if (refused !== undefined && this.#parts.now() < refused.until) {
      return this.#fail(refused.denied, sourceAddress)
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
    const denied = REFUSALS[answer]
    if (answer === 'Deleted') this.#remember(commonName, denied)
    return this.#fail(denied, sourceAddress)
  }

  /** A device that tries without end must not use up the rate of those that may come. */
  #remember(commonName: string, denied: Denied): void {
    if (this.#refused.size >= MAX_REFUSED) this.#refused.delete(this.#refused.keys().next().value as string)
    this.#refused.set(commonName, { denied, until: this.#parts.now() + REFUSED_MS })
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
