import fc from 'fast-check'
import { expect, test } from 'vitest'
import type { DeadLetter, RouteAppend, RouteEntry } from '../../contract/route-stream.ts'
import { letter, NEVER, OpenStreams, TIME } from './route-stream.fixture.ts'
import { to as queueOf, type StoreUnderTest } from './store.fixture.ts'
import type { Store } from './store.ts'

const SEED = 20_261_123
const ROUTES = ['r', '__proto__']
const PARTITIONS = [0, 1, 2]

/** An entry of the model knows the n-th append; its position is what the store says. */
type ModelEntry = Pick<RouteEntry, 'id' | 'topic' | 'payload'>

/** Route streams as plainly as they can be told. */
class Model {
  readonly entries: ModelEntry[][] = ROUTES.map(() => [])
  readonly letters: ModelEntry[][] = ROUTES.map(() => [])
  readonly dropped = ROUTES.map(() => 0)

  append(route: number, entry: ModelEntry, { buffer }: RouteAppend): number {
    const kept = [...this.entries[route]!]
    let count = 0
    while (!fits(kept, entry, buffer)) {
      if (buffer.overflow === 'DropNewest' || kept.length === 0) {
        this.dropped[route]! += 1
        return 1
      }
      kept.shift()
      count += 1
    }
    this.entries[route] = [...kept, entry]
    this.dropped[route]! += count
    return count
  }
}

const sizeOf = ({ topic, payload }: ModelEntry) => topic.length + payload.length
const fits = (kept: readonly ModelEntry[], entry: ModelEntry, buffer: RouteAppend['buffer']) =>
  kept.length < buffer.messages && kept.reduce((sum, one) => sum + sizeOf(one), sizeOf(entry)) <= buffer.bytes

const route = fc.nat({ max: ROUTES.length - 1 })
const buffer = fc.record({
  messages: fc.integer({ min: 0, max: 6 }),
  bytes: fc.integer({ min: 0, max: 40 }),
  overflow: fc.constantFrom('DropOldest' as const, 'DropNewest' as const),
})
const partitions = fc.integer({ min: 1, max: 3 })
const picks = fc.array(fc.nat({ max: 7 }), { maxLength: 4 })

const step = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      do: fc.constant('append' as const),
      routes: fc.uniqueArray(route, { minLength: 1 }),
      topic: fc.constantFrom('a', 'b', 'c/d', 'e'),
      payload: fc.uint8Array({ maxLength: 12 }).map((bytes) => Buffer.from(bytes)),
      queued: fc.boolean(),
      partitions,
      buffer,
    }),
  },
  { weight: 3, arbitrary: fc.record({ do: fc.constant('settle' as const), route, picks }) },
  {
    weight: 2,
    arbitrary: fc.record({
      do: fc.constant('bury' as const),
      route,
      picks,
      maxMessages: fc.integer({ min: 0, max: 5 }),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({ do: fc.constant('replay' as const), route, picks, partitions, buffer }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('purge' as const), route, picks }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('remove' as const), route }) },
  {
    weight: 2,
    arbitrary: fc.record({ do: fc.constant('acknowledge' as const), seq: fc.integer({ min: 1, max: 9 }) }),
  },
)
type Step = typeof step extends fc.Arbitrary<infer T> ? T : never

/** Random operations, answered as the model answers them. */
export function routeStreamProperties(makeStore: () => Promise<StoreUnderTest>, durable: boolean): void {
  test('answer any sequence of operations as the plain model does', { timeout: 120_000 }, async () => {
    const runs = fc.asyncProperty(
      fc.array(fc.array(step, { maxLength: 40, size: 'max' }), { maxLength: 3, size: 'max' }),
      async (lives) => {
        const on = await OpenStreams.with(await makeStore())
        try {
          const model = new Model()
          const ids = { last: 0 }
          for (const steps of lives) {
            for (const one of steps) await run(on.store, model, one, ids)
            await compare(on.store, model)
            if (!durable) continue
            await on.reopen()
            await compare(on.store, model)
          }
        } finally {
          await on.close()
        }
      },
    )
    await fc.assert(runs, { seed: SEED, numRuns: 120 })
  })
}

