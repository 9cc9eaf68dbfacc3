import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { describe, expect, it } from 'vitest'
import { createMemoryStore } from '../../broker/store/memory-store.ts'
import { createSqliteStore } from '../../broker/store/sqlite-store.ts'
import type { AcceptResult, Store } from '../../broker/store/store.ts'
import { device } from '../../test-support/hub-state.ts'
import type { MqttClient } from '../../test-support/mqtt-client.ts'
import { startBroker } from '../../test-support/start-broker.ts'
import { makeTempDir } from '../../test-support/temp-dir.ts'
import { waitUntil } from '../../test-support/wait.ts'

/** The same store, every `accept` answered later by a time that varies, but in order, as the contract says. */
function withLag(store: Store): Store {
  let last: Promise<unknown> = Promise.resolve()
  let n = 0
  return {
    ...wrap(store),
    accept(request) {
      const answer = Promise.resolve(store.accept(request))
      const lagMs = (n++ * 7) % 4
      const next = Promise.all([answer, last, delay(lagMs)]).then(([result]) => result)
      last = next.catch(() => {})
      return next
    },
  }
}

/** Methods bound to the store, so that some can be replaced whatever it is made of. */
function wrap(store: Store): Store {
  return {
    open: (limits) => store.open(limits),
    setLimits: (limits) => store.setLimits(limits),
    accept: (request) => store.accept(request),
    putSession: (session) => store.putSession(session),
    deleteSession: (key) => store.deleteSession(key),
    readQueue: (key, afterSeq, limit, now) => store.readQueue(key, afterSeq, limit, now),
    release: (key, seq) => store.release(key, seq),
    acknowledge: (key, seq) => store.acknowledge(key, seq),
    forgetIncoming: (key, packetId) => store.forgetIncoming(key, packetId),
    putWill: (will) => store.putWill(will),
    deleteWill: (key) => store.deleteWill(key),
    routes: () => store.routes(),
    close: () => store.close(),
  }
}

const STORES: Record<string, () => Store> = {
  memory: () => createMemoryStore(),
  'memory that lags': () => withLag(createMemoryStore()),
  SQLite: () => createSqliteStore(join(makeTempDir('sqlite'), 'hub.db')),
}

const TOTAL = 1_000

async function publishMixed(client: MqttClient, name: string): Promise<void> {
  const acknowledged: Promise<number>[] = []
  for (let i = 0; i < TOTAL; i++) {
    client.sendPublish('t/one', `zero ${i}`)
    acknowledged.push(client.publish('t/one', `${name} one ${i}`, { qos: 1 }))
    acknowledged.push(client.publish('t/two', `${name} two ${i}`, { qos: 2 }))
    // Bursts with pauses, so that acknowledgements and new messages cross in many ways.
    if (i % 50 === 49) await delay(1)
  }
  await Promise.all(acknowledged)
}

const expected = (name: string) => Array.from({ length: TOTAL }, (_, i) => `${name} ${i}`)

describe.each(Object.entries(STORES))(
  '1,000 QoS 1 messages amid QoS 0 and QoS 2 with %s store',
  (_, make) => {
    it('all reach overlapping, clean and persistent, present and absent subscribers, each in order', async () => {
      const [publisher, clean, persistent, absent] = [device(), device(), device(), device()]
      await using broker = await startBroker(
        { devices: [publisher, clean, persistent, absent] },
        { store: make() },
      )
      const subscribers: Record<string, MqttClient> = {
        clean: await broker.connect(clean),
        persistent: await broker.connect(persistent, { clean: false }),
      }
      for (const client of Object.values(subscribers)) {
        await client.subscribe([
          { topic: 't/#', qos: 2 },
          { topic: 't/one', qos: 1 },
          { topic: '+/two', qos: 2 },
        ])
      }
      const gone = await broker.connect(absent, { clean: false })
      await gone.subscribe(['t/one', 't/two'], 2)
      await gone.disconnect()

      await publishMixed(await broker.connect(publisher), 'm')
      subscribers['absent'] = await broker.connect(absent, { clean: false })

      for (const client of Object.values(subscribers)) {
        const unique = (prefix: string) => [
          ...new Set(client.messages.map((m) => m.text).filter((text) => text.startsWith(prefix))),
        ]
        await waitUntil(
          'all messages',
          () => unique('m one').length === TOTAL && unique('m two').length === TOTAL,
          { timeoutMs: 30_000 },
        )
        expect(unique('m one')).toEqual(expected('m one'))
        expect(unique('m two')).toEqual(expected('m two'))
      }
    })
  },
)

