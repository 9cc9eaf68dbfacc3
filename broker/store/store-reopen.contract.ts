import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import {
  DISTANT,
  FULL_MESSAGE,
  message,
  OpenStore,
  type StoreUnderTest,
  session,
  texts,
  to,
} from './store.fixture.ts'

/** What a store finds again, and what it forgets. */
export function reopenContract(makeStore: () => Promise<StoreUnderTest>, durable: boolean): void {
  describe('another life,', () => {
    let on: OpenStore

    beforeEach(async () => {
      on = await OpenStore.with(await makeStore())
    })
    afterEach(() => on.close())

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
        await on.store.putSession(session('s/1', { subscriptions: subscriptions.slice(1) }))
        await on.store.putSession(last)
        await on.store.putWill({ sessionKey: 's/1', deviceId: 'd', message: message('first') })
        const will = { sessionKey: 's/1', deviceId: 'd', message: FULL_MESSAGE }
        await on.store.putWill(will)
        await on.accept({
          text: 'old',
          message: message('old', { topic: FULL_MESSAGE.topic }),
          retained: 'Set',
        })
        await on.store.accept({ message: FULL_MESSAGE, targets: [to('s/1')], retained: 'Set' })
        await on.accept({ text: 'm', message: message('m', { topic: 'cleared' }), retained: 'Set' })
        await on.accept({ text: '', message: message('', { topic: 'cleared' }), retained: 'Clear' })
        const state = await on.reopen()
        expect(state.sessions.toSorted((a, b) => (a.key < b.key ? -1 : 1))).toEqual([last, session('s/2')])
        expect(state.retained).toEqual([FULL_MESSAGE])
        expect(state.wills).toEqual([will])
      })

      test('has every queue, with what was released, acknowledged and shared', async () => {
        await on.fill(3)
        await on.accept({ text: 'shared', targets: [to('s/1'), to('s/2')] })
        await on.store.release('s/1', 1)
        on.store.acknowledge('s/1', 2)
        await on.reopen()
        expect(await texts(on.store, 's/1')).toEqual(['', 'm3', 'shared'])
        expect((await on.store.readQueue('s/1', 0, 1, 0))[0]).toMatchObject({ seq: 1, released: true })
        on.store.acknowledge('s/1', 4)
        expect(await texts(on.store, 's/2')).toEqual(['shared'])
      })

      test('goes on counting seqs, also of a queue that was empty', async () => {
        await on.fill(3)
        await on.fill(2, 's/2')
        for (const seq of [3, 1, 2]) on.store.acknowledge('s/1', seq)
        await on.reopen()
        expect((await on.accept({ text: 'm', targets: [to('s/1'), to('s/2')] })).seqs).toEqual([4, 3])
      })

      test('knows how full each queue is', async () => {
        await on.fill(3)
        on.store.acknowledge('s/1', 2)
        await on.reopen()
        on.store.setLimits({ queueMessages: 100, queueBytes: 9, queueOverflow: 'DropNewest' })
        expect((await on.accept({ text: 'm4', targets: [to('s/1')] })).dropped).toEqual([])
        expect((await on.accept({ text: 'm5', targets: [to('s/1')] })).dropped).toHaveLength(1)
      })

      test('remembers packet ids, and wills that were taken', async () => {
        const incoming = { sessionKey: 's/1', packetId: 65_535 }
        await on.accept({ text: 'm', incoming })
        await on.store.putWill({ sessionKey: 's/1', deviceId: 'd', message: message('bye') })
        await on.accept({ text: 'bye', willOf: 's/1' })
        expect((await on.reopen()).wills).toEqual([])
        expect((await on.accept({ text: 'm', incoming })).duplicate).toBe(true)
        expect((await on.accept({ text: 'bye', willOf: 's/1' })).duplicate).toBe(true)
      })

      test('has what was still being written when it was closed', async () => {
        const accepted = on.accept({ text: 'last', targets: [to('s/1'), to('s/2')] })
        on.store.acknowledge('s/2', 1)
        await on.reopen()
        expect((await accepted).seqs).toEqual([1, 1])
        expect(await texts(on.store, 's/1')).toEqual(['last'])
        expect(await texts(on.store, 's/2')).toEqual([])
      })

      test('has nothing of a session that was deleted', async () => {
        await on.fill(3)
        await on.store.putWill({ sessionKey: 's/1', deviceId: 'd', message: message('bye') })
        await on.store.deleteSession('s/1')
        const state = await on.reopen()
        expect(state.sessions.map(({ key }) => key)).toEqual(['s/2'])
        expect(state.wills).toEqual([])
        await on.store.putSession(session('s/1'))
        expect(await texts(on.store, 's/1')).toEqual([])
      })
    })

    describe('opened again', () => {
      test('it forgets sessions and retained messages that have expired, but no will', async () => {
        await on.store.putSession(session('s/1', { expiresAt: 1 }))
        await on.store.putSession(session('s/2', { expiresAt: DISTANT }))
        await on.fill(2)
        await on.store.putWill({ sessionKey: 's/1', deviceId: 'd', message: message('due') })
        for (const [topic, expiresAt] of [['old', 1] as const, ['new', DISTANT] as const]) {
          await on.accept({ text: 'm', message: message('m', { topic, expiresAt }), retained: 'Set' })
        }
        const state = await on.reopen()
        expect(state.sessions.map(({ key }) => key)).toEqual(['s/2'])
        expect(state.retained.map(({ topic }) => topic)).toEqual(['new'])
        expect(state.wills.map(({ sessionKey }) => sessionKey)).toEqual(['s/1'])
        expect((await on.accept({ text: 'm', targets: [to('s/1')] })).seqs).toEqual([null])
      })
    })
  })
}
