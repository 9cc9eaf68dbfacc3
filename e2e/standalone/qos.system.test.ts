import { describe, expect, it } from 'vitest'
import { device } from '../../test-support/hub-state.ts'
import { mosquittoPub, mosquittoSub } from '../../test-support/mosquitto.ts'
import { startBroker } from '../../test-support/start-broker.ts'
import { waitUntil } from '../../test-support/wait.ts'

const QOS = [0, 1, 2] as const
const PAIRS = QOS.flatMap((published) => QOS.map((subscribed) => ({ published, subscribed })))

describe('quality of service', () => {
  it.each(PAIRS)('published at $published, subscribed at $subscribed: the lower one', async (row) => {
    const [sender, receiver] = [device(), device()]
    await using broker = await startBroker({ devices: [sender, receiver] })
    const port = broker.port('mqtt')
    const { published, subscribed } = row
    await using sub = await mosquittoSub({ port, clientId: receiver.id, topics: 'a/+', qos: subscribed })
    const sent = await mosquittoPub({
      port,
      clientId: sender.id,
      topic: 'a/b',
      payload: Buffer.from([0, 255, 10, 13]),
      qos: published,
    })
    expect(sent.code).toBe(0)
    const [message] = await sub.waitForMessages(1)
    expect(message).toMatchObject({ topic: 'a/b', qos: Math.min(published, subscribed), retain: false })
    expect(message?.payload).toEqual(Buffer.from([0, 255, 10, 13]))
  })

  it('of a wildcard subscription limits the delivery too', async () => {
    const [sender, receiver] = [device(), device()]
    await using broker = await startBroker({ devices: [sender, receiver] })
    const sub = await broker.connect(receiver)
    expect(await sub.subscribe('a/+', 1)).toEqual([1])
    const pub = await broker.connect(sender)
    await pub.publish('a/b', 'x', { qos: 2 })
    const [message] = await sub.waitForMessages(1)
    expect(message?.qos).toBe(1)
  })

  it('of overlapping subscriptions is the highest that was granted', async () => {
    const [sender, receiver] = [device(), device()]
    await using broker = await startBroker({ devices: [sender, receiver] })
    const sub = await broker.connect(receiver)
    await sub.subscribe([
      { topic: 'a/#', qos: 0 },
      { topic: 'a/b', qos: 1 },
      { topic: '+/b', qos: 0 },
    ])
    const pub = await broker.connect(sender)
    await pub.publish('a/b', 'x', { qos: 2 })
    await pub.publish('a/end', 'x', { qos: 2 })
    await sub.waitForMessages(1, (message) => message.topic === 'a/end')
    const copies = sub.messages.filter((message) => message.topic === 'a/b')
    expect(Math.max(...copies.map((message) => message.qos))).toBe(1)
  })

  it('2 delivers once although the publisher repeats its PUBLISH', async () => {
    const [sender, receiver] = [device(), device()]
    await using broker = await startBroker({ devices: [sender, receiver] })
    const sub = await broker.connect(receiver)
    await sub.subscribe('a', 2)
    const pub = await broker.connect(sender, { clean: false })
    pub.sendPublish('a', 'once', { qos: 2, packetId: 7 })
    await pub.waitFor('pubrec')
    pub.sendPublish('a', 'once', { qos: 2, packetId: 7, dup: true })
    await pub.waitFor('pubrec')
    pub.close()

    const again = await broker.connect(sender, { clean: false })
    again.sendPublish('a', 'once', { qos: 2, packetId: 7, dup: true })
    await again.waitFor('pubrec')
    again.send({ cmd: 'pubrel', messageId: 7 })
    await again.waitFor('pubcomp')
    await again.publish('a', 'the end', { qos: 2, packetId: 7 })
    await sub.waitForMessages(1, (message) => message.text === 'the end')
    expect(sub.messages.map((message) => message.text)).toEqual(['once', 'the end'])
  })

  it('1 and 2 are sent again on a resumed session until acknowledged', async () => {
    const [sender, receiver] = [device(), device()]
    await using broker = await startBroker({ devices: [sender, receiver] })
    const mute = await broker.connect(receiver, { clean: false, autoAck: false })
    await mute.subscribe('a', 2)
    const pub = await broker.connect(sender)
    await pub.publish('a', 'one', { qos: 1 })
    await pub.publish('a', 'two', { qos: 2 })
    await mute.waitForMessages(2)
    mute.close()

    const again = await broker.connect(receiver, { clean: false })
    const messages = await again.waitForMessages(2)
    expect(messages.map(({ text, qos, dup }) => [text, qos, dup])).toEqual([
      ['one', 1, true],
      ['two', 2, true],
    ])
    await again.disconnect()
    const third = await broker.connect(receiver, { clean: false })
    await pub.publish('a', 'three', { qos: 1 })
    await third.waitForMessages(1)
    expect(third.messages.map((message) => message.text)).toEqual(['three'])
  })
})

