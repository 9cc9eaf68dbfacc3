import { describe, expect, it } from 'vitest'
import { RecordingReceiver } from './receiver.fixture.ts'
import type { Recipient } from './recipients.ts'
import { Session } from './session.ts'
import { SharedSubscriptions } from './shared-subscriptions.ts'
import { TransientQueue } from './transient-queue.ts'

interface MemberOptions {
  persistent?: boolean
  linked?: boolean
  congested?: boolean
  forbids?: string
  filter?: string
}

function setUp() {
  const shared = new SharedSubscriptions()
  const receivers = new Map<string, RecordingReceiver>()
  const member = (key: string, options: MemberOptions = {}) => {
    const { persistent = false, linked = true, congested = false, forbids, filter = '$share/g/#' } = options
    const session = new Session({
      key,
      clientId: key,
      device: { id: key, filters: { allowsDelivery: (topic) => topic !== forbids }, messagesOut: 0 },
      persistent,
      queue: new TransientQueue({
        limits: () => ({ queueMessages: 10, queueBytes: 1000, queueOverflow: 'DropOldest' }),
        allows: () => true,
        now: () => 0,
        onDrop: () => {},
      }),
    })
    const receiver = new RecordingReceiver()
    receiver.congested = congested
    receivers.set(key, receiver)
    if (linked) session.attach(receiver)
    shared.add(session, { filter, qos: 1, noLocal: false, retainAsPublished: false })
    return session
  }
  const chosen = (topic = 't') => shared.with([], topic).map(({ session }) => session.key)
  const turns = (count: number, topic = 't') => Array.from({ length: count }, () => chosen(topic)).flat()
  return { shared, receivers, member, chosen, turns }
}

describe('members of a share group', () => {
  it('take turns', () => {
    const { member, turns } = setUp()
    for (const key of ['a', 'b', 'c']) member(key)
    expect(turns(6)).toEqual(['a', 'b', 'c', 'a', 'b', 'c'])
  })

  it('that are too slow are passed over, unless all are', () => {
    const { member, turns, receivers } = setUp()
    member('slow', { congested: true })
    member('quick')
    expect(turns(3)).toEqual(['quick', 'quick', 'quick'])
    receivers.get('quick')!.congested = true
    expect(new Set(turns(3)).size).toBe(1)
  })

  it('without a link come last, and only when they are stored', () => {
    const { member, turns, receivers } = setUp()
    member('ends', { linked: false })
    const away = member('away', { persistent: true, linked: false })
    expect(turns(2)).toEqual(['away', 'away'])
    const here = member('here', { congested: true })
    expect(turns(2)).toEqual(['here', 'here'])
    here.detach()
    expect(turns(1)).toEqual(['away'])
    away.attach(receivers.get('away')!)
    here.attach(receivers.get('here')!)
    expect(turns(2)).toEqual(['away', 'away'])
  })

  it('that must not see a topic do not get it', () => {
    const { member, turns } = setUp()
    member('a', { forbids: 'secret' })
    member('b')
    expect(turns(2, 'secret')).toEqual(['b', 'b'])
    expect(new Set(turns(2))).toEqual(new Set(['a', 'b']))
  })

  it('that are the only ones and must not see a topic leave it to nobody', () => {
    const { member, chosen } = setUp()
    member('a', { forbids: 'secret' })
    expect(chosen('secret')).toEqual([])
  })
})

describe('shared subscriptions', () => {
  it('bring one member a group, after the recipients that there are', () => {
    const { shared, member } = setUp()
    const session = member('a')
    member('a', { filter: '$share/other/t' })
    const known: Recipient = {
      session,
      qos: 2,
      noLocal: true,
      retainAsPublished: true,
      subscriptionIds: undefined,
    }
    expect(shared.with([known], 't').map(({ qos, noLocal }) => ({ qos, noLocal }))).toEqual([
      { qos: 2, noLocal: true },
      { qos: 1, noLocal: false },
      { qos: 1, noLocal: false },
    ])
    expect(shared.with([known], '$hub')).toEqual([known])
  })

  it('are renewed in place, and leave nothing behind', () => {
    const { shared, member, chosen } = setUp()
    const session = member('a')
    const renewed = {
      filter: '$share/g/#',
      qos: 2 as const,
      noLocal: false,
      retainAsPublished: true,
      subscriptionId: 5,
    }
    expect(shared.add(session, renewed)).toBe(false)
    expect(shared.size).toBe(1)
    expect(shared.with([], 't')).toMatchObject([{ qos: 2, retainAsPublished: true, subscriptionIds: [5] }])
    expect(shared.remove(session, '$share/g/other')).toBe(false)
    expect(shared.remove(session, '$share/g/#')).toBe(true)
    expect(shared.remove(session, '$share/g/#')).toBe(false)
    expect(shared.size).toBe(0)
    expect(session.shares.size).toBe(0)
    expect(chosen()).toEqual([])
  })
})
