import { setTimeout as delay } from 'node:timers/promises'
import { describe, expect, it } from 'vitest'
import { device } from '../../test-support/hub-state.ts'
import { mosquittoPub, mosquittoSub } from '../../test-support/mosquitto.ts'
import { startBroker, type TestBroker } from '../../test-support/start-broker.ts'
import { waitUntil } from '../../test-support/wait.ts'

// What an MQTT 5 client may count on. Section numbers are of the OASIS standard 5.0.

async function twoClients(broker: TestBroker) {
  const [first, second] = broker.state.devices
  if (first === undefined || second === undefined) throw new Error('two devices needed')
  return {
    pub: await broker.connect(first, { version: 5 }),
    sub: await broker.connect(second, { version: 5 }),
  }
}

const pair = async (): Promise<TestBroker> => await startBroker({ devices: [device(), device()] })

describe('an MQTT 5 CONNECT', () => {
  it.each([
    ['an unknown device', { clientId: '11111111-2222-4333-8444-555555555555' }, 0x86],
    ['no device at all', { clientId: '' }, 0x86],
  ])('of %s is refused with its reason code', async (_, options, code) => {
    await using broker = await pair()
    const client = await broker.open({ version: 5 })
    expect((await client.connect(options)).reasonCode).toBe(code)
    await client.closed
  })

  it('of a device that needs mTLS is refused as not authorized', async () => {
    const locked = device({ allowInsecure: false })
    await using broker = await startBroker({ devices: [locked] })
    const client = await broker.open({ version: 5 })
    expect((await client.connect({ clientId: locked.id })).reasonCode).toBe(0x87)
  })

  it('is answered with the limits that hold, where they differ from the default', async () => {
    await using broker = await startBroker({ devices: [device()] })
    broker.change((state) => ({
      ...state,
      hub: {
        ...state.hub,
        messaging: { ...state.hub.messaging, maxQoS: 1, retained: false, sessionExpirySeconds: 60 },
      },
    }))
    const client = await broker.open({ version: 5 })
    const [record] = broker.state.devices
    const connack = await client.connect({
      clientId: record?.id ?? '',
      properties: { sessionExpiryInterval: 3_600 },
    })
    expect(connack.reasonCode).toBe(0)
    expect(connack.properties?.maximumQoS).toBe(1)
    // mqtt-packet reads the byte as a boolean in some versions and as a number in others.
    expect(Number(connack.properties?.retainAvailable)).toBe(0)
    expect(connack.properties?.sessionExpiryInterval).toBe(60)
    expect(connack.properties?.maximumPacketSize).toBeGreaterThan(0)
  })

  it('of a protocol level that does not exist is refused and told why', async () => {
    await using broker = await pair()
    const client = await broker.open()
    // MQTT, level 9, clean, no keep-alive, empty id.
    client.sendBytes(Buffer.from([0x10, 12, 0, 4, 77, 81, 84, 84, 9, 2, 0, 0, 0, 0]))
    await client.closed
    await broker.waitForEvent('UNSUPPORTED_PROTOCOL')
  })
})

