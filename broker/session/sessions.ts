import type { Logger } from 'pino'
import type { HubEvent } from '../../contract/hub-event.ts'
import type { HubLimits, HubRecord } from '../../contract/hub-state.ts'
import { isShared } from '../../contract/topic.ts'
import type { Counters } from '../counters.ts'
import { PersistentQueue } from '../deliver/persistent-queue.ts'
import { Session, type SessionDevice } from '../deliver/session.ts'
import type { SharedSubscriptions } from '../deliver/shared-subscriptions.ts'
import type { SubscriptionIndex } from '../deliver/subscription-index.ts'
import { TransientQueue } from '../deliver/transient-queue.ts'
import type { SessionRecord, Store, StoreLimits, SubscriptionRecord } from '../store/store.ts'

export interface SessionsParts {
  store: Store
  subscriptions: SubscriptionIndex<Session, SubscriptionRecord>
  shared: SharedSubscriptions
  hub: () => HubRecord
  raise: (event: HubEvent) => void
  counters: Counters
  logger: Logger
  /** ms since the epoch. */
  now: () => number
}

export const storeLimits = (limits: HubLimits): StoreLimits => ({
  queueMessages: limits.queueMessages,
  queueBytes: limits.queueBytes,
  queueOverflow: limits.queueOverflow,
})

/**
 * Every session of the hub, with and without a link. The key holds the device id, so a device can only ever
 * name, resume or replace its own sessions, whatever client id it sends.
 */
export class Sessions {
  readonly #parts: SessionsParts
  readonly #byKey = new Map<string, Session>()
  readonly #byDevice = new Map<string, Set<Session>>()

  constructor(parts: SessionsParts) {
    this.#parts = parts
  }

  get size(): number {
    return this.#byKey.size
  }

  get(key: string): Session | undefined {
    return this.#byKey.get(key)
  }

  ofDevice(deviceId: string): Iterable<Session> {
    return this.#byDevice.get(deviceId) ?? []
  }

  /** A new session; the caller has made sure that there is none of that key, and stores it. */
  create(device: SessionDevice, clientId: string, persistent: boolean): Session {
    return this.#add(device, clientId, { persistent, restored: false })
  }

  /** A session of an earlier life of the process, subscriptions included. */
  restore(record: SessionRecord, device: SessionDevice): Session {
    const session = this.#add(device, record.clientId, { persistent: true, restored: true })
    session.expiresAt = record.expiresAt
    for (const subscription of record.subscriptions) this.subscribe(session, subscription)
    return session
  }

  /** False: the subscription was there and has been replaced. */
  subscribe(session: Session, subscription: SubscriptionRecord): boolean {
    const { filter } = subscription
    session.subscriptions.set(filter, subscription)
    if (isShared(filter)) return this.#parts.shared.add(session, subscription)
    return this.#parts.subscriptions.add(filter, session, subscription)
  }

  unsubscribe(session: Session, filter: string): boolean {
    session.subscriptions.delete(filter)
    if (isShared(filter)) return this.#parts.shared.remove(session, filter)
    return this.#parts.subscriptions.remove(filter, session)
  }

  /** Forgets the session and all that belongs to it. Resolves when that is durable. */
  async end(session: Session): Promise<void> {
    if (this.#byKey.get(session.key) !== session) return
    this.#byKey.delete(session.key)
    const ofDevice = this.#byDevice.get(session.device.id)
    ofDevice?.delete(session)
    if (ofDevice?.size === 0) this.#byDevice.delete(session.device.id)
    this.#parts.subscriptions.removeAll(session)
    for (const filter of session.subscriptions.keys()) {
      if (isShared(filter)) this.#parts.shared.remove(session, filter)
    }
    session.detach()
    if (session.persistent) await this.#parts.store.deleteSession(session.key)
  }

  /** Sessions whose time is over. */
  expired(now: number): Session[] {
    const found: Session[] = []
    for (const session of this.#byKey.values()) {
      if (session.expiresAt !== undefined && session.expiresAt <= now) found.push(session)
    }
    return found
  }

  /** The sessions that have to go so that one more fits: those longest without a link. */
  surplus(deviceId: string, limit: number): Session[] {
    const offline = [...this.ofDevice(deviceId)].filter(
      ({ persistent, receiver, expiresAt }) =>
        persistent && receiver === undefined && expiresAt !== undefined,
    )
    const stored = [...this.ofDevice(deviceId)].filter(({ persistent }) => persistent).length
    const tooMany = stored - limit + 1
    if (tooMany <= 0) return []
    return offline.sort((a, b) => (a.expiresAt ?? 0) - (b.expiresAt ?? 0)).slice(0, tooMany)
  }

  [Symbol.iterator](): Iterator<Session> {
    return this.#byKey.values()
  }

  #add(device: SessionDevice, clientId: string, kind: { persistent: boolean; restored: boolean }): Session {
    const key = sessionKey(device.id, clientId)
    const queue = kind.persistent
      ? this.#persistentQueue(key, device, kind.restored)
      : this.#transientQueue(device)
    const session = new Session({ key, clientId, device, persistent: kind.persistent, queue })
    this.#byKey.set(key, session)
    const ofDevice = this.#byDevice.get(device.id)
    if (ofDevice === undefined) this.#byDevice.set(device.id, new Set([session]))
    else ofDevice.add(session)
    return session
  }

  #persistentQueue(sessionKey: string, device: SessionDevice, restored: boolean): PersistentQueue {
    const { store, now, logger, counters } = this.#parts
    return new PersistentQueue({
      store,
      sessionKey,
      restored,
      allows: (topic) => device.filters.allowsDelivery(topic),
      now,
      onFault: (error) => {
        counters.storeFaults += 1
        logger.error({ err: error }, 'the queue of a session could not be read')
      },
    })
  }

  #transientQueue(device: SessionDevice): TransientQueue {
    const { hub, now, raise, counters } = this.#parts
    return new TransientQueue({
      limits: () => storeLimits(hub().limits),
      allows: (topic) => device.filters.allowsDelivery(topic),
      now,
      onDrop: (count) => {
        counters.droppedQueueFull += count
        raise({ code: 'QUEUE_OVERFLOW', objectType: 'device', objectId: device.id, detail: String(count) })
      },
    })
  }
}

export const sessionKey = (deviceId: string, clientId: string): string => `${deviceId}/${clientId}`