describe('a persistent session', () => {
  it('keeps QoS 1 and 2 for a mosquitto_sub that is away', async () => {
    const [sender, receiver] = [device(), device()]
    await using broker = await startBroker({ devices: [sender, receiver] })
    const port = broker.port('mqtt')
    const access = { port, clientId: receiver.id, topics: 'a/#', qos: 2 as const, args: ['-c'] }
    await (await mosquittoSub(access)).stop()

    for (const [text, qos] of [
      ['1', 1],
      ['2', 2],
      ['3', 0],
      ['4', 1],
    ] as const) {
      await mosquittoPub({ port, clientId: sender.id, topic: 'a/b', payload: text, qos })
    }
    await using sub = await mosquittoSub(access)
    await sub.waitForMessages(3)
    // mosquitto_sub prints a QoS 2 message when its exchange is complete, so others may come before it.
    const kept = sub.messages.filter((message) => message.text !== '3')
    const byText = kept.sort((a, b) => a.text.localeCompare(b.text)).map(({ text, qos }) => [text, qos])
    expect(byText).toEqual([
      ['1', 1],
      ['2', 2],
      ['4', 1],
    ])
  })

  it('is told of by the session present flag and ended by a clean one', async () => {
    const [sender, receiver] = [device(), device()]
    await using broker = await startBroker({ devices: [sender, receiver] })
    const present = async (clean: boolean) => {
      const client = await broker.open()
      const { sessionPresent } = await client.connect({ clientId: receiver.id, clean })
      if (!clean) await client.subscribe('a', 1)
      await client.disconnect()
      return sessionPresent
    }
    expect(await present(false)).toBe(false)
    expect(await present(false)).toBe(true)
    const pub = await broker.connect(sender)
    await pub.publish('a', 'queued', { qos: 1 })
    expect(await present(true)).toBe(false)
    expect(await present(false)).toBe(false)
    const last = await broker.connect(receiver, { clean: false })
    await pub.publish('a', 'new', { qos: 1 })
    const [message] = await last.waitForMessages(1)
    expect(message?.text).toBe('new')
  })

  it('keeps what comes in while it is offline only up to its bound, and counts what was dropped', async () => {
    const [sender, receiver] = [device(), device()]
    await using broker = await startBroker({ devices: [sender, receiver] })
    broker.change((state) => ({
      ...state,
      hub: { ...state.hub, limits: { ...state.hub.limits, queueMessages: 10 } },
    }))
    const first = await broker.connect(receiver, { clean: false })
    await first.subscribe('a', 1)
    await first.disconnect()
    const pub = await broker.connect(sender)
    for (let i = 1; i <= 25; i++) await pub.publish('a', String(i), { qos: 1 })
    const again = await broker.connect(receiver, { clean: false })
    await again.waitForMessages(10)
    expect(again.messages.map((message) => message.text)).toEqual(
      Array.from({ length: 10 }, (_, i) => String(i + 16)),
    )
    await broker.waitForEvent('QUEUE_OVERFLOW')
  })
})

