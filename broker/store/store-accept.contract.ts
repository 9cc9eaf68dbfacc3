import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import {
  DISTANT,
  FULL_MESSAGE,
  message,
  OpenStore,
  ROOMY,
  type StoreUnderTest,
  seqs,
  session,
  TREACHEROUS_KEYS,
  texts,
  to,
} from './store.fixture.ts'

/** What a store does with one message: atomic, once, in order. */
export function acceptContract(makeStore: () => Promise<StoreUnderTest>): void {
  describe('one message,', () => {
    let on: OpenStore

    beforeEach(async () => {
      on = await OpenStore.with(await makeStore())
    })
    afterEach(() => on.close())

    describe('accepting', () => {
      test('queues a message for every target with the values of that target', async () => {
        const targets = [to('s/1', { qos: 2, retain: true, subscriptionIds: [7, 3] }), to('s/2')]
        const result = await on.accept({ text: 'hello', targets })
        expect(result).toEqual({ duplicate: false, seqs: [1, 1], dropped: [] })
        expect(await on.store.readQueue('s/1', 0, 10, 0)).toEqual([
          {
            seq: 1,
            message: message('hello'),
            qos: 2,
            retain: true,
            subscriptionIds: [7, 3],
            released: false,
          },
        ])
        expect(await on.store.readQueue('s/2', 0, 10, 0)).toEqual([
          { seq: 1, message: message('hello'), qos: 1, retain: false, released: false },
        ])
      })

      test('answers calls of one turn in the order they were made', async () => {
        const order: number[] = []
        const calls = Array.from({ length: 2500 }, async (_, i) => {
          // Some have nothing to store, some go to several sessions, some are duplicates.
          const targets = [[], [to('s/1')], [to('s/1'), to('s/2')]][i % 3]!
          const incoming = i % 5 === 0 ? { incoming: { sessionKey: 's/1', packetId: 1 } } : {}
          await on.accept({ text: `m${i}`, targets, ...incoming })
          order.push(i)
        })
        await Promise.all(calls)
        expect(order).toEqual(order.toSorted((a, b) => a - b))
        expect(order).toHaveLength(2500)
      })

      test('skips the sessions it does not know and serves the others', async () => {
        const result = await on.accept({ text: 'm', targets: [to('gone'), to('s/1')] })
        expect(result).toEqual({ duplicate: false, seqs: [null, 1], dropped: [] })
        expect(await on.store.readQueue('gone', 0, 10, 0)).toEqual([])
      })

      test('queues twice for a session that is named twice', async () => {
        const result = await on.accept({ text: 'm', targets: [to('s/1'), to('s/1', { qos: 2 })] })
        expect(result.seqs).toEqual([1, 2])
        on.store.acknowledge('s/1', 1)
        expect(await texts(on.store, 's/1')).toEqual(['m'])
      })

      test('keeps the message of one session when another has acknowledged it', async () => {
        await on.accept({ text: 'shared', targets: [to('s/1'), to('s/2')] })
        on.store.acknowledge('s/1', 1)
        expect(await texts(on.store, 's/1')).toEqual([])
        expect(await texts(on.store, 's/2')).toEqual(['shared'])
      })

      test('gives back every field of a message, bytes and order of properties included', async () => {
        const given = { message: FULL_MESSAGE, targets: [to('s/1')] }
        await on.store.accept(given)
        expect((await on.store.readQueue('s/1', 0, 1, 0))[0]?.message).toEqual(FULL_MESSAGE)
      })

      test('gives back an empty payload as an empty payload', async () => {
        await on.accept({ text: '', targets: [to('s/1')] })
        expect((await on.store.readQueue('s/1', 0, 1, 0))[0]?.message.payload).toEqual(Buffer.alloc(0))
      })
    })

    describe('a QoS 2 packet id', () => {
      const incoming = { sessionKey: 's/1', packetId: 7 }

      test('lets its message in once', async () => {
        const first = await on.accept({ text: 'one', targets: [to('s/2')], incoming })
        const again = await on.accept({ text: 'two', targets: [to('s/2')], incoming, retained: 'Set' })
        expect(first.duplicate).toBe(false)
        expect(again).toEqual({ duplicate: true, seqs: [null], dropped: [] })
        expect(await texts(on.store, 's/2')).toEqual(['one'])
      })

      test('is free again once it was forgotten', async () => {
        await on.accept({ text: 'one', targets: [to('s/2')], incoming })
        await on.store.forgetIncoming('s/1', 7)
        await on.store.forgetIncoming('s/1', 7)
        expect((await on.accept({ text: 'two', targets: [to('s/2')], incoming })).seqs).toEqual([2])
      })

      test('belongs to one session alone', async () => {
        await on.accept({ text: 'one', incoming })
        const other = await on.accept({ text: 'two', incoming: { sessionKey: 's/2', packetId: 7 } })
        expect(other.duplicate).toBe(false)
      })

      test('of a session that has just ended does not hold its message up', async () => {
        const ended = { sessionKey: 'gone', packetId: 7 }
        await on.accept({ text: 'one', targets: [to('s/1')], incoming: ended })
        const again = await on.accept({ text: 'two', targets: [to('s/1')], incoming: ended })
        expect(again).toEqual({ duplicate: false, seqs: [2], dropped: [] })
      })
    })

    describe('a will', () => {
      const will = { sessionKey: 's/1', deviceId: 'd', message: message('bye') }

      test('enters once, however often it is sent at the same time', async () => {
        await on.store.putWill(will)
        const sent = Array.from({ length: 5 }, () =>
          on.accept({ text: 'bye', targets: [to('s/2')], willOf: 's/1' }),
        )
        const duplicates = (await Promise.all(sent)).map((result) => result.duplicate)
        expect(duplicates).toEqual([false, true, true, true, true])
        expect(await texts(on.store, 's/2')).toEqual(['bye'])
      })

      test('that was deleted never enters', async () => {
        await on.store.putWill(will)
        await on.store.deleteWill('s/1')
        expect((await on.accept({ text: 'bye', targets: [to('s/2')], willOf: 's/1' })).duplicate).toBe(true)
        expect(await texts(on.store, 's/2')).toEqual([])
      })

      test('of a client without a stored session is kept too', async () => {
        await on.store.putWill({ ...will, sessionKey: 'clean' })
        expect((await on.accept({ text: 'bye', willOf: 'clean' })).duplicate).toBe(false)
      })

      test('that was taken already leaves the packet id of the same request free', async () => {
        const incoming = { sessionKey: 's/1', packetId: 9 }
        expect((await on.accept({ text: 'bye', incoming, willOf: 's/1' })).duplicate).toBe(true)
        expect((await on.accept({ text: 'bye', incoming })).duplicate).toBe(false)
      })
    })

    describe('a seq', () => {
      test('is never given twice, also after the queue was emptied', async () => {
        await on.fill(3)
        for (const seq of [1, 2, 3]) on.store.acknowledge('s/1', seq)
        expect(await seqs(on.store, 's/1')).toEqual([])
        await on.fill(2)
        expect(await seqs(on.store, 's/1')).toEqual([4, 5])
      })

      test('is not spent on a message that was dropped at once', async () => {
        on.store.setLimits({ ...ROOMY, queueMessages: 1, queueOverflow: 'DropNewest' })
        await on.fill(3)
        on.store.acknowledge('s/1', 1)
        expect((await on.accept({ text: 'm', targets: [to('s/1')] })).seqs).toEqual([2])
      })

      test('starts anew for a session that begins after its namesake was deleted', async () => {
        await on.fill(3)
        await on.store.deleteSession('s/1')
        await on.store.putSession(session('s/1'))
        await on.fill(1)
        expect(await seqs(on.store, 's/1')).toEqual([1])
      })
    })

    describe('a session', () => {
      test('keeps its queue when its record changes', async () => {
        await on.fill(2)
        await on.store.putSession(session('s/1', { expiresAt: DISTANT }))
        expect(await texts(on.store, 's/1')).toEqual(['m1', 'm2'])
      })

      test('takes queue, packet ids and will with it', async () => {
        await on.fill(2)
        const incoming = { sessionKey: 's/1', packetId: 1 }
        await on.accept({ text: 'm', incoming })
        await on.store.putWill({ sessionKey: 's/1', deviceId: 'd', message: message('bye') })
        await on.store.deleteSession('s/1')
        await on.store.deleteSession('s/1')
        expect((await on.accept({ text: 'm', targets: [to('s/1')] })).seqs).toEqual([null])
        expect((await on.accept({ text: 'bye', willOf: 's/1' })).duplicate).toBe(true)
        await on.store.putSession(session('s/1'))
        expect(await texts(on.store, 's/1')).toEqual([])
        expect((await on.accept({ text: 'm', incoming })).duplicate).toBe(false)
      })

      test('leaves what it shared to the others when it goes', async () => {
        await on.accept({ text: 'shared', targets: [to('s/1'), to('s/2')], retained: 'Set' })
        await on.store.deleteSession('s/1')
        expect(await texts(on.store, 's/2')).toEqual(['shared'])
      })

      test.each(TREACHEROUS_KEYS)('may be called %s', async (key) => {
        expect((await on.accept({ text: 'm', targets: [to(key)] })).seqs).toEqual([null])
        await on.store.putSession(session(key))
        await on.store.putWill({ sessionKey: key, deviceId: key, message: message('bye', { topic: key }) })
        await on.accept({
          text: 'm',
          message: message('m', { topic: key }),
          targets: [to(key)],
          retained: 'Set',
        })
        expect(await texts(on.store, key)).toEqual(['m'])
        expect((await on.accept({ text: 'bye', willOf: key })).duplicate).toBe(false)
        await on.store.deleteSession(key)
        expect((await on.accept({ text: 'm', targets: [to(key)] })).seqs).toEqual([null])
      })
    })
  })
}
