import type { UsedCertificate } from '../contract/activity-digest.ts'

/** Low-rate digest for a status page: never kept per message. */
export interface DeviceActivity {
  deviceId: string
  connections: number
  /** ms since the epoch. */
  lastActivityAt: number
  messagesIn: number
  messagesOut: number
  /** The client certificate that was let in last. */
  certificate?: UsedCertificate
}
