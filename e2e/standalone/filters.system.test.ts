import { describe, expect, it } from 'vitest'
import type { FilterRule } from '../../contract/hub-state.ts'
import { device } from '../../test-support/hub-state.ts'
import { mosquittoPub, mosquittoSub } from '../../test-support/mosquitto.ts'
import { startBroker } from '../../test-support/start-broker.ts'
import { waitUntil } from '../../test-support/wait.ts'

// Message filters (accept or reject, publish or subscribe) as their devices meet them.

const accept = (...topics: string[]): FilterRule => ({ policy: 'Accept', topics })
const reject = (...topics: string[]): FilterRule => ({ policy: 'Reject', topics })

interface PublishCase {
  rule: FilterRule
  passes: string[]
  dropped: string[]
}

const PUBLISH_CASES: Record<string, PublishCase> = {
  'accept, an exact topic': {
    rule: accept('a/b'),
    passes: ['a/b'],
    dropped: ['a', 'a/c', 'a/b/c', 'A/b', '/a/b'],
  },
  'accept, one level': { rule: accept('a/+'), passes: ['a/b', 'a/'], dropped: ['a', 'a/b/c', 'b/a'] },
  'accept, a level in the middle': { rule: accept('a/+/c'), passes: ['a/x/c'], dropped: ['a/c', 'a/x/y/c'] },
  'accept, all levels': { rule: accept('a/#'), passes: ['a', 'a/b', 'a/b/c'], dropped: ['b', 'ab'] },
  'accept, several entries': { rule: accept('a/+', 'b/#'), passes: ['a/x', 'b/x/y'], dropped: ['c'] },
  'accept, nothing': { rule: accept(), passes: [], dropped: ['a', 'a/b'] },
  'reject, an exact topic': { rule: reject('a/b'), passes: ['a', 'a/c', 'a/b/c'], dropped: ['a/b'] },
  'reject, one level': { rule: reject('a/+'), passes: ['a', 'a/b/c'], dropped: ['a/b', 'a/'] },
  'reject, all levels': { rule: reject('a/#'), passes: ['b', 'ab'], dropped: ['a', 'a/b', 'a/b/c'] },
  'reject, overlapping entries': { rule: reject('a/#', '+/b'), passes: ['c/d'], dropped: ['a/x', 'c/b'] },
  'reject, nothing': { rule: reject(), passes: ['a', 'a/b/c'], dropped: [] },
}

describe('a publish filter', () => {
  it.each(Object.entries(PUBLISH_CASES))('%s: drops what it must and keeps the link', async (_, row) => {
    const sensor = device({ filters: { publish: row.rule } })
    const observer = device()
    await using broker = await startBroker({ devices: [sensor, observer] })
    const seen = await broker.connect(observer)
    await seen.subscribe('#')
    const client = await broker.connect(sensor)

    const topics = [...row.dropped, ...row.passes]
    for (const qos of [0, 1, 2] as const) {
      for (const topic of topics) expect(await client.publish(topic, `qos ${qos}`, { qos })).toBe(0)
    }
    await client.ping()
    await seen.publish('the end', 'by the observer')
    await seen.waitForMessages(1, (message) => message.topic === 'the end')

    const expected = [0, 1, 2].flatMap((qos) => row.passes.map((topic) => `${topic} qos ${qos}`))
    expect(seen.messages.slice(0, -1).map(({ topic, text }) => `${topic} ${text}`)).toEqual(expected)
    const refused = broker.events.filter((event) => event.code === 'UNAUTHORIZED_TOPIC')
    expect(refused.map((event) => event.detail)).toEqual([0, 1, 2].flatMap(() => row.dropped))
    expect(new Set(refused.map((event) => event.objectId))).toEqual(
      new Set(row.dropped.length > 0 ? [sensor.id] : []),
    )
  })

  it('answers a rejected MQTT 5 publish with reason code 0x87 and keeps the link', async () => {
    const sensor = device({ filters: { publish: accept('a') } })
    await using broker = await startBroker({ devices: [sensor] })
    const client = await broker.connect(sensor, { version: 5 })
    expect(await client.publish('b', 'x', { qos: 1 })).toBe(0x87)
    expect(await client.publish('b', 'x', { qos: 2 })).toBe(0x87)
    expect(await client.publish('a', 'x', { qos: 1 })).toBeLessThan(0x80)
  })

  it('keeps a rejected retained message out of the retained ones, and a rejected clearing too', async () => {
    const sensor = device({ filters: { publish: reject('locked') } })
    const owner = device()
    await using broker = await startBroker({ devices: [sensor, owner] })
    const client = await broker.connect(sensor)
    const keeper = await broker.connect(owner)
    await keeper.publish('locked', 'kept', { qos: 1, retain: true })

    await client.publish('locked', 'forged', { qos: 1, retain: true })
    await client.publish('locked', '', { qos: 1, retain: true })

    await keeper.subscribe('locked')
    const [message] = await keeper.waitForMessages(1)
    expect(message?.text).toBe('kept')
  })

  it('lets mosquitto_pub finish normally though its message was dropped', async () => {
    const sensor = device({ filters: { publish: accept('mine/#') } })
    const observer = device()
    await using broker = await startBroker({ devices: [sensor, observer] })
    const port = broker.port('mqtt')
    await using seen = await mosquittoSub({ port, clientId: observer.id, topics: '#' })
    const pub = { port, clientId: sensor.id, payload: 'x', qos: 2 as const }
    expect((await mosquittoPub({ ...pub, topic: 'yours' })).code).toBe(0)
    expect((await mosquittoPub({ ...pub, topic: 'mine/1' })).code).toBe(0)
    expect((await seen.waitForMessages(1)).map((message) => message.topic)).toEqual(['mine/1'])
  })
})

