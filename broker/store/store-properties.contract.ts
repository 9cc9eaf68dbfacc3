import fc from 'fast-check'
import { expect, test } from 'vitest'
import type { StoreUnderTest } from './store.fixture.ts'
import type { AcceptRequest, ApplicationMessage, Store, StoreLimits } from './store.ts'
import { StoreModel } from './store-model.fixture.ts'

const SEED = 20_260_823
const KEYS = ['d1/a', '__proto__', 'constructor']
/** Some messages have expired by this clock and by the system's, which `open` goes by; the others never do. */
const NOW = 1000
const EXPIRIES = [NOW, Number.MAX_SAFE_INTEGER]

const key = fc.constantFrom(...KEYS)
const seq = fc.integer({ min: 1, max: 8 })
const packetId = fc.integer({ min: 1, max: 3 })
const message: fc.Arbitrary<ApplicationMessage> = fc.record(
  {
    topic: fc.constantFrom('t/1', 't/2', '__proto__'),
    payload: fc.uint8Array({ maxLength: 20 }).map((bytes) => Buffer.from(bytes)),
    qos: fc.constantFrom(0 as const, 1 as const, 2 as const),
    retain: fc.boolean(),
    properties: fc.record({ contentType: fc.string({ maxLength: 5 }) }),
    expiresAt: fc.constantFrom(...EXPIRIES),
  },
  { requiredKeys: ['topic', 'payload', 'qos', 'retain'] },
)
const target = fc.record(
  {
    sessionKey: key,
    qos: fc.constantFrom(1 as const, 2 as const),
    retain: fc.boolean(),
    subscriptionIds: fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 1, maxLength: 2 }),
  },
  { requiredKeys: ['sessionKey', 'qos', 'retain'] },
)
const limits: fc.Arbitrary<StoreLimits> = fc.record({
  queueMessages: fc.integer({ min: 0, max: 4 }),
  queueBytes: fc.integer({ min: 0, max: 80 }),
  queueOverflow: fc.constantFrom('DropOldest' as const, 'DropNewest' as const),
})
const request = fc.record(
  {
    message,
    targets: fc.array(target, { maxLength: 4 }),
    retained: fc.constantFrom('Set' as const, 'Clear' as const),
    incoming: fc.record({ sessionKey: key, packetId }),
    willOf: key,
  },
  { requiredKeys: ['message', 'targets'] },
)
const session = fc.record({
  key,
  deviceId: fc.constant('d1'),
  clientId: fc.string({ maxLength: 3 }),
  subscriptions: fc.array(
    fc.record({
      filter: fc.constantFrom('a/+', '#'),
      qos: fc.constantFrom(0 as const, 1 as const, 2 as const),
      noLocal: fc.boolean(),
      retainAsPublished: fc.boolean(),
    }),
    { maxLength: 2 },
  ),
})

/** One operation on both; what it answers has to be the same. */
type Step = (model: StoreModel, store: Store) => Promise<void>

const step = fc.oneof(
  { weight: 6, arbitrary: request.map(acceptStep) },
  { weight: 2, arbitrary: session.map((it) => both('putSession', it)) },
  { weight: 1, arbitrary: key.map((it) => both('deleteSession', it)) },
  { weight: 4, arbitrary: fc.tuple(key, seq).map((args) => both('release', ...args)) },
  { weight: 4, arbitrary: fc.tuple(key, seq).map((args) => both('acknowledge', ...args)) },
  { weight: 1, arbitrary: fc.tuple(key, packetId).map((args) => both('forgetIncoming', ...args)) },
  {
    weight: 1,
    arbitrary: fc
      .record({ sessionKey: key, deviceId: fc.constant('d1'), message })
      .map((it) => both('putWill', it)),
  },
  { weight: 1, arbitrary: key.map((it) => both('deleteWill', it)) },
  { weight: 1, arbitrary: limits.map(limitsStep) },
  { weight: 2, arbitrary: fc.tuple(key, seq, fc.integer({ min: 1, max: 3 })).map(readStep) },
)

/** Random operations, one after another or all at once, answered as the model answers them. */
export function storeProperties(makeStore: () => Promise<StoreUnderTest>, durable: boolean): void {
  const ways = [
    { together: false, title: 'answers any sequence of operations as the plain model does' },
    { together: true, title: 'answers operations of one turn as if each had waited for the one before' },
  ]
  test.each(ways)('$title', { timeout: 120_000 }, async ({ together }) => {
    const runs = fc.asyncProperty(
      limits,
      fc.array(fc.array(step, { maxLength: 40, size: 'max' }), { maxLength: 4, size: 'max' }),
      async (first, lives) => {
        const subject = await makeStore()
        try {
          await compare(subject, { first, lives, durable, together })
        } finally {
          await subject.cleanup()
        }
      },
    )
    await fc.assert(runs, { seed: SEED, numRuns: 150 })
  })
}

interface Comparison {
  first: StoreLimits
  /** Operations before each reopening. */
  lives: Step[][]
  durable: boolean
  together: boolean
}

async function compare(subject: StoreUnderTest, { first, lives, durable, together }: Comparison) {
  const model = new StoreModel(first)
  let store = subject.store
  await store.open(first)
  // Not the last one: messages for a session that never was have to be skipped.
  for (const name of KEYS.slice(0, -1)) {
    const record = { key: name, deviceId: 'd1', clientId: name, subscriptions: [] }
    await both('putSession', record)(model, store)
  }
  for (const steps of lives) {
    const running: Array<Promise<void>> = []
    for (const run of steps) {
      const done = run(model, store)
      if (together) running.push(done)
      else await done
    }
    await Promise.all(running)
    if (durable) {
      store = await subject.reopen()
      expect(sorted(await store.open(model.limits))).toEqual(sorted(model.state(Date.now())))
    }
    for (const name of KEYS) {
      expect(await store.readQueue(name, 0, 100, NOW)).toEqual(model.readQueue(name, 0, 100, NOW))
    }
  }
}

type Plain = Exclude<keyof Store & keyof StoreModel, 'accept' | 'readQueue'>

/** An operation whose answer says nothing; its effect shows in what the others answer. */
function both<Name extends Plain>(name: Name, ...args: Parameters<StoreModel[Name]>): Step {
  return async (model, store) => {
    const call = (on: StoreModel | Store) => (on[name] as (...all: unknown[]) => unknown).apply(on, args)
    call(model)
    await call(store)
  }
}

function acceptStep(it: AcceptRequest): Step {
  return async (model, store) => {
    const expected = model.accept(it)
    expect(await store.accept(it)).toEqual(expected)
  }
}

function limitsStep(it: StoreLimits): Step {
  return async (model, store) => {
    model.limits = it
    store.setLimits(it)
  }
}

function readStep([name, afterSeq, limit]: [string, number, number]): Step {
  return async (model, store) => {
    const expected = model.readQueue(name, afterSeq, limit, NOW)
    expect(await store.readQueue(name, afterSeq, limit, NOW)).toEqual(expected)
  }
}

/** Stored state has no order. */
function sorted(state: Awaited<ReturnType<Store['open']>>): unknown {
  const by = (name: string) => (a: object, b: object) =>
    String((a as Record<string, unknown>)[name]) < String((b as Record<string, unknown>)[name]) ? -1 : 1
  return {
    sessions: state.sessions.toSorted(by('key')),
    retained: state.retained.toSorted(by('topic')),
    wills: state.wills.toSorted(by('sessionKey')),
  }
}
