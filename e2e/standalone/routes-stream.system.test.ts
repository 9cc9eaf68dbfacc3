import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { createMemoryStore } from '../../broker/store/memory-store.ts'
import { createSqliteStore } from '../../broker/store/sqlite-store.ts'
import type { Store } from '../../broker/store/store.ts'
import type { RouteEntry } from '../../contract/route-stream.ts'
import { BrokerProcess } from '../../test-support/broker-process.ts'
import { device, hub, hubState, network, route } from '../../test-support/hub-state.ts'
import { type MqttClient, openMqtt } from '../../test-support/mqtt-client.ts'
import { startBroker } from '../../test-support/start-broker.ts'
import { makeTempDir } from '../../test-support/temp-dir.ts'
import { waitUntil } from '../../test-support/wait.ts'

// What a broker puts into the streams of routes, for workers to deliver: spec §4.1 and §4 of the design.

const one = { delivery: { partitions: 1 } }
const textsOf = (entries: readonly RouteEntry[]) => entries.map(({ payload }) => payload.toString())

/** Everything that waits in partition 0. */
async function readAll(store: Store, routeId: string): Promise<RouteEntry[]> {
  const found: RouteEntry[] = []
  for (;;) {
    const after = found.at(-1)?.position
    const signal = AbortSignal.timeout(10_000)
    const page = await store
      .routes()
      .read(
        { routeId, partition: 0 },
        { limit: 1000, waitMs: 0, signal, ...(after === undefined ? {} : { after }) },
      )
    if (page.length === 0) return found
    found.push(...page)
  }
}

const STORES: Record<string, () => Store> = {
  memory: () => createMemoryStore(),
  SQLite: () => createSqliteStore(join(makeTempDir('routes'), 'hub.db')),
}

describe.each(Object.entries(STORES))('with the %s store, a published message', (_, make) => {
  it.each([1, 2] as const)('is in the stream before its acknowledgement at QoS %i', async (qos) => {
    const [pub, taken] = [device(), route({ topic: 'a/+', spec: one })]
    const store = make()
    await using broker = await startBroker({ devices: [pub], routes: [taken] }, { store })
    const client = await broker.connect(pub, { version: 5 })
    const before = Date.now()
    const reasonCode = await client.publish('a/b', 'x', { qos })
    const entries = await readAll(store, taken.id)
    expect(entries).toMatchObject([
      { topic: 'a/b', payload: Buffer.from('x'), qos, retain: false, deviceId: pub.id },
    ])
    expect(entries[0]!.time).toBeGreaterThanOrEqual(before)
    expect(entries[0]!.time).toBeLessThanOrEqual(Date.now())
    expect(entries[0]!.id).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/)
    // A route counts as a subscriber: 0x10 would say that nobody wants the message.
    expect(reasonCode).toBe(0)
  })

  it('is taken at every QoS, in the order of its publisher, with its content type and retain flag', async () => {
    const [pub, taken] = [device(), route({ spec: one })]
    const store = make()
    await using broker = await startBroker({ devices: [pub], routes: [taken] }, { store })
    const client = await broker.connect(pub, { version: 5 })
    const expected = Array.from({ length: 300 }, (_, i) => `m${i}`)
    const acknowledged = expected.map((text, i) => {
      const qos = (i % 3) as 0 | 1 | 2
      if (qos > 0) return client.publish('t', text, { qos })
      client.sendPublish('t', text)
      return undefined
    })
    await Promise.all(acknowledged)
    await client.publish('last', '{}', {
      qos: 1,
      retain: true,
      properties: { contentType: 'application/json' },
    })
    const entries = await readAll(store, taken.id)
    expect(textsOf(entries)).toEqual([...expected, '{}'])
    expect(entries.at(-1)).toMatchObject({ retain: true, contentType: 'application/json' })
    expect(new Set(entries.map(({ id }) => id)).size).toBe(301)
  })

  it('enters once at QoS 2, however often its client sends it', async () => {
    const [pub, taken] = [device(), route({ spec: one })]
    const store = make()
    await using broker = await startBroker({ devices: [pub], routes: [taken] }, { store })
    const first = await broker.connect(pub, { clean: false, autoAck: false })
    first.sendPublish('t', 'once', { qos: 2, packetId: 7 })
    await first.waitFor('pubrec')
    first.close()
    const again = await broker.connect(pub, { clean: false, autoAck: false })
    again.sendPublish('t', 'once', { qos: 2, packetId: 7, dup: true })
    await again.waitFor('pubrec')
    expect(textsOf(await readAll(store, taken.id))).toEqual(['once'])
  })
})

