import type { ApplicationMessage } from '../store/store.ts'
import { encodePublish, type ProtocolVersion, type PublishFrame } from '../wire/publish-frame.ts'
import type { DeliveryProperties } from '../wire/publish-properties.ts'

/** How one receiver gets a message. */
export interface DeliveryShape {
  version: ProtocolVersion
  qos: 0 | 1 | 2
  retain: boolean
  subscriptionIds?: readonly number[] | undefined
}

/** One message on its way to many: a frame is built once for all receivers that get the same bytes. */
export class OutgoingMessage {
  readonly message: ApplicationMessage
  readonly #now: number
  readonly #frames: Array<PublishFrame | undefined> = []

  /** `now` in ms since the epoch: what is left of the message's expiry is counted from it. */
  constructor(message: ApplicationMessage, now: number) {
    this.message = message
    this.#now = now
  }

  frame(shape: DeliveryShape): PublishFrame {
    const { version, qos, retain, subscriptionIds } = shape
    if (version === 5 && subscriptionIds !== undefined) {
      return encodePublish(this.message, shape, { ...this.#delivery(), subscriptionIds })
    }
    const index = (version === 5 ? 6 : 0) + qos * 2 + (retain ? 1 : 0)
    this.#frames[index] ??= encodePublish(this.message, shape, version === 5 ? this.#delivery() : undefined)
    return this.#frames[index]
  }

  /** [MQTT-3.3.2-6]: the interval less the time that the message has waited here. */
  #delivery(): DeliveryProperties {
    const { expiresAt } = this.message
    if (expiresAt === undefined) return {}
    return { messageExpiryInterval: Math.max(0, Math.ceil((expiresAt - this.#now) / 1000)) }
  }
}
