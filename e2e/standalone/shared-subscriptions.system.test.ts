import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { describe, expect, it } from 'vitest'
import { createSqliteStore } from '../../broker/store/sqlite-store.ts'
import { device } from '../../test-support/hub-state.ts'
import type { MqttClient } from '../../test-support/mqtt-client.ts'
import { startBroker, type TestBroker } from '../../test-support/start-broker.ts'
import { makeTempDir } from '../../test-support/temp-dir.ts'
import { waitUntil } from '../../test-support/wait.ts'

// `$share/<group>/<filter>` as MQTT 5 §4.8.2 has it.

const COUNT = 60
const texts = (client: MqttClient | undefined) => client?.messages.map(({ text }) => text) ?? []

async function connectAll(broker: TestBroker, options: Parameters<TestBroker['connect']>[1] = {}) {
  const clients: MqttClient[] = []
  for (const one of broker.state.devices.slice(1)) clients.push(await broker.connect(one, options))
  return clients
}

async function publishAll(broker: TestBroker, topic = 'a/b', qos: 0 | 1 | 2 = 1): Promise<string[]> {
  const pub = await broker.connect(broker.state.devices[0]!)
  const sent = Array.from({ length: COUNT }, (_, i) => `${topic} ${i}`)
  for (const text of sent) await pub.publish(topic, text, { qos })
  return sent
}

const devices = (count: number) => Array.from({ length: count }, () => device())