interface SubscribeCase {
  rule: FilterRule
  granted: string[]
  denied: string[]
  /** Topics that must never be delivered whatever was granted. */
  hidden?: string[]
  /** Topics that a granted filter matches and that must come. */
  shown: string[]
}

const SUBSCRIBE_CASES: Record<string, SubscribeCase> = {
  'accept, an exact topic': {
    rule: accept('a/b'),
    granted: ['a/b'],
    denied: ['a/+', 'a/#', '#', '+/b'],
    shown: ['a/b'],
  },
  'accept, one level': {
    rule: accept('a/+'),
    granted: ['a/b', 'a/+'],
    denied: ['a/#', '+/b', '+/+', '#', 'a'],
    shown: ['a/b', 'a/x'],
  },
  'accept, all levels': {
    rule: accept('a/#'),
    granted: ['a', 'a/#', 'a/+/c', 'a/b/#'],
    denied: ['#', '+', '+/b', 'b'],
    shown: ['a', 'a/b', 'a/b/c'],
  },
  'accept, everything': { rule: accept('#'), granted: ['#', '+/a', 'a'], denied: [], shown: ['a', 'b/c'] },
  'accept, nothing': { rule: accept(), granted: [], denied: ['a', '#', '+'], shown: [] },
  'reject, an exact topic': {
    rule: reject('a/b'),
    granted: ['a/+', '#', 'a/c'],
    denied: ['a/b'],
    hidden: ['a/b'],
    shown: ['a/c', 'b'],
  },
  'reject, one level': {
    rule: reject('a/+'),
    granted: ['a/#', '+/b', '#'],
    denied: ['a/b', 'a/+'],
    hidden: ['a/b', 'a/x'],
    shown: ['a', 'a/b/c', 'c/b'],
  },
  'reject, all levels': {
    rule: reject('a/#'),
    granted: ['#', '+/b', 'b'],
    denied: ['a', 'a/b', 'a/#', 'a/+/c'],
    hidden: ['a', 'a/b'],
    shown: ['b', 'c/b'],
  },
  'reject, everything': { rule: reject('#'), granted: [], denied: ['a', '#', '+/b'], shown: [] },
  'reject, nothing': { rule: reject(), granted: ['#', 'a'], denied: [], shown: ['a', 'b'] },
}

