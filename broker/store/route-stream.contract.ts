import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { routePartition } from '../../contract/route-stream.ts'
import { routeLettersContract } from './route-letters.contract.ts'
import { bounds, into, OpenStreams, positionsOf, TIME, textOf } from './route-stream.fixture.ts'
import { routeStreamProperties } from './route-stream-properties.contract.ts'
import { routeWaitingContract } from './route-waiting.contract.ts'
import { FULL_MESSAGE, type StoreUnderTest, TREACHEROUS_KEYS, to } from './store.fixture.ts'

/** What the route streams of every store promise. `durable`: `reopen` finds everything again. */
export function routeStreamContract(
  name: string,
  makeStore: () => Promise<StoreUnderTest>,
  { durable }: { durable: boolean },
): void {
  describe(`the route streams of ${name}:`, () => {
    appending(makeStore)
    full(makeStore)
    reading(makeStore)
    describe.runIf(durable)('reopened, they', () => reopened(makeStore))
    routeLettersContract(makeStore)
    routeWaitingContract(makeStore)
    routeStreamProperties(makeStore, durable)
  })
}

function opened(makeStore: () => Promise<StoreUnderTest>): () => OpenStreams {
  let on: OpenStreams
  beforeEach(async () => {
    on = await OpenStreams.with(await makeStore())
  })
  afterEach(() => on.close())
  return () => on
}

function appending(makeStore: () => Promise<StoreUnderTest>): void {
  describe('accepting a message', () => {
    const on = opened(makeStore)

    test('appends it with all that a worker is told, and nothing that was not given', async () => {
      const facts = { id: 'the-id', time: TIME, deviceId: 'device', trail: ['r1', 'r2'] }
      await on().store.accept({
        message: FULL_MESSAGE,
        targets: [],
        routes: { into: [into('r')], ...facts },
      })
      await on().append('plain', [into('r')], { message: { qos: 0 } })
      const { topic, payload, qos, retain } = FULL_MESSAGE
      const [full, plain] = await on().read()
      expect(full).toStrictEqual({
        position: full?.position,
        ...facts,
        topic,
        payload,
        qos,
        retain,
        contentType: 'application/octet-stream',
      })
      expect(plain).toStrictEqual({
        position: plain?.position,
        id: 'id-1',
        topic: 't',
        payload: Buffer.from('plain'),
        qos: 0,
        retain: false,
        time: TIME + 1,
      })
    })

    test('appends it to every route, each with its own bounds, and queues it too', async () => {
      const routes = [into('a'), into('b', bounds(0, 'DropNewest')), into('c')]
      const result = await on().append('m', routes, { targets: [to('s/1')], retained: 'Set' })
      expect(result).toEqual({
        duplicate: false,
        seqs: [1],
        dropped: [],
        routeDrops: [{ routeId: 'b', count: 1 }],
      })
      expect([await on().texts('a'), await on().texts('b'), await on().texts('c')]).toEqual([
        ['m'],
        [],
        ['m'],
      ])
      expect(await on().store.readQueue('s/1', 0, 10, 0)).toHaveLength(1)
    })

    test('keeps it in the route when the queue lets go of it, and the other way round', async () => {
      await on().append('m1', [into('r')], { targets: [to('s/1')] })
      await on().append('m2', [into('r')], { targets: [to('s/1')] })
      on().store.acknowledge('s/1', 1)
      const [, second] = await on().read()
      await on().stream.settle({ routeId: 'r', partition: 0 }, [second!.position])
      expect(await on().texts()).toEqual(['m1'])
      const queued = await on().store.readQueue('s/1', 0, 10, 0)
      expect(queued.map((entry) => entry.message.payload.toString())).toEqual(['m2'])
    })

    test('appends nothing of a QoS 2 message or a will that is known already', async () => {
      const incoming = { sessionKey: 's/1', packetId: 7 }
      await on().append('once', [into('r')], { incoming })
      expect((await on().append('again', [into('r')], { incoming })).duplicate).toBe(true)
      expect((await on().append('no will', [into('r')], { willOf: 's/1' })).duplicate).toBe(true)
      expect(await on().texts()).toEqual(['once'])
    })

    test('answers in the order of the calls, also where some go to routes', async () => {
      const order: number[] = []
      const calls = Array.from({ length: 1000 }, async (_, i) => {
        await on().append(`m${i}`, i % 3 === 0 ? [into('r')] : [], {
          targets: i % 2 === 0 ? [to('s/1')] : [],
        })
        order.push(i)
      })
      await Promise.all(calls)
      expect(order).toEqual(order.toSorted((a, b) => a - b))
      expect(await on().texts()).toHaveLength(334)
    })

    test('spreads topics over the partitions, and keeps the order of each', async () => {
      for (let i = 0; i < 200; i += 1) {
        await on().append(String(i), [into('r', { partitions: 4 })], { message: { topic: `t/${i % 20}` } })
      }
      const perPartition = await Promise.all([0, 1, 2, 3].map((partition) => on().read('r', { partition })))
      for (const [partition, entries] of perPartition.entries()) {
        expect(entries.length).toBeGreaterThan(0)
        for (const { topic } of entries) expect(routePartition(topic, 4)).toBe(partition)
        const numbers = entries.map((entry) => Number(textOf(entry)))
        expect(numbers).toEqual(numbers.toSorted((a, b) => a - b))
      }
      const positions = perPartition.flatMap(positionsOf)
      expect(new Set(positions).size).toBe(200)
    })

    test.each(TREACHEROUS_KEYS)('may be for a route called %s', async (routeId) => {
      await on().append('m', [into(routeId)], { message: { topic: routeId } })
      expect(await on().texts(routeId)).toEqual(['m'])
      expect(await on().stream.backlog('other')).toMatchObject({ messages: 0 })
    })
  })
}