describe('an acknowledgement', () => {
  it.each([1, 2] as const)('of QoS %i waits for the stream, also without any subscriber', async (qos) => {
    const [pub, taken] = [device(), route({ topic: 'a' })]
    const store = createMemoryStore()
    const accept = store.accept.bind(store)
    let open: () => void = () => {}
    const gate = new Promise<void>((resolve) => {
      open = resolve
    })
    let asked = 0
    store.accept = (request) => {
      asked += 1
      return gate.then(() => accept(request))
    }
    await using broker = await startBroker({ devices: [pub], routes: [taken] }, { store })
    const client = await broker.connect(pub)
    client.sendPublish('a', 'x', { qos, packetId: 5 })
    await waitUntil('the store is asked', () => asked > 0)
    const ack = client.waitFor(qos === 1 ? 'puback' : 'pubrec')
    expect(await Promise.race([ack, delay(150)])).toBeUndefined()
    open()
    expect((await ack).messageId).toBe(5)
  })
})

describe('the origin of a message', () => {
  it('makes no difference: will, token network, event and reply reach the routes that match', async () => {
    const [lost, observed] = [device(), device()]
    const all = route({ id: 'all', topic: '#', spec: one })
    const events = route({ id: 'events', topic: '$hub/events/#', spec: one })
    const store = createMemoryStore()
    await using broker = await startBroker(
      {
        devices: [lost, observed],
        networks: [network({ name: 'rest', token: 'sesame' })],
        routes: [all, events],
      },
      { store, listeners: ['mqtt', 'http'] },
    )
    const will = { topic: 'will', payload: Buffer.from('gone'), qos: 1 as const, retain: false }
    ;(await broker.connect(lost, { will })).close()
    await waitUntil('the will', async () => (await readAll(store, 'all')).length === 1)
    await fetch(`http://127.0.0.1:${broker.port('http')}/networks/rest`, {
      method: 'POST',
      headers: { 'X-Secret': 'sesame', 'X-Topic': 'net' },
      body: 'posted',
    })
    await broker.broker.publishReply({
      topic: 'reply',
      payload: Buffer.from('answer'),
      qos: 1,
      retain: false,
      contentType: 'text/plain',
      trail: ['r1', 'r2'],
    })
    const entries = await readAll(store, 'all')
    expect(entries.map(({ topic, deviceId, trail }) => ({ topic, deviceId, trail }))).toEqual([
      { topic: 'will', deviceId: lost.id, trail: undefined },
      { topic: 'net', deviceId: undefined, trail: undefined },
      { topic: 'reply', deviceId: undefined, trail: ['r1', 'r2'] },
    ])
    expect(entries[2]).toMatchObject({ contentType: 'text/plain', payload: Buffer.from('answer') })

    await (await broker.connect(observed)).publish('$forbidden', 'x', { qos: 1 })
    const [event] = await waitUntil('the event', async () => {
      const found = await readAll(store, 'events')
      return found.length > 0 ? found : undefined
    })
    expect(event).toMatchObject({ topic: `$hub/events/error/device/${observed.id}`, qos: 0 })
    expect(await readAll(store, 'all')).toHaveLength(3)
  })
})

describe('the message filters of devices', () => {
  it('say nothing about routes, which take what nobody may subscribe to', async () => {
    const none = { policy: 'Accept' as const, topics: [] }
    const [pub, taken] = [device({ filters: { subscribe: none } }), route({ topic: '#', spec: one })]
    const store = createMemoryStore()
    await using broker = await startBroker({ devices: [pub], routes: [taken] }, { store })
    await (await broker.connect(pub)).publish('a/b', 'x', { qos: 1 })
    expect(textsOf(await readAll(store, taken.id))).toEqual(['x'])
  })
})