describe('a shared subscription', () => {
  it.each([0, 1, 2] as const)('gives each message of QoS %i to one member, in turns', async (qos) => {
    await using broker = await startBroker({ devices: devices(4) })
    const members = await connectAll(broker)
    for (const member of members) await member.subscribe('$share/g/a/+', 2)
    const sent = await publishAll(broker, 'a/b', qos)
    await waitUntil('all messages', () => members.flatMap(texts).length >= COUNT)
    await delay(20)
    expect(members.flatMap(texts).toSorted()).toEqual(sent.toSorted())
    for (const member of members) expect(member.messages).toHaveLength(COUNT / 3)
    expect(members[0]?.messages[0]).toMatchObject({ topic: 'a/b', qos })
  })

  it('gives every group its copy, and a subscription that is not shared another one', async () => {
    await using broker = await startBroker({ devices: devices(4) })
    const [a, b, both] = await connectAll(broker)
    await a?.subscribe('$share/one/#', 1)
    await b?.subscribe('$share/two/a/b', 1)
    await both?.subscribe(['$share/one/#', 'a/b'], 1)
    const sent = await publishAll(broker)
    await waitUntil('all copies', () => [a, b, both].flatMap(texts).length === COUNT * 3)
    expect(texts(b)).toEqual(sent)
    expect(new Set(texts(both))).toEqual(new Set(sent))
    expect(texts(a)).toHaveLength(COUNT / 2)
  })

  it('prefers members with a link, and queues for one that is stored when there is none', async () => {
    const store = createSqliteStore(join(makeTempDir('shared'), 'hub.db'))
    await using broker = await startBroker({ devices: devices(3) }, { store })
    const [first, second] = await connectAll(broker, { clean: false })
    for (const member of [first, second]) await member?.subscribe('$share/g/#', 1)
    await first?.disconnect()
    const sent = await publishAll(broker)
    expect(await second?.waitForMessages(COUNT)).toHaveLength(COUNT)
    await second?.disconnect()
    const queued = await publishAll(broker, 'later')
    const back = await connectAll(broker, { clean: false })
    await waitUntil('all messages', () => back.flatMap(texts).length >= COUNT)
    expect(texts(second)).toEqual(sent)
    expect(back.flatMap(texts).toSorted()).toEqual(queued.toSorted())
    for (const member of back) expect(member.messages).toHaveLength(COUNT / 2)
  })

  it('goes on after a restart, without a word from its members', async () => {
    const path = join(makeTempDir('shared'), 'hub.db')
    const all = devices(3)
    {
      await using broker = await startBroker({ devices: all }, { store: createSqliteStore(path) })
      for (const member of await connectAll(broker, { clean: false })) await member.subscribe('$share/g/#', 1)
    }
    await using broker = await startBroker({ devices: all }, { store: createSqliteStore(path) })
    const members = await connectAll(broker, { clean: false })
    const sent = await publishAll(broker)
    await waitUntil('all messages', () => members.flatMap(texts).length >= COUNT)
    expect(members.flatMap(texts).toSorted()).toEqual(sent.toSorted())
  })

  it('ends with UNSUBSCRIBE and with the session', async () => {
    await using broker = await startBroker({ devices: devices(4) })
    const [stays, unsubscribes, leaves] = await connectAll(broker)
    for (const member of [stays, unsubscribes, leaves]) await member?.subscribe('$share/g/#', 1)
    await unsubscribes?.unsubscribe('$share/g/#')
    await leaves?.disconnect()
    const sent = await publishAll(broker)
    await stays?.waitForMessages(COUNT)
    expect(texts(stays)).toEqual(sent)
    expect(texts(unsubscribes)).toEqual([])
    await stays?.unsubscribe('$share/g/#')
    await (await broker.connect(broker.state.devices[3]!)).publish('a', 'nobody', { qos: 1 })
    await stays?.ping()
    expect(texts(stays)).toEqual(sent)
  })

  it('passes a message over members whose filters forbid its topic', async () => {
    const [pub, open, closed] = devices(3) as [
      ReturnType<typeof device>,
      ReturnType<typeof device>,
      ReturnType<typeof device>,
    ]
    closed.filters.subscribe = { policy: 'Reject', topics: ['secret'] }
    await using broker = await startBroker({ devices: [pub, open, closed] })
    const [mayAll, mayNotSecret] = await connectAll(broker)
    await mayAll?.subscribe('$share/g/+', 1)
    expect(await mayNotSecret?.subscribe('$share/g/secret', 1)).toEqual([0x80])
    await mayNotSecret?.subscribe('$share/g/other', 1)
    const sent = await publishAll(broker, 'secret')
    await mayAll?.waitForMessages(COUNT)
    expect(texts(mayAll)).toEqual(sent)
    expect(texts(mayNotSecret)).toEqual([])
  })

  it('brings no retained messages, and nothing that starts with $ to a wildcard', async () => {
    await using broker = await startBroker({ devices: devices(2) })
    const pub = await broker.connect(broker.state.devices[0]!)
    await pub.publish('a', 'kept', { qos: 1, retain: true })
    const [member] = await connectAll(broker)
    await member?.subscribe('$share/g/#', 1)
    await pub.publish('$forbidden', 'event', { qos: 1 })
    await pub.publish('a', 'live', { qos: 1 })
    await member?.waitForMessages(1)
    expect(texts(member)).toEqual(['live'])
  })

  it('is there for MQTT 5 clients by the default of CONNACK, with its identifier', async () => {
    await using broker = await startBroker({ devices: devices(2) })
    const [, one] = broker.state.devices
    const member = await broker.open({ version: 5 })
    const connack = await member.connect({ clientId: one!.id })
    expect(connack.properties?.sharedSubscriptionAvailable ?? true).toBe(true)
    expect(await member.subscribe('$share/g/a', 1, { subscriptionIdentifier: 7 })).toEqual([1])
    await (await broker.connect(broker.state.devices[0]!)).publish('a', 'x', { qos: 1 })
    const [message] = await member.waitForMessages(1)
    expect(message?.properties.subscriptionIdentifier).toEqual(7)
  })

  it('with No Local is a protocol error [MQTT-3.8.3-4]', async () => {
    await using broker = await startBroker({ devices: devices(2) })
    const [member] = await connectAll(broker, { version: 5 })
    member?.send({
      cmd: 'subscribe',
      messageId: 1,
      subscriptions: [{ topic: '$share/g/a', qos: 1, nl: true }],
    })
    expect((await member?.waitFor('disconnect'))?.reasonCode).toBe(0x82)
  })
})