function full(makeStore: () => Promise<StoreUnderTest>): void {
  describe('a full route', () => {
    const on = opened(makeStore)
    const fill = async (count: number, append: Parameters<typeof into>[1]) => {
      for (let i = 1; i <= count; i += 1) await on().append(`m${i}`, [into('r', append)])
    }

    test('loses its oldest message under DropOldest, counted', async () => {
      await fill(3, bounds(3, 'DropOldest'))
      const result = await on().append('m4', [into('r', bounds(3, 'DropOldest'))])
      expect(result.routeDrops).toEqual([{ routeId: 'r', count: 1 }])
      expect(await on().texts()).toEqual(['m2', 'm3', 'm4'])
      expect(await on().stream.backlog('r')).toEqual({
        messages: 3,
        bytes: 9,
        oldestTime: TIME + 2,
        dropped: 1,
        deadLetters: 0,
      })
    })

    test('refuses the new message under DropNewest, counted', async () => {
      await fill(3, bounds(3, 'DropNewest'))
      const result = await on().append('m4', [into('r', bounds(3, 'DropNewest'))], { targets: [to('s/1')] })
      expect(result).toMatchObject({ seqs: [1], routeDrops: [{ routeId: 'r', count: 1 }] })
      expect(await on().texts()).toEqual(['m1', 'm2', 'm3'])
      expect(await on().stream.backlog('r')).toMatchObject({ messages: 3, dropped: 1 })
    })

    test('counts messages over all its partitions, and drops the oldest of any', async () => {
      const append = { partitions: 8, ...bounds(10, 'DropOldest') }
      for (let i = 0; i < 40; i += 1) {
        await on().append(String(i), [into('r', append)], { message: { topic: `t/${i}` } })
      }
      const left = await Promise.all([0, 1, 2, 3, 4, 5, 6, 7].map((partition) => on().texts('r', partition)))
      expect(
        left
          .flat()
          .map(Number)
          .toSorted((a, b) => a - b),
      ).toEqual(Array.from({ length: 10 }, (_, i) => i + 30))
      expect(await on().stream.backlog('r')).toMatchObject({ messages: 10, dropped: 30 })
    })

    test('counts the bytes of topic, payload and content type', async () => {
      const append = bounds(100, 'DropOldest', 30)
      const typed = { message: { topic: '12345', properties: { contentType: 'abcde' } } }
      await on().append('x'.repeat(10), [into('r', append)], typed)
      expect((await on().append('123456789', [into('r', append)])).routeDrops).toBeUndefined()
      expect((await on().append('', [into('r', append)])).routeDrops).toEqual([{ routeId: 'r', count: 1 }])
      expect(await on().texts()).toEqual(['123456789', ''])
    })

    test('makes room for the bytes of a large message, as many as it needs', async () => {
      await fill(9, bounds(100, 'DropOldest', 27))
      const result = await on().append('x'.repeat(10), [into('r', bounds(100, 'DropOldest', 27))])
      expect(result.routeDrops).toEqual([{ routeId: 'r', count: 4 }])
      expect(await on().texts()).toHaveLength(6)
    })

    test('is not emptied for a message that could never fit', async () => {
      await fill(9, bounds(100, 'DropOldest', 27))
      const result = await on().append('x'.repeat(27), [into('r', bounds(100, 'DropOldest', 27))])
      expect(result.routeDrops).toEqual([{ routeId: 'r', count: 1 }])
      expect(await on().texts()).toHaveLength(9)
    })

    test('shrinks to narrower bounds with the next message', async () => {
      await fill(5, bounds(100, 'DropOldest'))
      const result = await on().append('m6', [into('r', bounds(2, 'DropOldest'))])
      expect(result.routeDrops).toEqual([{ routeId: 'r', count: 4 }])
      expect(await on().texts()).toEqual(['m5', 'm6'])
    })

    test('takes messages again once some were settled', async () => {
      await fill(3, bounds(3, 'DropNewest'))
      await on().stream.settle({ routeId: 'r', partition: 0 }, positionsOf(await on().read()).slice(1, 2))
      const result = await on().append('m4', [into('r', bounds(3, 'DropNewest'))])
      expect(result.routeDrops).toBeUndefined()
      expect(await on().texts()).toEqual(['m1', 'm3', 'm4'])
    })

    test('leaves the other routes alone', async () => {
      const routes = [into('r', bounds(1, 'DropOldest')), into('other')]
      for (const text of ['m1', 'm2', 'm3']) await on().append(text, routes)
      expect(await on().texts('other')).toEqual(['m1', 'm2', 'm3'])
      expect(await on().stream.backlog('other')).toMatchObject({ dropped: 0 })
    })
  })
}

