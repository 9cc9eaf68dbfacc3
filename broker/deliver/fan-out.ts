import type { AcceptTarget, ApplicationMessage } from '../store/store.ts'
import type { OutgoingMessage } from './outgoing-message.ts'
import type { Recipient } from './recipients.ts'
import type { Session } from './session.ts'

/** The persistent sessions that a message has to be stored for, in the order of the recipients. */
export function storedTargets(
  message: ApplicationMessage,
  recipients: readonly Recipient[],
  origin: Session | undefined,
): readonly AcceptTarget[] {
  if (message.qos === 0) return NO_TARGETS
  let targets: AcceptTarget[] | undefined
  for (const recipient of recipients) {
    if (!isStored(recipient, origin)) continue
    targets ??= []
    targets.push({
      sessionKey: recipient.session.key,
      qos: lower(recipient.qos, message.qos) as 1 | 2,
      retain: message.retain && recipient.retainAsPublished,
      ...(recipient.subscriptionIds === undefined ? {} : { subscriptionIds: [...recipient.subscriptionIds] }),
    })
  }
  return targets ?? NO_TARGETS
}

const NO_TARGETS: readonly AcceptTarget[] = Object.freeze([])

export interface FanOutCount {
  delivered: number
  /** QoS 0 messages that a receiver was too slow for. */
  dropped: number
}

/** Hands a message, stored where it has to be, to everyone. `seqs` answers `storedTargets`, in its order. */
export function fanOut(
  outgoing: OutgoingMessage,
  recipients: readonly Recipient[],
  { origin, seqs }: { origin: Session | undefined; seqs: ReadonlyArray<number | null> },
  count: FanOutCount,
): void {
  const { message } = outgoing
  let place = 0
  for (const recipient of recipients) {
    const { session, subscriptionIds } = recipient
    if (recipient.noLocal && session === origin) continue
    const qos = lower(recipient.qos, message.qos)
    const retain = message.retain && recipient.retainAsPublished
    if (qos === 0) {
      sendAtMostOnce(outgoing, recipient, retain, count)
      continue
    }
    const seq = session.persistent ? (seqs[place++] ?? null) : null
    count.delivered += 1
    session.device.messagesOut += 1
    session.queue.push({ outgoing, qos: qos as 1 | 2, retain, subscriptionIds, seq })
  }
}

function sendAtMostOnce(
  outgoing: OutgoingMessage,
  { session, subscriptionIds }: Recipient,
  retain: boolean,
  count: FanOutCount,
): void {
  const { receiver } = session
  if (receiver === undefined) return
  const { bytes } = outgoing.frame({ version: receiver.version, qos: 0, retain, subscriptionIds })
  if (receiver.isCongested()) {
    count.dropped += 1
    return
  }
  if (bytes.length > receiver.maximumPacketBytes) return
  count.delivered += 1
  session.device.messagesOut += 1
  receiver.send(bytes)
}

const isStored = ({ session, qos, noLocal }: Recipient, origin: Session | undefined): boolean =>
  session.persistent && qos > 0 && !(noLocal && session === origin)

const lower = (a: 0 | 1 | 2, b: 0 | 1 | 2): 0 | 1 | 2 => (a < b ? a : b)