describe('a session expiry', () => {
  it('of zero ends the session with the link, though clean start was off', async () => {
    await using broker = await pair()
    const [record] = broker.state.devices
    const present = async () => {
      const client = await broker.open({ version: 5 })
      const connack = await client.connect({ clientId: record?.id ?? '', clean: false })
      await client.disconnect()
      return connack.sessionPresent
    }
    expect(await present()).toBe(false)
    expect(await present()).toBe(false)
  })

  it('keeps the session and its queue until it passes', async () => {
    await using broker = await pair()
    const [receiver, sender] = broker.state.devices
    const connect = async (clean: boolean, sessionExpiryInterval: number) => {
      const client = await broker.open({ version: 5 })
      const options = { clientId: receiver?.id ?? '', clean, properties: { sessionExpiryInterval } }
      return { client, present: (await client.connect(options)).sessionPresent }
    }
    const first = await connect(true, 600)
    await first.client.subscribe('a', 1)
    first.client.close()
    const pub = await broker.connect(sender ?? device(), { version: 5 })
    await pub.publish('a', 'queued', { qos: 1 })

    const second = await connect(false, 1)
    expect(second.present).toBe(true)
    expect((await second.client.waitForMessages(1))[0]?.text).toBe('queued')
    await second.client.disconnect()
    await delay(1_300)
    expect((await connect(false, 1)).present).toBe(false)
  })

  it('can be changed by the DISCONNECT', async () => {
    await using broker = await pair()
    const [record] = broker.state.devices
    const open = async () => {
      const client = await broker.open({ version: 5 })
      const properties = { sessionExpiryInterval: 600 }
      const connack = await client.connect({ clientId: record?.id ?? '', clean: false, properties })
      return { client, present: connack.sessionPresent }
    }
    const first = await open()
    first.client.send({ cmd: 'disconnect', reasonCode: 0, properties: { sessionExpiryInterval: 0 } })
    await first.client.closed
    expect((await open()).present).toBe(false)
  })
})

describe('a message', () => {
  it('carries its properties to MQTT 5 subscribers unchanged and to others not at all', async () => {
    await using broker = await startBroker({ devices: [device(), device(), device()] })
    const { pub, sub } = await twoClients(broker)
    const third = broker.state.devices[2]
    const old = await broker.connect(third ?? device())
    await sub.subscribe('a', 1)
    await old.subscribe('a', 1)
    const properties = {
      payloadFormatIndicator: true,
      contentType: 'application/json',
      responseTopic: 'answers/1',
      correlationData: Buffer.from([0, 1, 255]),
      userProperties: { colour: ['red', 'blue'], size: 'xl' },
    }
    await pub.publish('a', '{}', { qos: 1, properties })
    const [message] = await sub.waitForMessages(1)
    expect(message?.properties).toMatchObject(properties)
    expect((await old.waitForMessages(1))[0]?.text).toBe('{}')
  })

  it('that has expired is not delivered; one that has not tells the time that is left', async () => {
    await using broker = await pair()
    const [receiver, sender] = broker.state.devices
    const first = await broker.connect(receiver ?? device(), { clean: false })
    await first.subscribe('a', 1)
    await first.disconnect()
    const pub = await broker.connect(sender ?? device(), { version: 5 })
    await pub.publish('a', 'short', { qos: 1, properties: { messageExpiryInterval: 1 } })
    await pub.publish('a', 'long', { qos: 1, properties: { messageExpiryInterval: 600 } })
    await pub.publish('r', 'short', { qos: 1, retain: true, properties: { messageExpiryInterval: 1 } })
    await delay(1_300)

    const again = await broker.connect(receiver ?? device(), {
      version: 5,
      clean: false,
      properties: { sessionExpiryInterval: 60 },
    })
    await again.subscribe('r', 1)
    const [message] = await again.waitForMessages(1)
    expect(message?.text).toBe('long')
    expect(message?.properties.messageExpiryInterval).toBeGreaterThan(590)
    expect(message?.properties.messageExpiryInterval).toBeLessThan(600)
    await again.ping()
    expect(again.messages).toHaveLength(1)
  })

  it('without a subscriber is acknowledged with 0x10 or plain success', async () => {
    await using broker = await pair()
    const { pub } = await twoClients(broker)
    expect([0, 0x10]).toContain(await pub.publish('nobody/listens', 'x', { qos: 1 }))
  })
})