describe('an acknowledgement', () => {
  it.each([1, 2] as const)('of QoS %i leaves only after the message is stored', async (qos) => {
    const [publisher, absent] = [device(), device()]
    const store = createMemoryStore()
    const held: (() => void)[] = []
    let holding = false
    await using broker = await startBroker(
      { devices: [publisher, absent] },
      {
        store: {
          ...wrap(store),
          accept(request) {
            if (!holding) return store.accept(request)
            const gate = new Promise<void>((resolve) => held.push(resolve))
            return gate.then(() => store.accept(request))
          },
        },
      },
    )
    const sub = await broker.connect(absent, { clean: false })
    await sub.subscribe('a', 2)
    await sub.disconnect()
    const pub = await broker.connect(publisher, { clean: false })

    holding = true
    pub.sendPublish('a', 'x', { qos, packetId: 5 })
    await waitUntil('the store is asked', () => held.length > 0)
    const ack = pub.waitFor(qos === 1 ? 'puback' : 'pubrec')
    expect(await Promise.race([ack, delay(200)])).toBeUndefined()
    for (const release of held) release()
    expect((await ack).messageId).toBe(5)
  })

  it('never leaves when the store fails, and the broker goes on', async () => {
    const [publisher, absent, other] = [device(), device(), device()]
    const store = createMemoryStore()
    let failing = false
    const fail = (): Promise<AcceptResult> => Promise.reject(new Error('disk full'))
    await using broker = await startBroker(
      { devices: [publisher, absent, other] },
      { store: { ...wrap(store), accept: (request) => (failing ? fail() : store.accept(request)) } },
    )
    const sub = await broker.connect(absent, { clean: false })
    await sub.subscribe('a', 2)
    await sub.disconnect()
    const pub = await broker.connect(publisher)
    failing = true
    pub.sendPublish('a', 'lost?', { qos: 1, packetId: 5 })
    const outcome = await Promise.race([
      pub.waitFor('puback', undefined, 500).then(
        () => 'acknowledged',
        () => 'silence',
      ),
      pub.closed.then(() => 'closed'),
    ])
    expect(['silence', 'closed']).toContain(outcome)
    failing = false
    await (await broker.connect(other)).ping()
  })
})

describe('a restart on the same SQLite store', () => {
  it('keeps sessions, their queues and retained messages', async () => {
    const [publisher, absent] = [device(), device()]
    const path = join(makeTempDir('sqlite'), 'hub.db')
    {
      await using broker = await startBroker(
        { devices: [publisher, absent] },
        { store: createSqliteStore(path) },
      )
      const sub = await broker.connect(absent, { clean: false })
      await sub.subscribe('a/#', 1)
      await sub.disconnect()
      const pub = await broker.connect(publisher)
      await pub.publish('a/1', 'queued', { qos: 1 })
      await pub.publish('kept', 'retained', { qos: 1, retain: true })
    }
    await using broker = await startBroker(
      { devices: [publisher, absent] },
      { store: createSqliteStore(path) },
    )
    const client = await broker.open()
    const connack = await client.connect({ clientId: absent.id, clean: false })
    expect(connack.sessionPresent).toBe(true)
    expect((await client.waitForMessages(1))[0]).toMatchObject({ topic: 'a/1', text: 'queued' })
    await client.subscribe('kept')
    expect((await client.waitForMessages(2))[1]).toMatchObject({ topic: 'kept', retain: true })
  })
})