describe('a subscribe filter', () => {
  it.each(Object.entries(SUBSCRIBE_CASES))('%s: grants, denies and hides', async (_, row) => {
    const display = device({ filters: { subscribe: row.rule } })
    const source = device()
    await using broker = await startBroker({ devices: [display, source] })
    const filters = [...row.granted, ...row.denied]
    const verdicts = (denied: number) => [...row.granted.map(() => 1), ...row.denied.map(() => denied)]

    // All in one SUBSCRIBE, which answers each filter on its own.
    const client = await broker.connect(display)
    expect(await client.subscribe(filters, 1)).toEqual(verdicts(0x80))
    const refused = broker.events.filter((event) => event.code === 'UNAUTHORIZED_TOPIC')
    expect(refused.map((event) => event.detail)).toEqual(row.denied)

    const publisher = await broker.connect(source)
    for (const topic of [...(row.hidden ?? []), ...row.shown]) await publisher.publish(topic, 'x', { qos: 1 })
    for (const topic of row.shown) await client.waitForMessages(1, (message) => message.topic === topic)
    await client.ping()
    const topics = new Set(client.messages.map((message) => message.topic))
    expect(topics).toEqual(new Set(row.shown))
    await client.disconnect()

    const modern = await broker.connect(display, { version: 5 })
    expect(await modern.subscribe(filters, 1)).toEqual(verdicts(0x87))
  })

  it('refuses a malformed filter by itself and says why', async () => {
    const display = device()
    await using broker = await startBroker({ devices: [display] })
    const client = await broker.connect(display)
    expect(await client.subscribe(['a', 'b'], 1)).toEqual([1, 1])
    const bad = await broker.connect(display)
    bad.send({ cmd: 'subscribe', messageId: 9, subscriptions: [{ topic: 'a/#/b', qos: 0 }] })
    const outcome = await Promise.race([
      bad.waitFor('suback').then((suback) => Number(suback.granted[0])),
      bad.closed.then(() => 'closed'),
    ])
    expect([0x80, 'closed']).toContain(outcome)
    await waitUntil('an event', () => broker.events.some((event) => event.code !== 'CONNECTION_REPLACED'))
  })
})

describe('a persistent session', () => {
  it('never stores a filter that was denied beside granted ones', async () => {
    const display = device({ filters: { subscribe: accept('ok/#') } })
    const source = device()
    await using broker = await startBroker({ devices: [display, source] })
    const first = await broker.connect(display, { clean: false })
    expect(await first.subscribe(['ok/1', 'secret/1', 'ok/+', 'secret/#'], 1)).toEqual([1, 0x80, 1, 0x80])
    await first.disconnect()

    const publisher = await broker.connect(source)
    await publisher.publish('secret/1', 'TOP SECRET', { qos: 1 })
    await publisher.publish('ok/1', 'fine', { qos: 1 })

    // Even a rule that is opened meanwhile must not bring back what was asked for and denied.
    broker.changeDevice(display.id, (record) => ({
      ...record,
      filters: { ...record.filters, subscribe: reject() },
    }))
    const again = await broker.connect(display, { clean: false })
    await again.waitForMessages(1, (message) => message.topic === 'ok/1')
    await publisher.publish('secret/1', 'TOP SECRET', { qos: 1 })
    await publisher.publish('ok/1', 'the end', { qos: 1 })
    await again.waitForMessages(1, (message) => message.text === 'the end')
    expect(again.messages.map((message) => message.topic)).not.toContain('secret/1')
  })

  it('is judged by the filters of the moment when it is restored', async () => {
    const display = device()
    const source = device()
    await using broker = await startBroker({ devices: [display, source] })
    const first = await broker.connect(display, { clean: false })
    await first.subscribe(['secret', 'open/#', '+/key'], 1)
    await first.disconnect()
    const publisher = await broker.connect(source)
    await publisher.publish('secret', 'queued before the change', { qos: 1 })

    broker.changeDevice(display.id, (record) => ({
      ...record,
      filters: { ...record.filters, subscribe: reject('secret', 'house/key') },
    }))
    for (const topic of ['secret', 'house/key', 'open/1']) {
      await publisher.publish(topic, 'queued after', { qos: 1 })
    }
    const again = await broker.connect(display, { clean: false })
    for (const topic of ['secret', 'house/key', 'car/key']) await publisher.publish(topic, 'live', { qos: 1 })

    await again.waitForMessages(1, (message) => message.topic === 'car/key')
    expect(again.messages.map(({ topic, text }) => `${topic} ${text}`)).toEqual([
      'open/1 queued after',
      'car/key live',
    ])
  })
})

