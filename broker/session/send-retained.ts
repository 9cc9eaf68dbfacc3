import { setTimeout as delay } from 'node:timers/promises'
import { OutgoingMessage } from '../deliver/outgoing-message.ts'
import type { Receiver } from '../deliver/receiver.ts'
import type { Session } from '../deliver/session.ts'
import type { ApplicationMessage, SubscriptionRecord } from '../store/store.ts'
import type { SessionContext } from './context.ts'

/** Messages sent before others get their turn: ten thousand at once would stop every other link. */
const BATCH = 200
/** How often a reader that is too slow is looked at again. */
const CONGESTED_WAIT_MS = 20

/** Sends the retained messages of new subscriptions, at the pace of the client. */
export async function sendRetained(
  context: SessionContext,
  session: Session,
  subscriptions: readonly SubscriptionRecord[],
): Promise<void> {
  const { receiver } = session
  if (receiver === undefined) return
  try {
    let sent = 0
    for (const subscription of subscriptions) {
      for (const message of context.retained.match(subscription.filter, context.now())) {
        if (session.receiver !== receiver) return
        if (!session.device.filters.allowsDelivery(message.topic)) continue
        await sendOne(context, session, receiver, { message, subscription })
        sent += 1
        if (sent % BATCH === 0 || receiver.isCongested()) await patience(session, receiver)
      }
    }
  } catch (error) {
    context.counters.storeFaults += 1
    context.logger.error({ err: error }, 'retained messages could not be queued')
  }
}

/** At QoS 1 and 2 a retained message takes the same way as any other: stored first, acknowledged last. */
async function sendOne(
  context: SessionContext,
  session: Session,
  receiver: Receiver,
  { message, subscription }: { message: ApplicationMessage; subscription: SubscriptionRecord },
): Promise<void> {
  const qos = Math.min(message.qos, subscription.qos) as 0 | 1 | 2
  const subscriptionIds =
    subscription.subscriptionId === undefined ? undefined : [subscription.subscriptionId]
  const outgoing = new OutgoingMessage(message, context.now())
  context.counters.messagesDelivered += 1
  session.device.messagesOut += 1
  if (qos === 0) {
    const { bytes } = outgoing.frame({ version: receiver.version, qos, retain: true, subscriptionIds })
    if (bytes.length <= receiver.maximumPacketBytes) receiver.send(bytes)
    return
  }
  let seq: number | null = null
  if (session.persistent) {
    const target = { sessionKey: session.key, qos, retain: true }
    const ids = subscriptionIds === undefined ? {} : { subscriptionIds }
    const { seqs } = await context.store.accept({ message, targets: [{ ...target, ...ids }] })
    seq = seqs[0] ?? null
  }
  session.queue.push({ outgoing, qos, retain: true, subscriptionIds, seq })
}

async function patience(session: Session, receiver: Receiver): Promise<void> {
  do await delay(receiver.isCongested() ? CONGESTED_WAIT_MS : 0)
  while (session.receiver === receiver && receiver.isCongested())
}
