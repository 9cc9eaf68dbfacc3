import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type {
  AcceptRequest,
  AcceptResult,
  AcceptTarget,
  ApplicationMessage,
  SessionRecord,
  Store,
  StoreLimits,
} from './store.ts'
import { storeProperties } from './store-properties.ts'

export interface StoreUnderTest {
  /** Empty and not open yet. */
  store: Store
  /** Closes the store and gives one that finds what the first has left, not open yet. */
  reopen(): Promise<Store>
  cleanup(): Promise<void>
}

const ROOMY: StoreLimits = { queueMessages: 1000, queueBytes: 1_000_000, queueOverflow: 'DropOldest' }
const DISTANT = Number.MAX_SAFE_INTEGER
/** Names of things every object has: a store made of plain objects would find them in an empty one. */
const TREACHEROUS_KEYS = ['__proto__', 'constructor', 'toString', 'hasOwnProperty']

const FULL_MESSAGE: ApplicationMessage = {
  topic: 'a/ü/日本',
  payload: Buffer.from(Array.from({ length: 256 }, (_, byte) => byte)),
  qos: 2,
  retain: true,
  properties: {
    payloadFormatIndicator: false,
    contentType: 'application/octet-stream',
    responseTopic: 'reply/to',
    correlationData: Buffer.from([0, 255, 128, 10]),
    userProperties: [
      ['b', '1'],
      ['a', '2'],
      ['b', '1'],
      ['__proto__', 'é'],
    ],
  },
  expiresAt: DISTANT,
}

function message(text: string, extra: Partial<ApplicationMessage> = {}): ApplicationMessage {
  return { topic: 't', payload: Buffer.from(text), qos: 1, retain: false, ...extra }
}

function to(sessionKey: string, extra: Partial<AcceptTarget> = {}): AcceptTarget {
  return { sessionKey, qos: 1, retain: false, ...extra }
}

function session(key: string, extra: Partial<SessionRecord> = {}): SessionRecord {
  return { key, deviceId: 'd', clientId: key, subscriptions: [], ...extra }
}

async function texts(store: Store, key: string, afterSeq = 0): Promise<string[]> {
  const entries = await store.readQueue(key, afterSeq, 1000, 0)
  return entries.map((entry) => entry.message.payload.toString())
}

async function seqs(store: Store, key: string): Promise<number[]> {
  return (await store.readQueue(key, 0, 1000, 0)).map((entry) => entry.seq)
}

