import fc from 'fast-check'
import { expect, test } from 'vitest'
import { SessionQueue } from './session-queue.ts'
import type { ApplicationMessage } from './store.ts'

const TARGET = { sessionKey: 's', qos: 2, retain: false } as const
const MESSAGE: ApplicationMessage = { topic: 't', payload: Buffer.from('xy'), qos: 2, retain: false }
const BYTES = 3

/** Bursts, so that queues grow beyond the length from which they are compacted. */
const operation = fc.oneof(
  fc.record({ kind: fc.constant('push' as const), count: fc.integer({ min: 1, max: 60 }) }),
  fc.record({
    kind: fc.constantFrom('acknowledge' as const, 'release' as const),
    from: fc.nat(400),
    count: fc.integer({ min: 1, max: 80 }),
    step: fc.integer({ min: 1, max: 4 }),
  }),
  fc.record({ kind: fc.constant('drop' as const), count: fc.integer({ min: 1, max: 40 }) }),
  fc.record({
    kind: fc.constant('read' as const),
    from: fc.nat(400),
    count: fc.integer({ min: 1, max: 50 }),
  }),
)

test('A queue with gaps, released entries and compactions is what a plain list would be', () => {
  fc.assert(
    fc.property(fc.array(operation, { maxLength: 40, size: 'max' }), (operations) => {
      const queue = new SessionQueue()
      let list: Array<{ seq: number; released: boolean }> = []
      let next = 1
      const remove = (seq: number | undefined) => {
        list = list.filter((entry) => entry.seq !== seq)
      }
      for (const operation of operations) {
        if (operation.kind === 'read') {
          const found = queue.read(operation.from, operation.count, 0)
          const expected = list.filter(({ seq }) => seq > operation.from).slice(0, operation.count)
          expect(found.map(({ seq, released }) => ({ seq, released }))).toEqual(expected)
          continue
        }
        for (let i = 0; i < operation.count; i += 1) {
          if (operation.kind === 'push') {
            expect(queue.push(MESSAGE, TARGET, BYTES)).toBe(next)
            list.push({ seq: next, released: false })
            next += 1
          } else if (operation.kind === 'drop') {
            const oldest = list.find((entry) => !entry.released)
            expect(queue.dropOldest()).toBe(oldest !== undefined)
            remove(oldest?.seq)
          } else {
            const seq = operation.from + i * operation.step
            queue[operation.kind](seq)
            if (operation.kind === 'acknowledge') remove(seq)
            else list = list.map((entry) => (entry.seq === seq ? { seq, released: true } : entry))
          }
        }
        const held = list.filter((entry) => !entry.released).length
        expect([queue.count, queue.bytes]).toEqual([held, held * BYTES])
      }
      expect(queue.read(0, 1e6, 0).map((entry) => entry.seq)).toEqual(list.map((entry) => entry.seq))
    }),
    { seed: 20_260_823, numRuns: 300 },
  )
})