describe('a route whose buffer is full', () => {
  it('counts what it loses, tells it by an event that it does not take itself, and slows nobody', async () => {
    const [pub, sub] = [device(), device()]
    const buffer = { messages: 2, bytes: 100_000, overflow: 'DropOldest' as const }
    const full = route({ name: 'full', topic: '#', spec: { delivery: { partitions: 1, buffer } } })
    const watched = { partitions: 1, buffer: { ...buffer, messages: 1 } }
    const own = route({ name: 'own', topic: '$hub/events/#', spec: { delivery: watched } })
    const other = route({ name: 'other', topic: '$hub/events/#', spec: one })
    const store = createMemoryStore()
    await using broker = await startBroker({ devices: [pub, sub], routes: [full, own, other] }, { store })
    const seen = await broker.connect(sub)
    await seen.subscribe('t')
    const client = await broker.connect(pub)
    for (let i = 0; i < 10; i += 1) await client.publish('t', `m${i}`, { qos: 1 })

    expect(textsOf(await readAll(store, full.id))).toEqual(['m8', 'm9'])
    expect((await seen.waitForMessages(10)).map(({ text }) => text)).toContain('m0')
    // One each second, so there may be two.
    const told = () =>
      broker.events.filter(({ code, objectId }) => code === 'ROUTE_OVERFLOW' && objectId === full.id)
    const lost = () => told().reduce((sum, { detail }) => sum + Number(detail), 0)
    await waitUntil('all losses are told', () => lost() >= 8)
    expect(lost()).toBe(8)
    for (const event of told())
      expect(event).toMatchObject({ objectType: 'route', extra: { 'object-name': 'full' } })
    expect(await broker.broker.metrics()).toMatch(/hublet_messages_dropped_route_total\{[^}]*\} 8\n/)
    const bodies = async (routeId: string) =>
      (await readAll(store, routeId)).map(({ payload }) => JSON.parse(payload.toString())['object-id'])
    expect(await bodies(own.id)).toEqual([full.id])

    // Now its own buffer is full, and what it tells of that goes to everybody else.
    await client.publish('$forbidden', 'x', { qos: 1 })
    await broker.waitForEvent('ROUTE_OVERFLOW', own.id)
    await waitUntil('the event', async () => (await bodies(other.id)).includes(own.id))
    expect(await bodies(own.id)).not.toContain(own.id)
  })
})

describe('routes that come, change and go', () => {
  it('take from the next message on, and no link is disturbed', async () => {
    const pub = device()
    const store = createMemoryStore()
    await using broker = await startBroker({ devices: [pub] }, { store })
    const client = await broker.connect(pub)
    await client.publish('t', 'none', { qos: 1 })
    const added = route({ topic: 't', spec: one })
    const set = (...routes: (typeof added)[]) => broker.change((state) => ({ ...state, routes }))
    const publish = async (text: string) => {
      await delay(0)
      await client.publish('t', text, { qos: 1 })
    }
    set(added)
    await publish('taken')
    set({ ...added, enabled: false, spec: { ...added.spec, enabled: false } })
    await publish('disabled')
    set({ ...added, topic: 'u', spec: { ...added.spec, topic: 'u' } })
    await publish('elsewhere')
    set(added)
    await publish('taken again')
    set()
    await publish('gone')
    expect(textsOf(await readAll(store, added.id))).toEqual(['taken', 'taken again'])
    await client.ping()
    expect(broker.events).toEqual([])
  })
})

