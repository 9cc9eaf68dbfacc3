import { parseSharedFilter } from '../../contract/topic.ts'
import type { SubscriptionRecord } from '../store/store.ts'
import type { Recipient } from './recipients.ts'
import type { Session } from './session.ts'
import { SubscriptionIndex } from './subscription-index.ts'

/** Members that are asked whether they keep up, before one that does not is taken. */
const MAX_ASKED = 32

/** All that subscribe to one `$share/<group>/<filter>`: each message goes to one of them. */
export class ShareGroup {
  readonly #members = new Map<Session, SubscriptionRecord>()
  /** Members with a link, and those that wait in the store; undefined: to be found out anew. */
  #split: { linked: Session[]; stored: Session[] } | undefined
  #turn = 0

  get size(): number {
    return this.#members.size
  }

  /** False: it was a member and its options have been replaced. */
  put(session: Session, subscription: SubscriptionRecord): boolean {
    const isNew = !this.#members.has(session)
    this.#members.set(session, subscription)
    this.#split = undefined
    session.shares.add(this)
    return isNew
  }

  remove(session: Session): boolean {
    this.#split = undefined
    session.shares.delete(this)
    return this.#members.delete(session)
  }

  /** A member has got or lost its link. */
  onLinkChange(): void {
    this.#split = undefined
  }

  /**
   * Members take turns. One that keeps up comes before one that does not, that before one without a link, as a
   * message is of no use where it only waits; undefined: no member may have it (MQTT 5 §4.8.2).
   */
  choose(topic: string): Recipient | undefined {
    this.#split ??= this.#splitMembers()
    const { linked, stored } = this.#split
    const session = this.#next(linked, topic) ?? this.#next(stored, topic)
    const subscription = session === undefined ? undefined : this.#members.get(session)
    if (session === undefined || subscription === undefined) return undefined
    const { qos, retainAsPublished, subscriptionId } = subscription
    const subscriptionIds = subscriptionId === undefined ? undefined : [subscriptionId]
    return { session, qos, noLocal: false, retainAsPublished, subscriptionIds }
  }

  #next(from: readonly Session[], topic: string): Session | undefined {
    let slow: Session | undefined
    let asked = 0
    for (let i = 0; i < from.length && asked < MAX_ASKED; i += 1) {
      const place = (this.#turn + i) % from.length
      const session = from[place]!
      if (!session.device.filters.allowsDelivery(topic)) continue
      asked += 1
      if (session.receiver?.isCongested() === true) {
        slow ??= session
        continue
      }
      this.#turn = place + 1
      return session
    }
    return slow
  }

  #splitMembers(): { linked: Session[]; stored: Session[] } {
    const members = [...this.#members.keys()]
    return {
      linked: members.filter(({ receiver }) => receiver !== undefined),
      stored: members.filter(({ receiver, persistent }) => receiver === undefined && persistent),
    }
  }
}

/** The shared subscriptions of all sessions, by the whole `$share/<group>/<filter>`. */
export class SharedSubscriptions {
  readonly #groups = new Map<string, ShareGroup>()
  readonly #index = new SubscriptionIndex<ShareGroup, undefined>()
  #size = 0

  get size(): number {
    return this.#size
  }

  /** False: the subscription was there and has been replaced. */
  add(session: Session, subscription: SubscriptionRecord): boolean {
    const { filter } = subscription
    let group = this.#groups.get(filter)
    if (group === undefined) {
      group = new ShareGroup()
      this.#groups.set(filter, group)
      this.#index.add(parseSharedFilter(filter)!.filter, group, undefined)
    }
    const isNew = group.put(session, subscription)
    if (isNew) this.#size += 1
    return isNew
  }

  /** False: there was no such subscription. */
  remove(session: Session, filter: string): boolean {
    const group = this.#groups.get(filter)
    if (group?.remove(session) !== true) return false
    this.#size -= 1
    if (group.size > 0) return true
    this.#groups.delete(filter)
    this.#index.removeAll(group)
    return true
  }

  /** `recipients` and one member of each group that the topic matches: a copy a group (MQTT 5 §4.8.2). */
  with(recipients: readonly Recipient[], topic: string): readonly Recipient[] {
    const matches = this.#index.match(topic)
    if (matches.length === 0) return recipients
    return [...recipients, ...matches.flatMap(({ subscriber }) => subscriber.choose(topic) ?? [])]
  }
}