function reading(makeStore: () => Promise<StoreUnderTest>): void {
  describe('a worker', () => {
    const on = opened(makeStore)
    const place = { routeId: 'r', partition: 0 }
    beforeEach(async () => {
      for (let i = 1; i <= 10; i += 1) await on().append(`m${i}`, [into('r')])
    })

    test('reads on after a position, up to its limit, and the same again', async () => {
      const first = await on().read('r', { limit: 3 })
      expect(first.map(textOf)).toEqual(['m1', 'm2', 'm3'])
      const after = first.at(-1)!.position
      expect((await on().read('r', { after, limit: 2 })).map(textOf)).toEqual(['m4', 'm5'])
      expect(await on().read('r', { limit: 3 })).toEqual(first)
    })

    test('finds nothing in another partition or route', async () => {
      expect(await on().read('r', { partition: 1 })).toEqual([])
      expect(await on().read('other')).toEqual([])
    })

    test('settles in any order, again and again, and what it does not know', async () => {
      const positions = positionsOf(await on().read())
      const settle = (...which: string[]) => on().stream.settle(place, which)
      await settle(positions[4]!, positions[1]!)
      await settle(positions[1]!, 'nonsense', '', '-1', '999999', '1e3')
      await on().stream.settle({ routeId: 'r', partition: 3 }, positions)
      await on().stream.settle({ routeId: 'other', partition: 0 }, positions)
      expect(await on().texts()).toEqual(['m1', 'm3', 'm4', 'm6', 'm7', 'm8', 'm9', 'm10'])
      expect((await on().read('r', { after: positions[1]!, limit: 1 })).map(textOf)).toEqual(['m3'])
      expect(await on().stream.backlog('r')).toMatchObject({ messages: 8, oldestTime: TIME + 1 })
    })

    test('sees an empty backlog when all is settled, and new positions after', async () => {
      const positions = positionsOf(await on().read())
      await on().stream.settle(place, positions)
      expect(await on().stream.backlog('r')).toEqual({
        messages: 0,
        bytes: 0,
        oldestTime: undefined,
        dropped: 0,
        deadLetters: 0,
      })
      await on().append('new', [into('r')])
      const [entry] = await on().read('r', { after: positions.at(-1)! })
      expect(positions).not.toContain(entry?.position)
      expect(textOf(entry!)).toBe('new')
    })

    test('finds nothing of a route that was removed, dead letters and counts included', async () => {
      await on().append('other', [into('other')])
      await on().buryAll()
      await on().append('m', [into('r', bounds(0, 'DropNewest'))])
      for (let i = 0; i < 1200; i += 1) void on().append(`more ${i}`, [into('r', { partitions: 3 })])
      expect((await on().stream.routeIds()).sort()).toEqual(['other', 'r'])
      await on().stream.removeRoute('r')
      await on().stream.removeRoute('r')
      expect(await on().stream.routeIds()).toEqual(['other'])
      const nothing = { messages: 0, bytes: 0, oldestTime: undefined, dropped: 0, deadLetters: 0 }
      expect(await on().stream.backlog('r')).toEqual(nothing)
      expect(await on().texts()).toEqual([])
      expect(await on().deadTexts()).toEqual([])
      expect(await on().texts('other')).toEqual(['other'])
      await on().append('anew', [into('r')])
      expect(await on().texts()).toEqual(['anew'])
    })
  })
}