async function run(store: Store, model: Model, one: Step, ids: { last: number }): Promise<void> {
  const stream = store.routes()
  if (one.do === 'acknowledge') return store.acknowledge('s/1', one.seq)
  if (one.do === 'append') return await append(store, model, one, ids)
  const routeId = ROUTES[one.route]!
  if (one.do === 'remove') {
    await stream.removeRoute(routeId)
    model.entries[one.route] = []
    model.letters[one.route] = []
    model.dropped[one.route] = 0
    return
  }
  if (one.do === 'settle' || one.do === 'bury') {
    for (const { partition, entries } of await chosen(store, routeId, one.picks)) {
      const ids = new Set(entries.map(({ id }) => id))
      if (one.do === 'settle') {
        await stream.settle(
          { routeId, partition },
          entries.map(({ position }) => position),
        )
      } else {
        const letters = entries.map((entry) => letter(entry, { deadAt: TIME }))
        await stream.bury({ routeId, partition }, letters, { maxMessages: one.maxMessages })
        model.letters[one.route] = [
          ...model.letters[one.route]!,
          ...model.entries[one.route]!.filter(({ id }) => ids.has(id)),
        ]
        await trim(store, model, one.route, one.maxMessages)
      }
      model.entries[one.route] = model.entries[one.route]!.filter(({ id }) => !ids.has(id))
    }
    return
  }
  const letters = await stream.deadLetters(routeId, { limit: 100 })
  const picked = letters.filter((_, i) => one.picks.includes(i))
  const positions = picked.map(({ entry }) => entry.position)
  if (one.do === 'purge') {
    expect(await stream.purge(routeId, { positions })).toBe(picked.length)
    keepLetters(model, one.route, (id) => !picked.some(({ entry }) => entry.id === id))
    return
  }
  const taken = picked.filter(({ entry }) => {
    if (!fits(model.entries[one.route]!, entry, one.buffer)) return false
    model.entries[one.route] = [...model.entries[one.route]!, entry]
    return true
  })
  const to = { routeId, partitions: one.partitions, buffer: one.buffer }
  expect(await stream.replay(routeId, positions, to)).toBe(taken.length)
  keepLetters(model, one.route, (id) => !taken.some(({ entry }) => entry.id === id))
}

async function append(
  store: Store,
  model: Model,
  one: Extract<Step, { do: 'append' }>,
  ids: { last: number },
): Promise<void> {
  ids.last += 1
  const id = `id-${ids.last}`
  const { topic, payload, partitions: count, buffer: bound } = one
  const into = one.routes.map((i) => ({ routeId: ROUTES[i]!, partitions: count, buffer: bound }))
  const drops = one.routes.flatMap((i, n) => {
    const lost = model.append(i, { id, topic, payload }, into[n]!)
    return lost === 0 ? [] : [{ routeId: ROUTES[i]!, count: lost }]
  })
  const result = await store.accept({
    message: { topic, payload, qos: 1, retain: false },
    targets: one.queued ? [queueOf('s/1')] : [],
    routes: { into, id, time: TIME },
  })
  expect(result.routeDrops ?? []).toEqual(drops)
}

/** Which of all that wait are picked, by partition. */
async function chosen(
  store: Store,
  routeId: string,
  which: readonly number[],
): Promise<Array<{ partition: number; entries: RouteEntry[] }>> {
  const found = []
  for (const partition of PARTITIONS) {
    const entries = await readAll(store, routeId, partition)
    found.push({ partition, entries: entries.filter((_, i) => which.includes(i)) })
  }
  return found
}

/** The bound goes by the order of entries, which only their positions tell. */
async function trim(store: Store, model: Model, at: number, maxMessages: number): Promise<void> {
  const before = model.letters[at]!.length
  const left: DeadLetter[] = await store.routes().deadLetters(ROUTES[at]!, { limit: 100 })
  expect(left).toHaveLength(Math.min(before, maxMessages))
  keepLetters(model, at, (id) => left.some(({ entry }) => entry.id === id))
}

function keepLetters(model: Model, at: number, keep: (id: string) => boolean): void {
  model.letters[at] = model.letters[at]!.filter(({ id }) => keep(id))
}

const readAll = (store: Store, routeId: string, partition: number): Promise<RouteEntry[]> =>
  store.routes().read({ routeId, partition }, { limit: 100, waitMs: 0, signal: NEVER })

async function compare(store: Store, model: Model): Promise<void> {
  for (const [i, routeId] of ROUTES.entries()) {
    const byPartition = await Promise.all(PARTITIONS.map((partition) => readAll(store, routeId, partition)))
    const order = byPartition.flat().toSorted((a, b) => Number(a.position) - Number(b.position))
    expect(order.map(({ id }) => id)).toEqual(model.entries[i]!.map(({ id }) => id))
    expect(order.map(({ payload }) => payload)).toEqual(model.entries[i]!.map(({ payload }) => payload))
    const letters = await store.routes().deadLetters(routeId, { limit: 100 })
    expect(letters.map(({ entry }) => entry.id).toSorted()).toEqual(
      model.letters[i]!.map(({ id }) => id).toSorted(),
    )
    expect(await store.routes().backlog(routeId)).toMatchObject({
      messages: order.length,
      bytes: order.reduce((sum, entry) => sum + sizeOf(entry), 0),
      dropped: model.dropped[i],
      deadLetters: letters.length,
    })
  }
}