describe('a subscription', () => {
  it('identifier comes back with each message, all of them on overlap', async () => {
    await using broker = await pair()
    const { pub, sub } = await twoClients(broker)
    await sub.subscribe('a/#', 1, { subscriptionIdentifier: 7 })
    await sub.subscribe('a/b', 1, { subscriptionIdentifier: 300_000 })
    await pub.publish('a/c', 'x', { qos: 1 })
    await pub.publish('a/b', 'x', { qos: 1 })
    await pub.publish('a/end', 'x', { qos: 1 })
    await sub.waitForMessages(1, (message) => message.topic === 'a/end')
    const idsOf = (topic: string) =>
      sub.messages
        .filter((message) => message.topic === topic)
        .flatMap((message) => message.properties.subscriptionIdentifier ?? [])
        .sort()
    expect(idsOf('a/c')).toEqual([7])
    expect(idsOf('a/b')).toEqual([300_000, 7])
  })

  it('with no local does not bring a client its own messages', async () => {
    await using broker = await pair()
    const { pub, sub } = await twoClients(broker)
    await sub.subscribe([{ topic: 'a', qos: 1, nl: true, rap: false, rh: 0 }])
    await sub.publish('a', 'own', { qos: 1 })
    await pub.publish('a', 'other', { qos: 1 })
    await sub.waitForMessages(1)
    expect(sub.messages.map((message) => message.text)).toEqual(['other'])
  })

  it('with retain as published keeps the flag of live messages', async () => {
    await using broker = await pair()
    const { pub, sub } = await twoClients(broker)
    await sub.subscribe([{ topic: 'a', qos: 1, nl: false, rap: true, rh: 0 }])
    await pub.publish('a', 'kept', { qos: 1, retain: true })
    await pub.publish('a', 'not kept', { qos: 1 })
    const messages = await sub.waitForMessages(2)
    expect(messages.map((message) => message.retain)).toEqual([true, false])
  })

  it.each([
    ['0: always', 0, 2],
    ['1: only when it is new', 1, 1],
    ['2: never', 2, 0],
  ])('with retain handling %s sends retained messages', async (_, rh, expected) => {
    await using broker = await pair()
    const { pub, sub } = await twoClients(broker)
    await pub.publish('a', 'kept', { qos: 1, retain: true })
    for (let i = 0; i < 2; i++) {
      await sub.subscribe([{ topic: 'a', qos: 1, nl: false, rap: false, rh }])
      await sub.ping()
    }
    await pub.publish('a', 'live', { qos: 1 })
    await sub.waitForMessages(1, (message) => message.text === 'live')
    expect(sub.messages.filter((message) => message.text === 'kept')).toHaveLength(expected)
  })
})

describe('flow control', () => {
  it('never has more unacknowledged messages on the way than the receive maximum', async () => {
    await using broker = await pair()
    const [receiver, sender] = broker.state.devices
    const sub = await broker.connect(receiver ?? device(), {
      version: 5,
      autoAck: false,
      properties: { receiveMaximum: 3 },
    })
    await sub.subscribe('a', 1)
    const pub = await broker.connect(sender ?? device(), { version: 5 })
    for (let i = 0; i < 10; i++) await pub.publish('a', String(i), { qos: 1 })
    await sub.ping()
    expect(sub.messages).toHaveLength(3)
    for (let i = 0; i < 10; i++) {
      const next = (await sub.waitForMessages(i + 1))[i]
      sub.send({ cmd: 'puback', messageId: next?.packetId ?? 0 })
    }
    expect(sub.messages.map((message) => message.text)).toEqual(
      Array.from({ length: 10 }, (_, i) => String(i)),
    )
  })

  it('does not send a packet larger than the client takes', async () => {
    await using broker = await pair()
    const [receiver, sender] = broker.state.devices
    const sub = await broker.connect(receiver ?? device(), {
      version: 5,
      properties: { maximumPacketSize: 200 },
    })
    await sub.subscribe('a', 1)
    const pub = await broker.connect(sender ?? device(), { version: 5 })
    await pub.publish('a', 'x'.repeat(1_000), { qos: 1 })
    await pub.publish('a', 'small', { qos: 1 })
    const messages = await sub.waitForMessages(1)
    expect(messages.map((message) => message.text)).toEqual(['small'])
  })
})

