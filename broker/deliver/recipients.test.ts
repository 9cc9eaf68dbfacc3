import { describe, expect, it } from 'vitest'
import type { SubscriptionRecord } from '../store/store.ts'
import { fanOut, storedTargets } from './fan-out.ts'
import { OutgoingMessage } from './outgoing-message.ts'
import { RecordingReceiver } from './receiver.fixture.ts'
import { recipientsOf } from './recipients.ts'
import { Session } from './session.ts'
import { SubscriptionIndex } from './subscription-index.ts'
import { TransientQueue } from './transient-queue.ts'

function makeSession(name: string, options: { persistent?: boolean; denied?: string } = {}) {
  const device = {
    id: name,
    filters: { allowsDelivery: (topic: string) => topic !== options.denied },
    messagesOut: 0,
  }
  const queue = new TransientQueue({
    limits: () => ({ queueMessages: 10, queueBytes: 1_000, queueOverflow: 'DropOldest' }),
    allows: () => true,
    now: () => 0,
    onDrop: () => {},
  })
  const { persistent = false } = options
  const session = new Session({ key: `${name}/${name}`, clientId: name, device, persistent, queue })
  const receiver = new RecordingReceiver({ version: 5 })
  session.attach(receiver)
  return { session, receiver, device }
}

const granted = (
  filter: string,
  qos: 0 | 1 | 2,
  more: Partial<SubscriptionRecord> = {},
): SubscriptionRecord => ({
  filter,
  qos,
  noLocal: false,
  retainAsPublished: false,
  ...more,
})

function indexOf(...entries: Array<[Session, SubscriptionRecord]>) {
  const index = new SubscriptionIndex<Session, SubscriptionRecord>()
  for (const [session, record] of entries) index.add(record.filter, session, record)
  return index
}

const message = (qos: 0 | 1 | 2, retain = false) => ({ topic: 'a/b', payload: Buffer.from('x'), qos, retain })

describe('recipients of a topic', () => {
  it('come once each, at the highest QoS of their filters, with all identifiers', () => {
    const { session } = makeSession('one')
    const index = indexOf(
      [session, granted('a/#', 0, { subscriptionId: 1 })],
      [session, granted('a/b', 2, { subscriptionId: 2, retainAsPublished: true })],
      [session, granted('+/b', 1)],
    )
    const [recipient, ...others] = recipientsOf('a/b', index.match('a/b'))
    expect(others).toEqual([])
    expect(recipient).toMatchObject({ session, qos: 2, retainAsPublished: true, noLocal: false })
    expect([...(recipient?.subscriptionIds ?? [])].sort()).toEqual([1, 2])
  })

  it('leave out a device whose filters deny the topic, whatever wildcard it holds', () => {
    const [open, closed] = [makeSession('open'), makeSession('closed', { denied: 'a/b' })]
    const index = indexOf([open.session, granted('#', 0)], [closed.session, granted('#', 0)])
    expect(recipientsOf('a/b', index.match('a/b')).map(({ session }) => session.key)).toEqual(['open/open'])
    expect(recipientsOf('a/c', index.match('a/c'))).toHaveLength(2)
  })

  it('are without local messages only when every matching filter asks for that', () => {
    const { session } = makeSession('one')
    const index = indexOf([session, granted('a/#', 0, { noLocal: true })], [session, granted('a/b', 0)])
    expect(recipientsOf('a/b', index.match('a/b'))[0]?.noLocal).toBe(false)
    expect(recipientsOf('a/c', index.match('a/c'))[0]?.noLocal).toBe(true)
  })
})

describe('the targets to store for', () => {
  it('are persistent sessions at QoS 1 and 2, each at the lower QoS', () => {
    const [kept, low, fleeting] = [
      makeSession('kept', { persistent: true }),
      makeSession('low', { persistent: true }),
      makeSession('fleeting'),
    ]
    const index = indexOf(
      [kept.session, granted('a/b', 1, { retainAsPublished: true })],
      [low.session, granted('a/b', 0)],
      [fleeting.session, granted('a/b', 2)],
    )
    const recipients = recipientsOf('a/b', index.match('a/b'))
    expect(storedTargets(message(2, true), recipients, undefined)).toEqual([
      { sessionKey: 'kept/kept', qos: 1, retain: true },
    ])
    expect(storedTargets(message(0), recipients, undefined)).toEqual([])
  })
})

describe('a fan-out', () => {
  it('gives each receiver its own QoS and retain flag, and the publisher nothing it did not want', () => {
    const [zero, one, self] = [makeSession('zero'), makeSession('one'), makeSession('self')]
    const index = indexOf(
      [zero.session, granted('a/b', 0, { retainAsPublished: true })],
      [one.session, granted('a/b', 1)],
      [self.session, granted('a/b', 1, { noLocal: true })],
    )
    const count = { delivered: 0, dropped: 0 }
    const recipients = recipientsOf('a/b', index.match('a/b'))
    const outgoing = new OutgoingMessage(message(1, true), 0)
    fanOut(outgoing, recipients, { origin: self.session, seqs: [] }, count)
    expect(zero.receiver.frames).toMatchObject([{ qos: 0, retain: true }])
    expect(one.receiver.frames).toMatchObject([{ qos: 1, retain: false }])
    expect(self.receiver.frames).toEqual([])
    expect(count).toEqual({ delivered: 2, dropped: 0 })
    expect([zero, one, self].map(({ device }) => device.messagesOut)).toEqual([1, 1, 0])
  })

  it('drops QoS 0 for a receiver that is too slow, and counts it', () => {
    const [slow, quick] = [makeSession('slow'), makeSession('quick')]
    slow.receiver.congested = true
    const index = indexOf([slow.session, granted('a/b', 0)], [quick.session, granted('a/b', 0)])
    const count = { delivered: 0, dropped: 0 }
    const recipients = recipientsOf('a/b', index.match('a/b'))
    fanOut(new OutgoingMessage(message(0), 0), recipients, { origin: undefined, seqs: [] }, count)
    expect(slow.receiver.frames).toEqual([])
    expect(quick.receiver.frames).toHaveLength(1)
    expect(count).toEqual({ delivered: 1, dropped: 1 })
  })
})
