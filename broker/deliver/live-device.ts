import type { UsedCertificate } from '../../contract/activity-digest.ts'
import type { DeviceRecord, HubLimits } from '../../contract/hub-state.ts'
import { compileFilters, type DeviceFilters } from '../policy/filters.ts'
import { type TokenBucket, tokenBucket } from '../policy/rate.ts'

/** A device that has links or sessions, with what is compiled from its record. `Link` is whatever it is linked by. */
export class LiveDevice<Link> {
  readonly id: string
  record: DeviceRecord
  filters: DeviceFilters
  /** Shared by all connections of the device. */
  bucket: TokenBucket
  readonly links = new Set<Link>()
  messagesIn = 0
  messagesOut = 0
  /** ms since the epoch. */
  lastActivityAt: number
  /** The client certificate that was let in last. */
  certificate: UsedCertificate | undefined

  constructor(
    id: string,
    record: DeviceRecord,
    hub: { eventsPrefix: string; limits: HubLimits; now: number },
  ) {
    this.id = id
    this.record = record
    this.filters = compileFilters(record.filters, hub.eventsPrefix)
    this.bucket = tokenBucket(hub.limits.messagesPerSecond, hub.now)
    this.lastActivityAt = hub.now
  }

  /** A changed record, or a hub that changed around it. */
  update(record: DeviceRecord, hub: { eventsPrefix: string; limits: HubLimits; now: number }): void {
    this.record = record
    this.filters = compileFilters(record.filters, hub.eventsPrefix)
    if (this.bucket.perSecond !== hub.limits.messagesPerSecond) {
      this.bucket = tokenBucket(hub.limits.messagesPerSecond, hub.now)
    }
  }
}