describe('a retained message', () => {
  it('greets new subscribers with the retain flag and reaches live ones without it', async () => {
    const [sender, receiver] = [device(), device()]
    await using broker = await startBroker({ devices: [sender, receiver] })
    const port = broker.port('mqtt')
    const pub = { port, clientId: sender.id, qos: 1 as const, retain: true }
    await mosquittoPub({ ...pub, topic: 'room/1', payload: 'old' })
    await mosquittoPub({ ...pub, topic: 'room/1', payload: 'new' })
    await mosquittoPub({ ...pub, topic: 'room/2', payload: 'gone soon' })
    await mosquittoPub({ ...pub, topic: 'room/2', payload: '' })
    await using sub = await mosquittoSub({ port, clientId: receiver.id, topics: 'room/+', qos: 1 })
    await sub.waitForMessages(1)
    await mosquittoPub({ ...pub, topic: 'room/3', payload: 'live' })
    const messages = await sub.waitForMessages(2)
    expect(messages.map(({ topic, text, retain }) => [topic, text, retain])).toEqual([
      ['room/1', 'new', true],
      ['room/3', 'live', false],
    ])
  })

  it('is not sent for a leading wildcard when its topic starts with a dollar sign', async () => {
    const receiver = device({ filters: { subscribe: { policy: 'Accept', topics: ['#', '$hub/events/#'] } } })
    await using broker = await startBroker({ devices: [receiver] })
    const sub = await broker.connect(receiver)
    await sub.subscribe(['#', '+/events/#'])
    const refused = await broker.open()
    await refused.connect({ clientId: 'nobody' }).catch(() => {})
    await broker.waitForEvent('UNKNOWN_DEVICE')
    await sub.publish('the end', '')
    await sub.waitForMessages(1)
    expect(sub.messages.map((message) => message.topic)).toEqual(['the end'])
  })
})

describe('a will', () => {
  const will = { topic: 'status', payload: Buffer.from('gone'), qos: 1 as const, retain: true }

  it('is published once, and retained, when the link breaks', async () => {
    const [sensor, observer, late] = [device(), device(), device()]
    await using broker = await startBroker({ devices: [sensor, observer, late] })
    const seen = await broker.connect(observer)
    await seen.subscribe('#', 1)
    const client = await broker.connect(sensor, { will })
    client.close()
    expect((await seen.waitForMessages(1))[0]).toMatchObject({ topic: 'status', text: 'gone', qos: 1 })
    const after = await broker.connect(late)
    await after.subscribe('status')
    expect((await after.waitForMessages(1))[0]).toMatchObject({ text: 'gone', retain: true })
    await seen.publish('the end', '')
    await seen.waitForMessages(2)
    expect(seen.messages.map((message) => message.topic)).toEqual(['status', 'the end'])
  })

  it('is published when nothing is heard for one and a half keep-alives', async () => {
    const [sensor, observer] = [device(), device()]
    await using broker = await startBroker({ devices: [sensor, observer] })
    const seen = await broker.connect(observer)
    await seen.subscribe('#', 1)
    await broker.connect(sensor, { will, keepalive: 1 })
    await seen.waitForMessages(1)
    await broker.waitForEvent('KEEPALIVE_TIMEOUT', sensor.id)
  })

  it('is published when the device is disabled or cut for its security', async () => {
    const [sensor, observer] = [device(), device()]
    await using broker = await startBroker({ devices: [sensor, observer] })
    const seen = await broker.connect(observer)
    await seen.subscribe('#', 1)
    const client = await broker.connect(sensor, { will })
    broker.changeDevice(sensor.id, (record) => ({ ...record, allowInsecure: false }))
    await client.closed
    expect((await seen.waitForMessages(1))[0]?.text).toBe('gone')
  })

  it('is forgotten after a DISCONNECT', async () => {
    const [sensor, observer] = [device(), device()]
    await using broker = await startBroker({ devices: [sensor, observer] })
    const seen = await broker.connect(observer)
    await seen.subscribe('#', 1)
    const client = await broker.connect(sensor, { will })
    await client.disconnect()
    await seen.publish('the end', '')
    await seen.waitForMessages(1)
    expect(seen.messages.map((message) => message.topic)).toEqual(['the end'])
  })
})