/** What every store promises. `durable`: `reopen` finds everything again. */
export function storeContract(
  name: string,
  makeStore: () => Promise<StoreUnderTest>,
  { durable }: { durable: boolean },
): void {
  describe(`${name} keeps the promises of a store:`, () => {
    let subject: StoreUnderTest
    let store: Store

    beforeEach(async () => {
      subject = await makeStore()
      store = subject.store
      await store.open(ROOMY)
      for (const key of ['s/1', 's/2']) await store.putSession(session(key))
    })
    afterEach(() => subject.cleanup())

    const accept = async (request: Partial<AcceptRequest> & { text: string }): Promise<AcceptResult> => {
      const { text, ...rest } = request
      return store.accept({ message: message(text), targets: [], ...rest })
    }
    const fill = async (count: number, key = 's/1') => {
      for (let i = 1; i <= count; i += 1) await accept({ text: `m${i}`, targets: [to(key)] })
    }
    const reopen = async () => {
      store = await subject.reopen()
      return store.open(ROOMY)
    }

    describe('accepting', () => {
      test('queues a message for every target with the values of that target', async () => {
        const targets = [to('s/1', { qos: 2, retain: true, subscriptionIds: [7, 3] }), to('s/2')]
        const result = await accept({ text: 'hello', targets })
        expect(result).toEqual({ duplicate: false, seqs: [1, 1], dropped: [] })
        expect(await store.readQueue('s/1', 0, 10, 0)).toEqual([
          {
            seq: 1,
            message: message('hello'),
            qos: 2,
            retain: true,
            subscriptionIds: [7, 3],
            released: false,
          },
        ])
        expect(await store.readQueue('s/2', 0, 10, 0)).toEqual([
          { seq: 1, message: message('hello'), qos: 1, retain: false, released: false },
        ])
      })

      test('answers calls of one turn in the order they were made', async () => {
        const order: number[] = []
        const calls = Array.from({ length: 2500 }, async (_, i) => {
          // Some have nothing to store, some go to several sessions, some are duplicates.
          const targets = [[], [to('s/1')], [to('s/1'), to('s/2')]][i % 3]!
          const incoming = i % 5 === 0 ? { incoming: { sessionKey: 's/1', packetId: 1 } } : {}
          await accept({ text: `m${i}`, targets, ...incoming })
          order.push(i)
        })
        await Promise.all(calls)
        expect(order).toEqual(order.toSorted((a, b) => a - b))
        expect(order).toHaveLength(2500)
      })

      test('skips the sessions it does not know and serves the others', async () => {
        const result = await accept({ text: 'm', targets: [to('gone'), to('s/1')] })
        expect(result).toEqual({ duplicate: false, seqs: [null, 1], dropped: [] })
        expect(await store.readQueue('gone', 0, 10, 0)).toEqual([])
      })

      test('queues twice for a session that is named twice', async () => {
        const result = await accept({ text: 'm', targets: [to('s/1'), to('s/1', { qos: 2 })] })
        expect(result.seqs).toEqual([1, 2])
        store.acknowledge('s/1', 1)
        expect(await texts(store, 's/1')).toEqual(['m'])
      })

      test('keeps the message of one session when another has acknowledged it', async () => {
        await accept({ text: 'shared', targets: [to('s/1'), to('s/2')] })
        store.acknowledge('s/1', 1)
        expect(await texts(store, 's/1')).toEqual([])
        expect(await texts(store, 's/2')).toEqual(['shared'])
      })

      test('gives back every field of a message, bytes and order of properties included', async () => {
        const given = { message: FULL_MESSAGE, targets: [to('s/1')] }
        await store.accept(given)
        expect((await store.readQueue('s/1', 0, 1, 0))[0]?.message).toEqual(FULL_MESSAGE)
      })

      test('gives back an empty payload as an empty payload', async () => {
        await accept({ text: '', targets: [to('s/1')] })
        expect((await store.readQueue('s/1', 0, 1, 0))[0]?.message.payload).toEqual(Buffer.alloc(0))
      })
    })

    describe('a QoS 2 packet id', () => {
      const incoming = { sessionKey: 's/1', packetId: 7 }

      test('lets its message in once', async () => {
        const first = await accept({ text: 'one', targets: [to('s/2')], incoming })
        const again = await accept({ text: 'two', targets: [to('s/2')], incoming, retained: 'Set' })
        expect(first.duplicate).toBe(false)
        expect(again).toEqual({ duplicate: true, seqs: [null], dropped: [] })
        expect(await texts(store, 's/2')).toEqual(['one'])
      })

      test('is free again once it was forgotten', async () => {
        await accept({ text: 'one', targets: [to('s/2')], incoming })
        await store.forgetIncoming('s/1', 7)
        await store.forgetIncoming('s/1', 7)
        expect((await accept({ text: 'two', targets: [to('s/2')], incoming })).seqs).toEqual([2])
      })

      test('belongs to one session alone', async () => {
        await accept({ text: 'one', incoming })
        const other = await accept({ text: 'two', incoming: { sessionKey: 's/2', packetId: 7 } })
        expect(other.duplicate).toBe(false)
      })

      test('of a session that has just ended does not hold its message up', async () => {
        const ended = { sessionKey: 'gone', packetId: 7 }
        await accept({ text: 'one', targets: [to('s/1')], incoming: ended })
        const again = await accept({ text: 'two', targets: [to('s/1')], incoming: ended })
        expect(again).toEqual({ duplicate: false, seqs: [2], dropped: [] })
      })
    })

    describe('a will', () => {
      const will = { sessionKey: 's/1', deviceId: 'd', message: message('bye') }

      test('enters once, however often it is sent at the same time', async () => {
        await store.putWill(will)
        const sent = Array.from({ length: 5 }, () =>
          accept({ text: 'bye', targets: [to('s/2')], willOf: 's/1' }),
        )
        const duplicates = (await Promise.all(sent)).map((result) => result.duplicate)
        expect(duplicates).toEqual([false, true, true, true, true])
        expect(await texts(store, 's/2')).toEqual(['bye'])
      })

      test('that was deleted never enters', async () => {
        await store.putWill(will)
        await store.deleteWill('s/1')
        expect((await accept({ text: 'bye', targets: [to('s/2')], willOf: 's/1' })).duplicate).toBe(true)
        expect(await texts(store, 's/2')).toEqual([])
      })

      test('of a client without a stored session is kept too', async () => {
        await store.putWill({ ...will, sessionKey: 'clean' })
        expect((await accept({ text: 'bye', willOf: 'clean' })).duplicate).toBe(false)
      })

      test('that was taken already leaves the packet id of the same request free', async () => {
        const incoming = { sessionKey: 's/1', packetId: 9 }
        expect((await accept({ text: 'bye', incoming, willOf: 's/1' })).duplicate).toBe(true)
        expect((await accept({ text: 'bye', incoming })).duplicate).toBe(false)
      })
    })

    describe('a full queue', () => {
      const bounds = (queueOverflow: StoreLimits['queueOverflow'], queueMessages = 3, queueBytes = 1000) =>
        store.setLimits({ queueMessages, queueBytes, queueOverflow })

      test('loses its oldest message under DropOldest, and tells how many', async () => {
        bounds('DropOldest')
        await fill(3)
        const result = await accept({ text: 'm4', targets: [to('s/1'), to('s/2')] })
        expect(result).toEqual({ duplicate: false, seqs: [4, 1], dropped: [{ sessionKey: 's/1', count: 1 }] })
        expect(await texts(store, 's/1')).toEqual(['m2', 'm3', 'm4'])
      })

      test('refuses the new message under DropNewest, and tells so', async () => {
        bounds('DropNewest')
        await fill(3)
        const result = await accept({ text: 'm4', targets: [to('s/1'), to('s/2')] })
        expect(result).toEqual({
          duplicate: false,
          seqs: [null, 1],
          dropped: [{ sessionKey: 's/1', count: 1 }],
        })
        expect(await texts(store, 's/1')).toEqual(['m1', 'm2', 'm3'])
      })

      test('makes room for the bytes of a message under DropOldest', async () => {
        // Each of m1 to m9 counts three bytes: topic "t" and two of payload.
        bounds('DropOldest', 100, 27)
        await fill(9)
        const result = await accept({ text: 'x'.repeat(10), targets: [to('s/1')] })
        expect(result.dropped).toEqual([{ sessionKey: 's/1', count: 4 }])
        expect(await seqs(store, 's/1')).toEqual([5, 6, 7, 8, 9, 10])
      })

      test('counts bytes under DropNewest', async () => {
        bounds('DropNewest', 100, 27)
        await fill(8)
        const tooLarge = await accept({ text: 'abc', targets: [to('s/1')] })
        const fitting = await accept({ text: 'ab', targets: [to('s/1')] })
        expect(tooLarge.dropped).toEqual([{ sessionKey: 's/1', count: 1 }])
        expect(fitting).toEqual({ duplicate: false, seqs: [9], dropped: [] })
      })

      test('counts the bytes of properties', async () => {
        bounds('DropNewest', 100, 10)
        const heavy = message('', { properties: { userProperties: [['12345', '67890']] } })
        expect((await store.accept({ message: heavy, targets: [to('s/1')] })).seqs).toEqual([null])
      })

      test('is not emptied for a message that could never fit', async () => {
        bounds('DropOldest', 100, 27)
        await fill(9)
        const result = await accept({ text: 'x'.repeat(27), targets: [to('s/1')] })
        expect(result).toEqual({ duplicate: false, seqs: [null], dropped: [{ sessionKey: 's/1', count: 1 }] })
        expect(await texts(store, 's/1')).toHaveLength(9)
      })

      test('takes messages again after acknowledgements', async () => {
        bounds('DropNewest')
        await fill(3)
        store.acknowledge('s/1', 2)
        store.acknowledge('s/1', 2)
        expect((await accept({ text: 'm4', targets: [to('s/1')] })).seqs).toEqual([4])
        expect((await accept({ text: 'm5', targets: [to('s/1')] })).seqs).toEqual([null])
      })

      test('takes a message again after one has expired', async () => {
        bounds('DropNewest', 1)
        await store.accept({ message: message('old', { expiresAt: 10 }), targets: [to('s/1')] })
        await store.readQueue('s/1', 0, 10, 10)
        expect((await accept({ text: 'new', targets: [to('s/1')] })).dropped).toEqual([])
      })

      test('neither counts nor drops what was released: its PUBREL is still owed', async () => {
        bounds('DropOldest', 2)
        await fill(2)
        await store.release('s/1', 1)
        expect((await accept({ text: 'm3', targets: [to('s/1')] })).dropped).toEqual([])
        expect((await accept({ text: 'm4', targets: [to('s/1')] })).dropped).toHaveLength(1)
        expect(await seqs(store, 's/1')).toEqual([1, 3, 4])
      })

      test('shrinks to new limits with the next message', async () => {
        await fill(5)
        bounds('DropOldest', 2)
        expect(await texts(store, 's/1')).toHaveLength(5)
        const result = await accept({ text: 'm6', targets: [to('s/1')] })
        expect(result.dropped).toEqual([{ sessionKey: 's/1', count: 4 }])
        expect(await texts(store, 's/1')).toEqual(['m5', 'm6'])
      })

      test('does not stop the retained message, the packet id or the other sessions', async () => {
        bounds('DropNewest', 1)
        await fill(1)
        const incoming = { sessionKey: 's/1', packetId: 3 }
        await accept({ text: 'm2', targets: [to('s/1'), to('s/2')], retained: 'Set', incoming })
        expect(await texts(store, 's/2')).toEqual(['m2'])
        expect((await accept({ text: 'm2', incoming })).duplicate).toBe(true)
      })
    })

    describe('a seq', () => {
      test('is never given twice, also after the queue was emptied', async () => {
        await fill(3)
        for (const seq of [1, 2, 3]) store.acknowledge('s/1', seq)
        expect(await seqs(store, 's/1')).toEqual([])
        await fill(2)
        expect(await seqs(store, 's/1')).toEqual([4, 5])
      })

      test('is not spent on a message that was dropped at once', async () => {
        store.setLimits({ ...ROOMY, queueMessages: 1, queueOverflow: 'DropNewest' })
        await fill(3)
        store.acknowledge('s/1', 1)
        expect((await accept({ text: 'm', targets: [to('s/1')] })).seqs).toEqual([2])
      })

      test('starts anew for a session that begins after its namesake was deleted', async () => {
        await fill(3)
        await store.deleteSession('s/1')
        await store.putSession(session('s/1'))
        await fill(1)
        expect(await seqs(store, 's/1')).toEqual([1])
      })
    })

    describe('reading a queue', () => {
      test('goes on after a seq and stops at the limit', async () => {
        await fill(10)
        const page = await store.readQueue('s/1', 4, 3, 0)
        expect(page.map((entry) => entry.seq)).toEqual([5, 6, 7])
        expect(await store.readQueue('s/1', 10, 3, 0)).toEqual([])
      })

      test('finds its place among gaps', async () => {
        await fill(200)
        for (let seq = 1; seq <= 200; seq += 1) if (seq % 10 !== 0) store.acknowledge('s/1', seq)
        await fill(70)
        expect((await store.readQueue('s/1', 95, 3, 0)).map((entry) => entry.seq)).toEqual([100, 110, 120])
        store.acknowledge('s/1', 110)
        expect((await store.readQueue('s/1', 100, 1, 0))[0]?.seq).toBe(120)
      })

      test('removes what has expired and fills the page with the next', async () => {
        for (const expiresAt of [10, 20, 30]) {
          await store.accept({ message: message(`until ${expiresAt}`, { expiresAt }), targets: [to('s/1')] })
        }
        await fill(1)
        expect((await store.readQueue('s/1', 0, 2, 20)).map((entry) => entry.seq)).toEqual([3, 4])
        expect(await texts(store, 's/1')).toEqual(['until 30', 'm1'])
      })
    })

    describe('releasing and acknowledging', () => {
      test('leaves of a released entry only what PUBREL needs', async () => {
        await accept({ text: 'secret', targets: [to('s/1', { qos: 2, retain: true, subscriptionIds: [4] })] })
        await store.release('s/1', 1)
        await store.release('s/1', 1)
        const nothing = { topic: '', payload: Buffer.alloc(0), qos: 2, retain: false }
        expect(await store.readQueue('s/1', 0, 10, DISTANT)).toEqual([
          { seq: 1, message: nothing, qos: 2, retain: false, released: true },
        ])
      })

      test('keeps a released entry past the expiry of its message', async () => {
        const brief = message('m', { expiresAt: 10 })
        await store.accept({ message: brief, targets: [to('s/1', { qos: 2 })] })
        await store.release('s/1', 1)
        expect(await store.readQueue('s/1', 0, 10, 11)).toHaveLength(1)
      })

      test('ends a released entry with the acknowledgement', async () => {
        await fill(2)
        await store.release('s/1', 1)
        store.acknowledge('s/1', 1)
        expect(await seqs(store, 's/1')).toEqual([2])
      })

      test('ignores seqs and sessions it does not know', async () => {
        await fill(1)
        for (const seq of [0, 2, -1, 4711]) {
          store.acknowledge('s/1', seq)
          await store.release('s/1', seq)
        }
        store.acknowledge('gone', 1)
        await store.release('gone', 1)
        await store.forgetIncoming('gone', 1)
        expect(await texts(store, 's/1')).toEqual(['m1'])
      })
    })

    describe('a session', () => {
      test('keeps its queue when its record changes', async () => {
        await fill(2)
        await store.putSession(session('s/1', { expiresAt: DISTANT }))
        expect(await texts(store, 's/1')).toEqual(['m1', 'm2'])
      })

      test('takes queue, packet ids and will with it', async () => {
        await fill(2)
        const incoming = { sessionKey: 's/1', packetId: 1 }
        await accept({ text: 'm', incoming })
        await store.putWill({ sessionKey: 's/1', deviceId: 'd', message: message('bye') })
        await store.deleteSession('s/1')
        await store.deleteSession('s/1')
        expect((await accept({ text: 'm', targets: [to('s/1')] })).seqs).toEqual([null])
        expect((await accept({ text: 'bye', willOf: 's/1' })).duplicate).toBe(true)
        await store.putSession(session('s/1'))
        expect(await texts(store, 's/1')).toEqual([])
        expect((await accept({ text: 'm', incoming })).duplicate).toBe(false)
      })

      test('leaves what it shared to the others when it goes', async () => {
        await accept({ text: 'shared', targets: [to('s/1'), to('s/2')], retained: 'Set' })
        await store.deleteSession('s/1')
        expect(await texts(store, 's/2')).toEqual(['shared'])
      })

      test.each(TREACHEROUS_KEYS)('may be called %s', async (key) => {
        expect((await accept({ text: 'm', targets: [to(key)] })).seqs).toEqual([null])
        await store.putSession(session(key))
        await store.putWill({ sessionKey: key, deviceId: key, message: message('bye', { topic: key }) })
        await accept({
          text: 'm',
          message: message('m', { topic: key }),
          targets: [to(key)],
          retained: 'Set',
        })
        expect(await texts(store, key)).toEqual(['m'])
        expect((await accept({ text: 'bye', willOf: key })).duplicate).toBe(false)
        await store.deleteSession(key)
        expect((await accept({ text: 'm', targets: [to(key)] })).seqs).toEqual([null])
      })
    })

    describe.runIf(durable)('reopened, it', () => {
      test('hands over sessions, retained messages and wills, each in its last form', async () => {
        const subscriptions = [
          {
            filter: 'a/+',
            qos: 1 as const,
            noLocal: true,
            retainAsPublished: false,
            subscriptionId: 268_435_455,
          },
          { filter: '__proto__/#', qos: 2 as const, noLocal: false, retainAsPublished: true },
        ]
        const last = session('s/1', { subscriptions, expiresAt: DISTANT })
        await store.putSession(session('s/1', { subscriptions: subscriptions.slice(1) }))
        await store.putSession(last)
        await store.putWill({ sessionKey: 's/1', deviceId: 'd', message: message('first') })
        const will = { sessionKey: 's/1', deviceId: 'd', message: FULL_MESSAGE }
        await store.putWill(will)
        await accept({ text: 'old', message: message('old', { topic: FULL_MESSAGE.topic }), retained: 'Set' })
        await store.accept({ message: FULL_MESSAGE, targets: [to('s/1')], retained: 'Set' })
        await accept({ text: 'm', message: message('m', { topic: 'cleared' }), retained: 'Set' })
        await accept({ text: '', message: message('', { topic: 'cleared' }), retained: 'Clear' })
        const state = await reopen()
        expect(state.sessions.toSorted((a, b) => (a.key < b.key ? -1 : 1))).toEqual([last, session('s/2')])
        expect(state.retained).toEqual([FULL_MESSAGE])
        expect(state.wills).toEqual([will])
      })

      test('has every queue, with what was released, acknowledged and shared', async () => {
        await fill(3)
        await accept({ text: 'shared', targets: [to('s/1'), to('s/2')] })
        await store.release('s/1', 1)
        store.acknowledge('s/1', 2)
        await reopen()
        expect(await texts(store, 's/1')).toEqual(['', 'm3', 'shared'])
        expect((await store.readQueue('s/1', 0, 1, 0))[0]).toMatchObject({ seq: 1, released: true })
        store.acknowledge('s/1', 4)
        expect(await texts(store, 's/2')).toEqual(['shared'])
      })

      test('goes on counting seqs, also of a queue that was empty', async () => {
        await fill(3)
        await fill(2, 's/2')
        for (const seq of [3, 1, 2]) store.acknowledge('s/1', seq)
        await reopen()
        expect((await accept({ text: 'm', targets: [to('s/1'), to('s/2')] })).seqs).toEqual([4, 3])
      })

      test('knows how full each queue is', async () => {
        await fill(3)
        store.acknowledge('s/1', 2)
        await reopen()
        store.setLimits({ queueMessages: 100, queueBytes: 9, queueOverflow: 'DropNewest' })
        expect((await accept({ text: 'm4', targets: [to('s/1')] })).dropped).toEqual([])
        expect((await accept({ text: 'm5', targets: [to('s/1')] })).dropped).toHaveLength(1)
      })

      test('remembers packet ids, and wills that were taken', async () => {
        const incoming = { sessionKey: 's/1', packetId: 65_535 }
        await accept({ text: 'm', incoming })
        await store.putWill({ sessionKey: 's/1', deviceId: 'd', message: message('bye') })
        await accept({ text: 'bye', willOf: 's/1' })
        expect((await reopen()).wills).toEqual([])
        expect((await accept({ text: 'm', incoming })).duplicate).toBe(true)
        expect((await accept({ text: 'bye', willOf: 's/1' })).duplicate).toBe(true)
      })

      test('has what was still being written when it was closed', async () => {
        const accepted = accept({ text: 'last', targets: [to('s/1'), to('s/2')] })
        store.acknowledge('s/2', 1)
        await reopen()
        expect((await accepted).seqs).toEqual([1, 1])
        expect(await texts(store, 's/1')).toEqual(['last'])
        expect(await texts(store, 's/2')).toEqual([])
      })

      test('has nothing of a session that was deleted', async () => {
        await fill(3)
        await store.putWill({ sessionKey: 's/1', deviceId: 'd', message: message('bye') })
        await store.deleteSession('s/1')
        const state = await reopen()
        expect(state.sessions.map(({ key }) => key)).toEqual(['s/2'])
        expect(state.wills).toEqual([])
        await store.putSession(session('s/1'))
        expect(await texts(store, 's/1')).toEqual([])
      })
    })

    describe('opened again', () => {
      test('it forgets sessions and retained messages that have expired, but no will', async () => {
        await store.putSession(session('s/1', { expiresAt: 1 }))
        await store.putSession(session('s/2', { expiresAt: DISTANT }))
        await fill(2)
        await store.putWill({ sessionKey: 's/1', deviceId: 'd', message: message('due') })
        for (const [topic, expiresAt] of [['old', 1] as const, ['new', DISTANT] as const]) {
          await accept({ text: 'm', message: message('m', { topic, expiresAt }), retained: 'Set' })
        }
        const state = await reopen()
        expect(state.sessions.map(({ key }) => key)).toEqual(['s/2'])
        expect(state.retained.map(({ topic }) => topic)).toEqual(['new'])
        expect(state.wills.map(({ sessionKey }) => sessionKey)).toEqual(['s/1'])
        expect((await accept({ text: 'm', targets: [to('s/1')] })).seqs).toEqual([null])
      })
    })

    storeProperties(makeStore, durable)
  })
}