describe('a change of the filters', () => {
  it('takes effect on a live link within 2 s and cuts nobody', async () => {
    const both = device()
    const source = device()
    await using broker = await startBroker({ devices: [both, source] })
    const client = await broker.connect(both)
    await client.subscribe('#')
    const publisher = await broker.connect(source)
    await publisher.subscribe('from/client')

    broker.changeDevice(both.id, (record) => ({
      ...record,
      filters: { publish: reject('from/client'), subscribe: reject('news') },
    }))
    await waitUntil(
      'the new filters hold',
      async () => {
        const before = client.messages.length
        await publisher.publish('news', 'x', { qos: 1 })
        await publisher.publish('mark', 'x', { qos: 1 })
        const mark = await client.waitForMessages(before + 1)
        return mark.slice(before).every((message) => message.topic === 'mark')
      },
      { timeoutMs: 2_000 },
    )
    publisher.messages.length = 0
    await client.publish('from/client', 'dropped', { qos: 1 })
    await publisher.ping()
    expect(publisher.messages).toEqual([])
    expect(client.isClosed).toBe(false)
  })
})

describe('a will', () => {
  it('on a topic that the filter rejects is never published', async () => {
    const sensor = device({ filters: { publish: accept('mine/#') } })
    const observer = device()
    await using broker = await startBroker({ devices: [sensor, observer] })
    const seen = await broker.connect(observer)
    await seen.subscribe('#')
    const will = (topic: string) => ({ will: { topic, payload: Buffer.from('gone'), qos: 1 as const } })

    const forbidden = await broker.open()
    const connack = await forbidden
      .connect({ clientId: sensor.id, ...will('yours/x') })
      .catch(() => undefined)
    forbidden.close()
    await broker.waitForEvent('UNAUTHORIZED_TOPIC', sensor.id)
    // Refused at CONNECT, so that a device learns of it while it can still be told.
    expect(connack?.returnCode).toBe(5)

    const allowed = await broker.connect(sensor, will('mine/x'))
    allowed.close()
    const [message] = await seen.waitForMessages(1)
    expect(message).toMatchObject({ topic: 'mine/x', text: 'gone' })
    expect(seen.messages).toHaveLength(1)
  })

  it('is judged again when it fires', async () => {
    const sensor = device()
    const observer = device()
    await using broker = await startBroker({ devices: [sensor, observer] })
    const seen = await broker.connect(observer)
    await seen.subscribe('#')
    const will = { topic: 'status', payload: Buffer.from('gone'), qos: 1 as const }
    const client = await broker.connect(sensor, { will })
    broker.changeDevice(sensor.id, (record) => ({
      ...record,
      filters: { ...record.filters, publish: reject('status') },
    }))
    client.close()
    await broker.waitForEvent('UNAUTHORIZED_TOPIC', sensor.id)
    await seen.publish('the end', '')
    await seen.waitForMessages(1)
    expect(seen.messages.map((message) => message.topic)).toEqual(['the end'])
  })

  it.each(['$SYS/x', '$hub/events/error/device/x', 'a/+', 'a/#'])('on %s is refused', async (topic) => {
    const sensor = device()
    await using broker = await startBroker({ devices: [sensor] })
    const client = await broker.open()
    const will = { topic, payload: Buffer.from('x') }
    const connack = await client.connect({ clientId: sensor.id, will }).catch(() => undefined)
    expect(connack?.returnCode ?? 'closed').not.toBe(0)
    await waitUntil('an event', () => broker.events.length > 0)
  })
})

describe('a filter with a template that cannot be expanded', () => {
  it('closes its direction, leaves the other open and raises an event', async () => {
    const broken = device({
      filters: { publish: accept(), subscribe: reject() },
      templateErrors: ['publish: {{ device.serial }} is not known'],
    })
    const observer = device()
    await using broker = await startBroker({ devices: [broken, observer] })
    const seen = await broker.connect(observer)
    await seen.subscribe('#')
    const client = await broker.connect(broken)
    await broker.waitForEvent('FILTER_TEMPLATE', broken.id)
    expect(await client.subscribe('news', 1)).toEqual([1])
    await client.publish('anything', 'x', { qos: 1 })
    await seen.publish('news', 'x', { qos: 1 })
    await client.waitForMessages(1)
    expect(seen.messages.map((message) => message.topic)).toEqual(['news'])
  })
})
