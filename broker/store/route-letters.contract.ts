import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { routePartition } from '../../contract/route-stream.ts'
import { bounds, into, letter, OpenStreams, positionsOf, TIME, textOf } from './route-stream.fixture.ts'
import type { StoreUnderTest } from './store.fixture.ts'

const PLACE = { routeId: 'r', partition: 0 }

/** What becomes of messages that were given up. */
export function routeLettersContract(makeStore: () => Promise<StoreUnderTest>): void {
  describe('dead letters', () => {
    let on: OpenStreams

    beforeEach(async () => {
      on = await OpenStreams.with(await makeStore())
      for (let i = 1; i <= 6; i += 1) await on.append(`m${i}`, [into('r')])
    })
    afterEach(() => on.close())

    test('are out of the stream and kept with all there is to tell, in one step', async () => {
      const entries = await on.read()
      const letters = [letter(entries[1]!), letter(entries[4]!, { attempts: 9, deadAt: TIME + 99 })]
      await on.stream.bury(PLACE, letters, { maxMessages: 10 })
      expect(await on.texts()).toEqual(['m1', 'm3', 'm4', 'm6'])
      expect(await on.stream.deadLetters('r', { limit: 10 })).toStrictEqual(letters)
      expect(await on.stream.backlog('r')).toMatchObject({ messages: 4, bytes: 12, deadLetters: 2 })
    })

    test('are read in the order of their entries, on after a position', async () => {
      const letters = (await on.read()).map((entry) => letter(entry))
      for (const i of [3, 0, 5, 1]) await on.stream.bury(PLACE, [letters[i]!], { maxMessages: 10 })
      const [first] = await on.stream.deadLetters('r', { limit: 1 })
      expect(textOf(first!.entry)).toBe('m1')
      const next = await on.stream.deadLetters('r', { after: first!.entry.position, limit: 2 })
      expect(next.map(({ entry }) => textOf(entry))).toEqual(['m2', 'm4'])
    })

    test('are bounded: those with the oldest entries make room', async () => {
      const letters = (await on.read()).map((entry) => letter(entry))
      await on.stream.bury(PLACE, letters.slice(0, 4), { maxMessages: 3 })
      await on.stream.bury(PLACE, letters.slice(4, 5), { maxMessages: 3 })
      expect(await on.deadTexts()).toEqual(['m3', 'm4', 'm5'])
      expect(await on.texts()).toEqual(['m6'])
      await on.stream.bury(PLACE, letters.slice(5), { maxMessages: 0 })
      expect(await on.deadTexts()).toEqual([])
      expect(await on.stream.backlog('r')).toMatchObject({ messages: 0, deadLetters: 0 })
    })

    test('are kept once, in their last form, when a worker tells them again', async () => {
      const [entry] = await on.read()
      await on.stream.bury(PLACE, [letter(entry!)], { maxMessages: 10 })
      await on.stream.bury(PLACE, [letter(entry!, { attempts: 7 })], { maxMessages: 10 })
      const found = await on.stream.deadLetters('r', { limit: 10 })
      expect(found).toStrictEqual([letter(entry!, { attempts: 7 })])
      expect(await on.stream.backlog('r')).toMatchObject({ messages: 5, deadLetters: 1 })
    })

    test('are kept also when their entry was dropped during delivery', async () => {
      const [entry] = await on.read()
      await on.append('m7', [into('r', bounds(6, 'DropOldest'))])
      await on.stream.bury(PLACE, [letter(entry!)], { maxMessages: 10 })
      expect(await on.stream.deadLetters('r', { limit: 10 })).toStrictEqual([letter(entry!)])
      expect(await on.stream.backlog('r')).toMatchObject({ messages: 6, dropped: 1, deadLetters: 1 })
    })

    test('keep content type, device and trail', async () => {
      const message = { properties: { contentType: 'text/plain', responseTopic: 'x' } }
      const facts = { id: 'known', time: TIME, deviceId: 'd', trail: ['a'] }
      await on.append('full', [], { message, routes: { into: [into('full')], ...facts } })
      const [buried] = await on.buryAll('full')
      const [found] = await on.stream.deadLetters('full', { limit: 1 })
      expect(found).toStrictEqual(buried)
      expect(found?.entry).toMatchObject({ ...facts, contentType: 'text/plain' })
    })

    test('replayed stand at the end of their partitions, with the same ids', async () => {
      const entries = await on.read()
      await on.stream.bury(PLACE, [letter(entries[0]!), letter(entries[2]!)], { maxMessages: 10 })
      const asked = [entries[2]!.position, entries[0]!.position, entries[1]!.position, 'nonsense']
      expect(await on.stream.replay('r', asked, into('r'))).toBe(2)
      const after = await on.read()
      expect(after.map(textOf)).toEqual(['m2', 'm4', 'm5', 'm6', 'm1', 'm3'])
      expect(after.map(({ id }) => id)).toEqual(['id-2', 'id-4', 'id-5', 'id-6', 'id-1', 'id-3'])
      expect(new Set([...positionsOf(entries), ...positionsOf(after)]).size).toBe(8)
      expect(await on.stream.backlog('r')).toMatchObject({ messages: 6, bytes: 18, deadLetters: 0 })
      expect(await on.stream.replay('r', asked, into('r'))).toBe(0)
    })

    test('replayed go to the partitions that the route has by now', async () => {
      const letters = await on.buryAll()
      await on.stream.replay(
        'r',
        positionsOf(letters.map(({ entry }) => entry)),
        into('r', { partitions: 16 }),
      )
      expect(await on.texts('r', routePartition('t', 16))).toHaveLength(6)
    })

    test.each(['DropOldest', 'DropNewest'] as const)(
      'replayed push nothing out under %s: those without room stay',
      async (overflow) => {
        const letters = await on.buryAll()
        const positions = positionsOf(letters.map(({ entry }) => entry))
        await on.append('live', [into('r')])
        expect(await on.stream.replay('r', positions, into('r', bounds(3, overflow)))).toBe(2)
        expect(await on.texts()).toEqual(['live', 'm1', 'm2'])
        expect(await on.deadTexts()).toEqual(['m3', 'm4', 'm5', 'm6'])
        expect(await on.stream.backlog('r')).toMatchObject({ dropped: 0 })
      },
    )

    test('are purged by position', async () => {
      const letters = await on.buryAll()
      const positions = positionsOf(letters.map(({ entry }) => entry))
      const asked = [positions[1]!, positions[3]!, positions[3]!, 'nonsense']
      expect(await on.stream.purge('r', { positions: asked })).toBe(2)
      expect(await on.stream.purge('r', { positions: asked })).toBe(0)
      expect(await on.stream.purge('other', { positions })).toBe(0)
      expect(await on.deadTexts()).toEqual(['m1', 'm3', 'm5', 'm6'])
    })

    test('are purged by age, however many there are', async () => {
      await on.buryAll('r', { deadAt: TIME + 500 })
      for (let i = 0; i < 1100; i += 1) void on.append(`old ${i}`, [into('many', bounds(5000, 'DropNewest'))])
      const entries = await on.read('many', { limit: 2000 })
      const letters = entries.map((entry, i) => letter(entry, { deadAt: TIME + i }))
      await on.stream.bury({ routeId: 'many', partition: 0 }, letters, { maxMessages: 5000 })
      expect(await on.stream.purge('many', { deadBefore: TIME + 1098 })).toBe(1098)
      expect(await on.deadTexts('many')).toEqual(['old 1098', 'old 1099'])
      expect(await on.deadTexts()).toHaveLength(6)
    })
  })
}
