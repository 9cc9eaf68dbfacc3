import { describe, expect, it } from 'vitest'
import { device } from '../../test-support/hub-state.ts'
import { mosquittoPub, mosquittoSub } from '../../test-support/mosquitto.ts'
import { startBroker } from '../../test-support/start-broker.ts'
import { waitUntil } from '../../test-support/wait.ts'

// A hub tells about itself on <prefix>/<severity>/<object type>/<object id>.

const watcher = (prefix = '$hub/events') =>
  device({ filters: { subscribe: { policy: 'Accept', topics: ['#', `${prefix}/#`] } } })

describe('hub events', () => {
  it('show the mTLS error when a device that denies insecure links connects on the plain port', async () => {
    const [locked, observer] = [device({ allowInsecure: false }), watcher()]
    await using broker = await startBroker({ devices: [locked, observer] })
    const port = broker.port('mqtt')
    const topics = '$hub/events/error/#'
    await using sub = await mosquittoSub({ port, clientId: observer.id, topics })

    const refused = await mosquittoPub({ port, clientId: locked.id, topic: 'a', payload: 'x' })

    expect(refused.code).not.toBe(0)
    const [event] = await sub.waitForMessages(1)
    expect(event?.topic).toBe(`$hub/events/error/device/${locked.id}`)
    const body = JSON.parse(event?.text ?? '') as Record<string, string>
    expect(body).toMatchObject({
      severity: 'error',
      'object-type': 'device',
      'object-id': locked.id,
      msg: 'mutual TLS authentication is required',
      code: 'MTLS_REQUIRED',
    })
    expect(body['time']).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/)
    expect(body['packet']).toMatch(/^CONNECT: dup: false qos: 0 retain: false rLength: \d+$/)
  })

  it('of a rejected publish hold a digest of the packet and no payload', async () => {
    const sensor = device({ filters: { publish: { policy: 'Accept', topics: [] } } })
    const observer = watcher()
    await using broker = await startBroker({ devices: [sensor, observer] })
    const seen = await broker.connect(observer)
    await seen.subscribe('$hub/events/#')
    const client = await broker.connect(sensor)
    await client.publish('secret/place', 'the payload itself', { qos: 1 })
    const [event] = await seen.waitForMessages(1)
    const body = JSON.parse(event?.text ?? '') as Record<string, string>
    expect(body).toMatchObject({ code: 'UNAUTHORIZED_TOPIC', msg: 'unauthorized topic secret/place' })
    expect(body['packet']).toMatch(/^PUBLISH: dup: false qos: 1 retain: false rLength: \d+$/)
    expect(event?.text).not.toContain('the payload itself')
    expect(event).toMatchObject({ qos: 0, retain: false })
  })

  it.each([
    '$hub/events/error/device/x',
    '$hub/events',
    '$hub/other',
    '$SYS/broker/clients',
    '$share/group/a',
    '$anything',
  ])('and other topics of the hub cannot be forged: %s', async (topic) => {
    const [forger, observer] = [device(), watcher()]
    await using broker = await startBroker({ devices: [forger, observer] })
    const seen = await broker.connect(observer)
    await seen.subscribe(['$hub/#', '#', '$hub/events/#', topic])
    const client = await broker.connect(forger)
    for (const qos of [0, 1, 2] as const) await client.publish(topic, 'forged', { qos, retain: true })
    await client.ping()
    await seen.publish('the end', '')
    await seen.waitForMessages(1, (message) => message.topic === 'the end')
    expect(seen.messages.filter((message) => message.text === 'forged')).toEqual([])
    expect(
      broker.events.filter((event) => event.code === 'UNAUTHORIZED_TOPIC').length,
    ).toBeGreaterThanOrEqual(3)
  })

  it('under a prefix without a dollar sign cannot be forged either', async () => {
    const [forger, observer] = [device(), watcher('ops/events')]
    await using broker = await startBroker({ devices: [forger, observer] })
    broker.change((state) => ({
      ...state,
      hub: { ...state.hub, events: { enabled: true, topicPrefix: 'ops/events' } },
    }))
    const seen = await broker.connect(observer)
    await seen.subscribe('ops/#')
    const client = await broker.connect(forger)
    await client.publish('ops/events/error/device/x', 'forged', { qos: 1 })
    const [event] = await seen.waitForMessages(1)
    expect(event?.topic).toBe(`ops/events/error/device/${forger.id}`)
    expect(JSON.parse(event?.text ?? '')).toMatchObject({ code: 'UNAUTHORIZED_TOPIC' })
    expect(seen.messages).toHaveLength(1)
  })

  it('need an Accept entry that starts with $hub to be subscribed to', async () => {
    const plain = device()
    const everything = device({ filters: { subscribe: { policy: 'Accept', topics: ['#'] } } })
    const allowed = watcher()
    await using broker = await startBroker({ devices: [plain, everything, allowed] })
    const filters = ['$hub/events/#', '$hub/events/error/device/+', '$SYS/#', '$SYS/broker/clients']
    const asked = async (record: typeof plain) => await (await broker.connect(record)).subscribe(filters)
    expect(await asked(plain)).toEqual([0x80, 0x80, 0x80, 0x80])
    expect(await asked(everything)).toEqual([0x80, 0x80, 0x80, 0x80])
    expect(await asked(allowed)).toEqual([0, 0, 0x80, 0x80])
  })

  it('fall silent when they are switched off and come back when switched on', async () => {
    const [sensor, observer] = [device({ filters: { publish: { policy: 'Accept', topics: [] } } }), watcher()]
    await using broker = await startBroker({ devices: [sensor, observer] })
    const enable = (enabled: boolean) =>
      broker.change((state) => ({
        ...state,
        hub: { ...state.hub, events: { ...state.hub.events, enabled } },
      }))
    const seen = await broker.connect(observer)
    await seen.subscribe(['$hub/events/#', 'the end'])
    const client = await broker.connect(sensor)

    enable(false)
    await client.publish('refused/1', 'x', { qos: 1 })
    enable(true)
    await client.publish('refused/2', 'x', { qos: 1 })
    await seen.waitForMessages(1)
    expect(seen.messages.map((message) => JSON.parse(message.text).msg)).toEqual([
      'unauthorized topic refused/2',
    ])
  })

  it('follow a change of their prefix', async () => {
    const sensor = device({ filters: { publish: { policy: 'Accept', topics: [] } } })
    const observer = device({
      filters: { subscribe: { policy: 'Accept', topics: ['$hub/events/#', 'plant/log/#'] } },
    })
    await using broker = await startBroker({ devices: [sensor, observer] })
    const seen = await broker.connect(observer)
    await seen.subscribe(['$hub/events/#', 'plant/log/#'])
    const client = await broker.connect(sensor)
    await client.publish('a', 'x', { qos: 1 })
    broker.change((state) => ({
      ...state,
      hub: { ...state.hub, events: { enabled: true, topicPrefix: 'plant/log' } },
    }))
    await client.publish('a', 'x', { qos: 1 })
    const messages = await seen.waitForMessages(2)
    expect(messages.map((message) => message.topic)).toEqual([
      `$hub/events/error/device/${sensor.id}`,
      `plant/log/error/device/${sensor.id}`,
    ])
  })

  it('are limited to their rate and summed up beyond it', async () => {
    const sensor = device({ filters: { publish: { policy: 'Accept', topics: [] } } })
    const observer = watcher()
    await using broker = await startBroker({ devices: [sensor, observer] })
    broker.change((state) => ({
      ...state,
      hub: { ...state.hub, limits: { ...state.hub.limits, eventsPerSecond: 10 } },
    }))
    const seen = await broker.connect(observer)
    await seen.subscribe('$hub/events/#')
    const client = await broker.connect(sensor)
    for (let i = 0; i < 500; i++) client.sendPublish('refused', 'x')
    await client.ping()
    const codes = () => seen.messages.map((message) => JSON.parse(message.text).code as string)
    await waitUntil('the sum', () => codes().includes('EVENTS_SUPPRESSED'))
    expect(codes().filter((code) => code === 'UNAUTHORIZED_TOPIC').length).toBeLessThan(60)
    expect(broker.events.filter((event) => event.code === 'UNAUTHORIZED_TOPIC')).toHaveLength(500)
  })

  it('of the service level name the rule that was broken', async () => {
    const sensor = device()
    await using broker = await startBroker({ devices: [sensor] })
    broker.change((state) => ({
      ...state,
      hub: {
        ...state.hub,
        messaging: { ...state.hub.messaging, retained: false, maxQoS: 1, persistentSessions: false },
        limits: { ...state.hub.limits, payloadBytes: 100 },
      },
    }))
    const refused = await broker.open()
    expect((await refused.connect({ clientId: sensor.id, clean: false })).returnCode).toBe(5)
    await broker.waitForEvent('CLEAN_SESSION_REQUIRED', sensor.id)

    const client = await broker.connect(sensor)
    expect(await client.subscribe('a', 2)).toEqual([0x80])
    await broker.waitForEvent('SUBSCRIBE_QOS_FORBIDDEN', sensor.id)
    client.sendPublish('a', 'x', { retain: true })
    await broker.waitForEvent('RETAINED_FORBIDDEN', sensor.id)

    const second = await broker.connect(sensor)
    second.sendPublish('a', 'x', { qos: 2 })
    await broker.waitForEvent('PUBLISH_QOS_FORBIDDEN', sensor.id)

    const third = await broker.connect(sensor)
    third.sendPublish('a', 'x'.repeat(101))
    await third.closed
    await broker.waitForEvent('PAYLOAD_TOO_LARGE', sensor.id)
  })
})