describe('a topic alias', () => {
  it('of a publisher stands for the topic it was set with', async () => {
    await using broker = await pair()
    const [sender, receiver] = broker.state.devices
    const sub = await broker.connect(receiver ?? device(), { version: 5 })
    await sub.subscribe('#', 1)
    const pub = await broker.open({ version: 5 })
    const connack = await pub.connect({ clientId: sender?.id ?? '' })
    const maximum = connack.properties?.topicAliasMaximum ?? 0
    expect(maximum).toBeGreaterThan(0)
    await pub.publish('a/long/topic', 'one', { qos: 1, properties: { topicAlias: 1 } })
    await pub.publish('', 'two', { qos: 1, properties: { topicAlias: 1 } })
    const messages = await sub.waitForMessages(2)
    expect(messages.map(({ topic, text }) => [topic, text])).toEqual([
      ['a/long/topic', 'one'],
      ['a/long/topic', 'two'],
    ])
    for (const message of messages) expect(message.properties.topicAlias).toBeUndefined()
  })

  it('is checked against the filter every time', async () => {
    const sender = device({ filters: { publish: { policy: 'Reject', topics: ['secret'] } } })
    const receiver = device()
    await using broker = await startBroker({ devices: [sender, receiver] })
    const sub = await broker.connect(receiver, { version: 5 })
    await sub.subscribe('#', 1)
    const pub = await broker.connect(sender, { version: 5 })
    expect(await pub.publish('secret', 'x', { qos: 1, properties: { topicAlias: 1 } })).toBe(0x87)
    expect(await pub.publish('', 'x', { qos: 1, properties: { topicAlias: 1 } })).toBe(0x87)
    await pub.publish('open', 'x', { qos: 1 })
    await sub.waitForMessages(1)
    expect(sub.messages.map((message) => message.topic)).toEqual(['open'])
  })

  it('that was never set closes the link', async () => {
    await using broker = await pair()
    const { pub } = await twoClients(broker)
    pub.sendPublish('', 'x', { properties: { topicAlias: 5 } })
    await pub.closed
    await waitUntil('an event', () => broker.events.length > 0)
  })
})

/** Long enough to come back in, on a machine that is busy. */
const DELAY_SECONDS = 2

describe('the mosquitto clients at MQTT 5', () => {
  it('exchange a message with a delayed will behind it', async () => {
    await using broker = await pair()
    const [sender, receiver] = broker.state.devices
    const port = broker.port('mqtt')
    const version = 'mqttv5' as const
    await using sub = await mosquittoSub({ port, version, clientId: receiver?.id ?? '', topics: '#', qos: 2 })
    const args = [
      '-D',
      'publish',
      'user-property',
      'unit',
      'celsius',
      '-D',
      'connect',
      'session-expiry-interval',
      '5',
    ]
    const access = { port, version, clientId: sender?.id ?? '', topic: 'a', payload: '21', args }
    expect((await mosquittoPub({ ...access, qos: 2 })).code).toBe(0)
    expect((await sub.waitForMessages(1))[0]).toMatchObject({ topic: 'a', text: '21', qos: 2 })
  })

  it('a will delay holds the will back and a quick return cancels it', async () => {
    await using broker = await pair()
    const [sensor, observer] = broker.state.devices
    const seen = await broker.connect(observer ?? device())
    await seen.subscribe('#')
    const options = {
      version: 5 as const,
      clean: false,
      properties: { sessionExpiryInterval: 60 },
      will: {
        topic: 'status',
        payload: Buffer.from('gone'),
        properties: { willDelayInterval: DELAY_SECONDS },
      },
    }
    const first = await broker.connect(sensor ?? device(), options)
    first.close()
    const second = await broker.connect(sensor ?? device(), options)
    await delay(DELAY_SECONDS * 1_000 + 300)
    expect(seen.messages).toEqual([])
    const started = performance.now()
    second.close()
    expect((await seen.waitForMessages(1))[0]?.text).toBe('gone')
    expect(performance.now() - started).toBeGreaterThan(DELAY_SECONDS * 1_000 - 100)
  })
})
