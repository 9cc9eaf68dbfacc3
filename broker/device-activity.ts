/** Low-rate digest for a status page: never kept per message. */
export interface DeviceActivity {
  deviceId: string
  connections: number
  /** ms since the epoch. */
  lastActivityAt: number
  messagesIn: number
  messagesOut: number
}