describe('a client id', () => {
  it('of 36 characters is accepted from an MQTT 3.1 client', async () => {
    const sensor = device()
    await using broker = await startBroker({ devices: [sensor] })
    const access = { port: broker.port('mqtt'), version: 'mqttv31' as const }
    expect(sensor.id).toHaveLength(36)
    const result = await mosquittoPub({ ...access, clientId: sensor.id, topic: 'a', payload: 'x', qos: 1 })
    expect(result.code).toBe(0)
  })

  it('that is empty is generated, different each time, when several connections are allowed', async () => {
    const sensor = device({ allowMultipleConnections: true })
    await using broker = await startBroker({ devices: [sensor] })
    const assigned = new Set<string | undefined>()
    for (let i = 0; i < 3; i++) {
      const client = await broker.open({ version: 5 })
      const connack = await client.connect({ clientId: '', username: sensor.id })
      assigned.add(connack.properties?.assignedClientIdentifier)
      await client.ping()
    }
    expect(assigned.size).toBe(3)
    for (const id of assigned) expect(id).toMatch(/.+/)

    const old = await broker.open({ version: 4 })
    expect((await old.connect({ clientId: '', username: sensor.id })).returnCode).toBe(0)
  })

  it('that is empty with a session to keep is refused as MQTT 3.1.1 says', async () => {
    const sensor = device({ allowMultipleConnections: true })
    await using broker = await startBroker({ devices: [sensor] })
    const client = await broker.open()
    // By hand: the packet library refuses to write it.
    const id = Buffer.from(sensor.id)
    const head = Buffer.from([0x10, 14 + id.length, 0, 4, 77, 81, 84, 84, 4, 0x80, 0, 0, 0, 0, 0, id.length])
    client.sendBytes(Buffer.concat([head, id]))
    expect((await client.waitFor('connack')).returnCode).toBe(2)
  })

  it('of one device cannot be used to reach the session of another', async () => {
    const [alice, bob] = [
      device({ allowMultipleConnections: true }),
      device({ allowMultipleConnections: true }),
    ]
    await using broker = await startBroker({ devices: [alice, bob] })
    const hers = await broker.connect(alice, { clientId: 'shared', username: alice.id, clean: false })
    await hers.subscribe('private', 1)
    const his = await broker.open()
    const connack = await his.connect({ clientId: 'shared', username: bob.id, clean: false })
    expect(connack).toMatchObject({ returnCode: 0, sessionPresent: false })
    await hers.ping()
  })
})

describe('a second connection', () => {
  it('takes the place of the first, which an MQTT 5 client is told', async () => {
    const sensor = device()
    await using broker = await startBroker({ devices: [sensor] })
    const first = await broker.connect(sensor, { version: 5, clientId: 'one', username: sensor.id })
    const second = await broker.connect(sensor, { clientId: 'two', username: sensor.id })
    expect((await first.waitFor('disconnect')).reasonCode).toBe(0x8e)
    await first.closed
    await second.ping()
    await broker.waitForEvent('CONNECTION_REPLACED', sensor.id)
  })

  it('stands beside the first when the device allows several, but not under the same client id', async () => {
    const sensor = device({ allowMultipleConnections: true })
    await using broker = await startBroker({ devices: [sensor] })
    const one = await broker.connect(sensor, { clientId: 'one', username: sensor.id })
    const two = await broker.connect(sensor, { clientId: 'two', username: sensor.id })
    await one.ping()
    const again = await broker.connect(sensor, { clientId: 'two', username: sensor.id })
    await two.closed
    await one.ping()
    await again.ping()
  })

  it('fires the will of the first once', async () => {
    const [sensor, observer] = [device(), device()]
    await using broker = await startBroker({ devices: [sensor, observer] })
    const seen = await broker.connect(observer)
    await seen.subscribe('#')
    const will = { topic: 'status', payload: Buffer.from('gone') }
    const first = await broker.connect(sensor, { will })
    const second = await broker.connect(sensor)
    await first.closed
    await second.publish('the end', '', { qos: 1 })
    await seen.waitForMessages(1, (message) => message.topic === 'the end')
    await waitUntil('the will', () => seen.messages.some((message) => message.topic === 'status'))
    expect(seen.messages).toHaveLength(2)
  })
})
