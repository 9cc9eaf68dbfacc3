import type { SubscriptionRecord } from '../store/store.ts'
import type { Session } from './session.ts'
import type { SubscriptionMatch } from './subscription-index.ts'

/** A session that gets one copy of every message on a topic, whatever number of its filters match. */
export interface Recipient {
  session: Session
  /** The highest QoS that any of the matching subscriptions was granted (pitfall "QoS of overlaps"). */
  qos: 0 | 1 | 2
  /** Every matching subscription asks not to get the session's own messages. */
  noLocal: boolean
  retainAsPublished: boolean
  subscriptionIds: readonly number[] | undefined
}

type Match = SubscriptionMatch<Session, SubscriptionRecord>

/**
 * Who gets messages on `topic`, out of what the index found. Filters of the device count again here: a granted
 * wildcard may overlap what the device must not see, and its rule may have changed since (design §4).
 */
export function recipientsOf(topic: string, matches: readonly Match[]): readonly Recipient[] {
  const recipients: Recipient[] = []
  const bySession = matches.length > 1 ? new Map<Session, Recipient>() : undefined
  for (const { subscriber, value } of matches) {
    const known = bySession?.get(subscriber)
    if (known !== undefined) {
      merge(known, value)
      continue
    }
    if (!subscriber.device.filters.allowsDelivery(topic)) continue
    const { qos, noLocal, retainAsPublished, subscriptionId } = value
    const subscriptionIds = subscriptionId === undefined ? undefined : [subscriptionId]
    const recipient = { session: subscriber, qos, noLocal, retainAsPublished, subscriptionIds }
    recipients.push(recipient)
    bySession?.set(subscriber, recipient)
  }
  return recipients
}

function merge(recipient: Recipient, added: SubscriptionRecord): void {
  if (added.qos > recipient.qos) recipient.qos = added.qos
  recipient.noLocal &&= added.noLocal
  recipient.retainAsPublished ||= added.retainAsPublished
  // MQTT 5 §3.3.4: one copy carries the identifiers of all matching subscriptions.
  if (added.subscriptionId !== undefined) {
    recipient.subscriptionIds = [...(recipient.subscriptionIds ?? []), added.subscriptionId]
  }
}
