import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { DISTANT, message, OpenStore, type StoreUnderTest, seqs, texts, to } from './store.fixture.ts'
import type { StoreLimits } from './store.ts'

/** Bounds, reading, releasing and acknowledging. */
export function queueContract(makeStore: () => Promise<StoreUnderTest>): void {
  describe('a queue,', () => {
    let on: OpenStore

    beforeEach(async () => {
      on = await OpenStore.with(await makeStore())
    })
    afterEach(() => on.close())

    describe('a full queue', () => {
      const bounds = (queueOverflow: StoreLimits['queueOverflow'], queueMessages = 3, queueBytes = 1000) =>
        on.store.setLimits({ queueMessages, queueBytes, queueOverflow })

      test('loses its oldest message under DropOldest, and tells how many', async () => {
        bounds('DropOldest')
        await on.fill(3)
        const result = await on.accept({ text: 'm4', targets: [to('s/1'), to('s/2')] })
        expect(result).toEqual({ duplicate: false, seqs: [4, 1], dropped: [{ sessionKey: 's/1', count: 1 }] })
        expect(await texts(on.store, 's/1')).toEqual(['m2', 'm3', 'm4'])
      })

      test('refuses the new message under DropNewest, and tells so', async () => {
        bounds('DropNewest')
        await on.fill(3)
        const result = await on.accept({ text: 'm4', targets: [to('s/1'), to('s/2')] })
        expect(result).toEqual({
          duplicate: false,
          seqs: [null, 1],
          dropped: [{ sessionKey: 's/1', count: 1 }],
        })
        expect(await texts(on.store, 's/1')).toEqual(['m1', 'm2', 'm3'])
      })

      test('makes room for the bytes of a message under DropOldest', async () => {
        // Each of m1 to m9 counts three bytes: topic "t" and two of payload.
        bounds('DropOldest', 100, 27)
        await on.fill(9)
        const result = await on.accept({ text: 'x'.repeat(10), targets: [to('s/1')] })
        expect(result.dropped).toEqual([{ sessionKey: 's/1', count: 4 }])
        expect(await seqs(on.store, 's/1')).toEqual([5, 6, 7, 8, 9, 10])
      })

      test('counts bytes under DropNewest', async () => {
        bounds('DropNewest', 100, 27)
        await on.fill(8)
        const tooLarge = await on.accept({ text: 'abc', targets: [to('s/1')] })
        const fitting = await on.accept({ text: 'ab', targets: [to('s/1')] })
        expect(tooLarge.dropped).toEqual([{ sessionKey: 's/1', count: 1 }])
        expect(fitting).toEqual({ duplicate: false, seqs: [9], dropped: [] })
      })

      test('counts the bytes of properties', async () => {
        bounds('DropNewest', 100, 10)
        const heavy = message('', { properties: { userProperties: [['12345', '67890']] } })
        expect((await on.store.accept({ message: heavy, targets: [to('s/1')] })).seqs).toEqual([null])
      })

      test('is not emptied for a message that could never fit', async () => {
        bounds('DropOldest', 100, 27)
        await on.fill(9)
        const result = await on.accept({ text: 'x'.repeat(27), targets: [to('s/1')] })
        expect(result).toEqual({ duplicate: false, seqs: [null], dropped: [{ sessionKey: 's/1', count: 1 }] })
        expect(await texts(on.store, 's/1')).toHaveLength(9)
      })

      test('takes messages again after acknowledgements', async () => {
        bounds('DropNewest')
        await on.fill(3)
        on.store.acknowledge('s/1', 2)
        on.store.acknowledge('s/1', 2)
        expect((await on.accept({ text: 'm4', targets: [to('s/1')] })).seqs).toEqual([4])
        expect((await on.accept({ text: 'm5', targets: [to('s/1')] })).seqs).toEqual([null])
      })

      test('takes a message again after one has expired', async () => {
        bounds('DropNewest', 1)
        await on.store.accept({ message: message('old', { expiresAt: 10 }), targets: [to('s/1')] })
        await on.store.readQueue('s/1', 0, 10, 10)
        expect((await on.accept({ text: 'new', targets: [to('s/1')] })).dropped).toEqual([])
      })

      test('neither counts nor drops what was released: its PUBREL is still owed', async () => {
        bounds('DropOldest', 2)
        await on.fill(2)
        await on.store.release('s/1', 1)
        expect((await on.accept({ text: 'm3', targets: [to('s/1')] })).dropped).toEqual([])
        expect((await on.accept({ text: 'm4', targets: [to('s/1')] })).dropped).toHaveLength(1)
        expect(await seqs(on.store, 's/1')).toEqual([1, 3, 4])
      })

      test('shrinks to new limits with the next message', async () => {
        await on.fill(5)
        bounds('DropOldest', 2)
        expect(await texts(on.store, 's/1')).toHaveLength(5)
        const result = await on.accept({ text: 'm6', targets: [to('s/1')] })
        expect(result.dropped).toEqual([{ sessionKey: 's/1', count: 4 }])
        expect(await texts(on.store, 's/1')).toEqual(['m5', 'm6'])
      })

      test('does not stop the retained message, the packet id or the other sessions', async () => {
        bounds('DropNewest', 1)
        await on.fill(1)
        const incoming = { sessionKey: 's/1', packetId: 3 }
        await on.accept({ text: 'm2', targets: [to('s/1'), to('s/2')], retained: 'Set', incoming })
        expect(await texts(on.store, 's/2')).toEqual(['m2'])
        expect((await on.accept({ text: 'm2', incoming })).duplicate).toBe(true)
      })
    })

    describe('reading a queue', () => {
      test('goes on after a seq and stops at the limit', async () => {
        await on.fill(10)
        const page = await on.store.readQueue('s/1', 4, 3, 0)
        expect(page.map((entry) => entry.seq)).toEqual([5, 6, 7])
        expect(await on.store.readQueue('s/1', 10, 3, 0)).toEqual([])
      })

      test('finds its place among gaps', async () => {
        await on.fill(200)
        for (let seq = 1; seq <= 200; seq += 1) if (seq % 10 !== 0) on.store.acknowledge('s/1', seq)
        await on.fill(70)
        expect((await on.store.readQueue('s/1', 95, 3, 0)).map((entry) => entry.seq)).toEqual([100, 110, 120])
        on.store.acknowledge('s/1', 110)
        expect((await on.store.readQueue('s/1', 100, 1, 0))[0]?.seq).toBe(120)
      })

      test('removes what has expired and fills the page with the next', async () => {
        for (const expiresAt of [10, 20, 30]) {
          await on.store.accept({
            message: message(`until ${expiresAt}`, { expiresAt }),
            targets: [to('s/1')],
          })
        }
        await on.fill(1)
        expect((await on.store.readQueue('s/1', 0, 2, 20)).map((entry) => entry.seq)).toEqual([3, 4])
        expect(await texts(on.store, 's/1')).toEqual(['until 30', 'm1'])
      })
    })

    describe('releasing and acknowledging', () => {
      test('leaves of a released entry only what PUBREL needs', async () => {
        await on.accept({
          text: 'secret',
          targets: [to('s/1', { qos: 2, retain: true, subscriptionIds: [4] })],
        })
        await on.store.release('s/1', 1)
        await on.store.release('s/1', 1)
        const nothing = { topic: '', payload: Buffer.alloc(0), qos: 2, retain: false }
        expect(await on.store.readQueue('s/1', 0, 10, DISTANT)).toEqual([
          { seq: 1, message: nothing, qos: 2, retain: false, released: true },
        ])
      })

      test('keeps a released entry past the expiry of its message', async () => {
        const brief = message('m', { expiresAt: 10 })
        await on.store.accept({ message: brief, targets: [to('s/1', { qos: 2 })] })
        await on.store.release('s/1', 1)
        expect(await on.store.readQueue('s/1', 0, 10, 11)).toHaveLength(1)
      })

      test('ends a released entry with the acknowledgement', async () => {
        await on.fill(2)
        await on.store.release('s/1', 1)
        on.store.acknowledge('s/1', 1)
        expect(await seqs(on.store, 's/1')).toEqual([2])
      })

      test('ignores seqs and sessions it does not know', async () => {
        await on.fill(1)
        for (const seq of [0, 2, -1, 4711]) {
          on.store.acknowledge('s/1', seq)
          await on.store.release('s/1', seq)
        }
        on.store.acknowledge('gone', 1)
        await on.store.release('gone', 1)
        await on.store.forgetIncoming('gone', 1)
        expect(await texts(on.store, 's/1')).toEqual(['m1'])
      })
    })
  })
}