function reopened(makeStore: () => Promise<StoreUnderTest>): void {
  const on = opened(makeStore)

  test('have entries, dead letters and counts', async () => {
    for (let i = 1; i <= 6; i += 1) await on().append(`m${i}`, [into('r', bounds(5, 'DropOldest'))])
    await on().append('other', [into('other', { partitions: 4 })])
    const [second, third] = await on().read()
    await on().stream.settle({ routeId: 'r', partition: 0 }, [third!.position])
    const dead = { entry: second!, attempts: 1, deadAt: TIME }
    const failure = { code: 'X', message: 'x', time: TIME }
    await on().stream.bury(
      { routeId: 'r', partition: 0 },
      [{ ...dead, firstError: failure, lastError: failure }],
      {
        maxMessages: 5,
      },
    )
    const before = [await on().read(), await on().stream.deadLetters('r', { limit: 9 })]
    const backlog = await on().stream.backlog('r')
    await on().reopen()
    expect([await on().read(), await on().stream.deadLetters('r', { limit: 9 })]).toEqual(before)
    expect(await on().stream.backlog('r')).toEqual(backlog)
    expect(backlog).toMatchObject({ messages: 3, dropped: 1, deadLetters: 1 })
    expect(await on().texts('other', routePartition('t', 4))).toEqual(['other'])
  })

  test('go on with new positions, also of a route that was empty', async () => {
    await on().append('m1', [into('r')])
    const old = positionsOf(await on().read())
    await on().stream.settle({ routeId: 'r', partition: 0 }, old)
    await on().reopen()
    await on().append('m2', [into('r')])
    expect((await on().read('r', { after: old[0]! })).map(textOf)).toEqual(['m2'])
  })

  test('keep their bounds, over partitions that nothing was appended to since', async () => {
    const append = { partitions: 4, ...bounds(8, 'DropOldest') }
    for (let i = 0; i < 8; i += 1)
      await on().append(`${i}`, [into('r', append)], { message: { topic: `t/${i}` } })
    await on().reopen()
    const result = await on().append('8', [into('r', append)], { message: { topic: 't/8' } })
    expect(result.routeDrops).toEqual([{ routeId: 'r', count: 1 }])
    const left = await Promise.all([0, 1, 2, 3].map((partition) => on().texts('r', partition)))
    expect(left.flat().toSorted()).toEqual(['1', '2', '3', '4', '5', '6', '7', '8'])
  })

  test('have nothing of a removed route, however much of it there was', async () => {
    for (let i = 0; i < 1200; i += 1) void on().append(`m${i}`, [into('r')])
    await on().stream.removeRoute('r')
    await on().reopen()
    expect(await on().texts()).toEqual([])
    await on().append('anew', [into('r')])
    expect(await on().texts()).toEqual(['anew'])
  })
}
