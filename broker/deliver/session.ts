import type { SessionRecord, SubscriptionRecord } from '../store/store.ts'
import type { OutboundQueue } from './outbound-queue.ts'
import type { Receiver } from './receiver.ts'

/** What delivery asks of the device behind a session. */
export interface SessionDevice {
  readonly id: string
  readonly filters: { allowsDelivery(topic: string): boolean }
  messagesOut: number
}

/** Told when a session gets or loses its link. */
export interface LinkObserver {
  onLinkChange(): void
}

/** An MQTT session: subscriptions and a queue, with or without a link at the moment. */
export class Session {
  /** `<device id>/<client id>`. */
  readonly key: string
  readonly clientId: string
  readonly device: SessionDevice
  /** Its queue, its record and its inbound packet ids are in the store. */
  readonly persistent: boolean
  readonly queue: OutboundQueue
  readonly subscriptions = new Map<string, SubscriptionRecord>()
  /** Groups that it shares messages with. */
  readonly shares = new Set<LinkObserver>()
  /** Packet ids of QoS 2 messages that came in and were not released; only kept here when not persistent. */
  readonly incoming = new Set<number>()
  /** Seconds to live without a link. */
  expirySeconds = 0
  /** When it is forgotten, ms since the epoch; undefined while it has a link. */
  expiresAt: number | undefined
  receiver: Receiver | undefined

  constructor(parts: {
    key: string
    clientId: string
    device: SessionDevice
    persistent: boolean
    queue: OutboundQueue
  }) {
    this.key = parts.key
    this.clientId = parts.clientId
    this.device = parts.device
    this.persistent = parts.persistent
    this.queue = parts.queue
  }

  attach(receiver: Receiver): void {
    this.receiver = receiver
    this.expiresAt = undefined
    for (const group of this.shares) group.onLinkChange()
    this.queue.attach(receiver)
  }

  detach(): void {
    this.receiver = undefined
    for (const group of this.shares) group.onLinkChange()
    this.queue.detach()
  }

  record(): SessionRecord {
    const { key, clientId, expiresAt } = this
    return {
      key,
      deviceId: this.device.id,
      clientId,
      subscriptions: [...this.subscriptions.values()],
      ...(expiresAt === undefined ? {} : { expiresAt }),
    }
  }
}