describe('a reply of a destination', () => {
  const base = { topic: 'reply', payload: Buffer.from('x'), qos: 1 as const, retain: false, trail: ['r'] }
  const REFUSED: Record<string, [Partial<Parameters<typeof publishWith>[0]>, string]> = {
    'to a topic with a wildcard': [{ topic: 'a/#' }, 'INVALID_TOPIC'],
    'to no topic': [{ topic: '' }, 'INVALID_TOPIC'],
    'to a topic that starts with $': [{ topic: '$SYS/x' }, 'UNAUTHORIZED_TOPIC'],
    'to the events of the hub': [{ topic: 'ops/events/error/x' }, 'UNAUTHORIZED_TOPIC'],
    'that is too large': [{ payload: Buffer.alloc(1001) }, 'PAYLOAD_TOO_LARGE'],
    'at a QoS that the hub does not have': [{ qos: 2 }, 'PUBLISH_QOS_FORBIDDEN'],
    'after more than eight others': [{ trail: [...'12345678', 'r'] }, 'ROUTE_LOOP'],
  }
  const strict = () =>
    hub({
      limits: { payloadBytes: 1000 },
      messaging: { maxQoS: 1 },
      events: { topicPrefix: 'ops/events' },
    })

  async function publishWith(
    reply: Parameters<Awaited<ReturnType<typeof startBroker>>['broker']['publishReply']>[0],
  ) {
    const store = createMemoryStore()
    const taken = route({ id: 'all', topic: '#', spec: one })
    await using broker = await startBroker({ hub: strict(), routes: [taken] }, { store })
    const verdict = await broker.broker.publishReply(reply)
    return { verdict, events: [...broker.events], entries: await readAll(store, 'all') }
  }

  it.each(Object.entries(REFUSED))(
    '%s is refused, with an event about its route',
    async (_, [extra, code]) => {
      const { verdict, events, entries } = await publishWith({ ...base, ...extra })
      expect(verdict).toMatchObject({ allowed: false, code })
      expect(events).toMatchObject([{ code, objectType: 'route', objectId: 'r' }])
      // The event itself is taken, as its prefix is an ordinary topic here, but nothing of the reply.
      expect(entries.filter(({ topic }) => !topic.startsWith('ops/events/'))).toEqual([])
    },
  )

  it('after eight others is the last one', async () => {
    const { verdict, entries } = await publishWith({ ...base, trail: [...'12345678'] })
    expect(verdict.allowed).toBe(true)
    expect(entries).toMatchObject([{ topic: 'reply', trail: [...'12345678'] }])
  })

  it('reaches subscribers, and is retained when asked', async () => {
    const sub = device()
    await using broker = await startBroker({ devices: [sub] })
    await broker.broker.publishReply({ ...base, retain: true })
    const client = await broker.connect(sub)
    await client.subscribe('reply', 1)
    expect(await client.waitForMessages(1)).toMatchObject([{ topic: 'reply', text: 'x', retain: true }])
  })
})

describe('a broker that is killed with SIGKILL at any moment', () => {
  /** ms from the first acknowledgement to the kill. */
  const DELAYS = fc.sample(fc.integer({ min: 0, max: 150 }), { seed: 20_261_123, numRuns: 8 })

  /** Publishes at QoS 1 and 2, some at a time, until the link is cut; tells what was acknowledged. */
  async function publishUntilCut(client: MqttClient, round: number, onFirst: () => void): Promise<string[]> {
    const acknowledged: string[] = []
    let next = 0
    const loop = async () => {
      for (;;) {
        const text = `${round}/${next++}`
        await client.publish(`t/${next % 5}`, text, { qos: next % 2 === 0 ? 1 : 2 })
        if (acknowledged.push(text) === 1) onFirst()
      }
    }
    await Promise.allSettled(Array.from({ length: 8 }, loop))
    return acknowledged
  }

  it('has every acknowledged message in the stream, once, in the order of its topic', async () => {
    const path = join(makeTempDir('routes'), 'hub.db')
    const [pub, taken] = [device(), route({ spec: one })]
    const acknowledged: string[] = []
    for (const [round, delayMs] of DELAYS.entries()) {
      await using broker = new BrokerProcess()
      await broker.start(hubState({ devices: [pub], routes: [taken] }), ['mqtt'], path)
      const client = await openMqtt({ port: broker.port('mqtt') })
      await client.connect({ clientId: pub.id })
      const killed = Promise.withResolvers<void>()
      const publishing = publishUntilCut(client, round, () => {
        setTimeout(() => void broker.kill().then(killed.resolve), delayMs)
      })
      await killed.promise
      client.close()
      acknowledged.push(...(await publishing))
    }
    const store = createSqliteStore(path)
    await store.open({ queueMessages: 10, queueBytes: 1000, queueOverflow: 'DropOldest' })
    const entries = await readAll(store, taken.id)
    const { messages } = await store.routes().backlog(taken.id)
    await store.close()
    const texts = textsOf(entries)
    expect(acknowledged.length).toBeGreaterThan(100)
    const found = new Set(texts)
    expect(acknowledged.filter((text) => !found.has(text))).toEqual([])
    expect(found.size).toBe(texts.length)
    expect(messages).toBe(texts.length)
    for (const topic of new Set(entries.map((entry) => entry.topic))) {
      const order = entries.filter((entry) => entry.topic === topic).map(({ payload }) => payload.toString())
      expect(order).toEqual(order.toSorted((a, b) => numberOf(a) - numberOf(b)))
    }
  })

  const numberOf = (text: string) => {
    const [round, n] = text.split('/').map(Number)
    return round! * 1e6 + n!
  }
})
