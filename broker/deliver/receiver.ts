import type { ProtocolVersion } from '../wire/publish-frame.ts'

/** The open link of a session, as delivery sees it. */
export interface Receiver {
  readonly version: ProtocolVersion
  /** MQTT 5 Maximum Packet Size of the client; larger packets are not sent [MQTT-3.1.2-24]. */
  readonly maximumPacketBytes: number
  /** Unacknowledged QoS 1 and 2 messages the client and the hub allow at a time. */
  readonly window: number
  /** `frame` may be shared with other receivers: nobody changes it afterwards. */
  send(frame: Buffer): void
  /** More waits for the client than the hub allows: QoS 0 is dropped, the rest stays queued. */
  isCongested(): boolean
}
