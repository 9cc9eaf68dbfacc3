import { connectAsync } from 'mqtt'
import { describe, expect, it } from 'vitest'
import { freePort } from '../../test-support/free-port.ts'
import { device, network } from '../../test-support/hub-state.ts'
import { mosquittoPub, mosquittoSub } from '../../test-support/mosquitto.ts'
import { openMqtt } from '../../test-support/mqtt-client.ts'
import { makeCertificate } from '../../test-support/openssl.ts'
import { runProgram } from '../../test-support/run-program.ts'
import { ALL_LISTENERS, startBroker } from '../../test-support/start-broker.ts'

describe('the hub as a platform', () => {
  it('connects devices on every kind of link with each other and with a REST network', async () => {
    const [tcp, tls, ws, wss, sender] = [device(), device(), device(), device(), device()]
    await using broker = await startBroker(
      { devices: [tcp, tls, ws, wss, sender], networks: [network({ name: 'rest', token: 'token' })] },
      { listeners: ALL_LISTENERS },
    )
    const cafile = broker.authority.certPath
    await using plainSub = await mosquittoSub({
      port: broker.port('mqtt'),
      clientId: tcp.id,
      topics: 'news/#',
    })
    await using tlsSub = await mosquittoSub({
      port: broker.port('mqtts'),
      clientId: tls.id,
      topics: 'news/#',
      cafile,
    })
    const received: Record<string, string[]> = { ws: [], wss: [] }
    const browsers = []
    for (const [listener, record] of [
      ['ws', ws],
      ['wss', wss],
    ] as const) {
      const url = `${listener}://localhost:${broker.port(listener)}/mqtt`
      const client = await connectAsync(url, { clientId: record.id, ca: broker.authority.certPem })
      client.on('message', (_, payload) => received[listener]?.push(payload.toString()))
      await client.subscribeAsync('news/#')
      browsers.push(client)
    }

    await mosquittoPub({
      port: broker.port('mqtt'),
      clientId: sender.id,
      topic: 'news/1',
      payload: 'by device',
    })
    const curl = ['-sS', '-X', 'POST', '-H', 'X-Secret: token', '-H', 'X-Topic: news/2', '-d', 'by cloud']
    await runProgram('curl', [...curl, `http://127.0.0.1:${broker.port('http')}/networks/rest`])

    const texts = ['by device', 'by cloud']
    expect((await plainSub.waitForMessages(2)).map((message) => message.text)).toEqual(texts)
    expect((await tlsSub.waitForMessages(2)).map((message) => message.text)).toEqual(texts)
    await expect.poll(() => received).toEqual({ ws: texts, wss: texts })
    for (const client of browsers) await client.endAsync()
  })

  it('gives every matching subscriber of many a copy from every publisher of many', async () => {
    const devices = Array.from({ length: 12 }, () => device())
    await using broker = await startBroker({ devices })
    const clients = await Promise.all(devices.map(async (record) => await broker.connect(record)))
    const subscribers = clients.slice(0, 6)
    const filters = ['a/b', 'a/+', 'a/#', '#', '+/b', '+/+']
    for (const [i, client] of subscribers.entries()) await client.subscribe(filters[i] ?? '#', 1)
    for (const client of clients.slice(6)) await client.publish('a/b', 'x', { qos: 1 })
    for (const client of subscribers) expect(await client.waitForMessages(6)).toHaveLength(6)
    await clients[11]?.publish('never/seen/before', 'x', { qos: 1 })
    await subscribers[3]?.waitForMessages(7)
    for (const client of subscribers) await client.ping()
    expect(subscribers.map((client) => client.messages.length)).toEqual([6, 6, 6, 7, 6, 6])
  })

  it('counts connections, messages and activity of each device apart', async () => {
    const [busy, idle] = [device({ allowMultipleConnections: true }), device()]
    await using broker = await startBroker({ devices: [busy, idle] })
    const startedAt = Date.now()
    const one = await broker.connect(busy, { clientId: 'one', username: busy.id })
    await broker.connect(busy, { clientId: 'two', username: busy.id })
    const other = await broker.connect(idle)
    await other.subscribe('#', 1)
    for (let i = 0; i < 5; i++) await one.publish('a', 'x', { qos: 1 })
    await other.waitForMessages(5)
    const of = (id: string) => broker.broker.activity().find((entry) => entry.deviceId === id)
    expect(of(busy.id)).toMatchObject({ connections: 2, messagesIn: 5 })
    expect(of(idle.id)).toMatchObject({ connections: 1, messagesIn: 0, messagesOut: 5 })
    expect(of(busy.id)?.lastActivityAt).toBeGreaterThanOrEqual(startedAt)
    await one.disconnect()
    await expect.poll(() => of(busy.id)?.connections).toBe(1)
  })

  it('opens each listener on the port it is given', async () => {
    const port = await freePort()
    const record = device()
    await using broker = await startBroker({ devices: [record] }, { ports: { mqtt: port } })
    expect(broker.port('mqtt')).toBe(port)
    const client = await openMqtt({ port })
    expect((await client.connect({ clientId: record.id })).returnCode).toBe(0)
    client.close()
  })

  it('tells Prometheus how many are connected', async () => {
    const record = device()
    await using broker = await startBroker({ devices: [record] })
    const client = await broker.connect(record)
    await client.publish('a', 'x', { qos: 1 })
    const lines = (await broker.broker.metrics()).split('\n').filter((line) => !line.startsWith('#'))
    expect(lines.filter((line) => /connect\w*(\{[^}]*\})? 1$/.test(line))).not.toEqual([])
  })
})

describe('an encrypted listener', () => {
  it.each(['mqtts', 'wss', 'https'] as const)('rejects plain text on %s', async (listener) => {
    const record = device()
    await using broker = await startBroker({ devices: [record] }, { listeners: [listener] })
    const client = await openMqtt({ port: broker.port(listener) })
    await expect(client.connect({ clientId: record.id })).rejects.toThrow('the link closed')
    await broker.waitForEvent('TLS_HANDSHAKE_FAILED')
  })

  it('is verified by openssl with the server CA and with nothing else', async () => {
    await using broker = await startBroker({}, { listeners: ['mqtts'] })
    const verify = async (cafile: string) => {
      const target = ['-connect', `127.0.0.1:${broker.port('mqtts')}`, '-servername', 'localhost']
      const checks = [
        '-CAfile',
        cafile,
        '-verify_return_error',
        '-verify_hostname',
        'localhost',
        '-no-CApath',
      ]
      const result = await runProgram('openssl', ['s_client', '-brief', ...target, ...checks])
      return result.code
    }
    const deviceCa = await makeCertificate({ commonName: 'device CA', authority: true })
    expect(await verify(broker.authority.certPath)).toBe(0)
    expect(await verify(deviceCa.certPath)).not.toBe(0)
  })

  it.each(['TLSv1.2', 'TLSv1.3'] as const)('speaks %s and never resumes a session', async (version) => {
    await using broker = await startBroker({}, { listeners: ['mqtts'] })
    const flag = version === 'TLSv1.2' ? '-tls1_2' : '-tls1_3'
    const args = ['s_client', '-connect', `127.0.0.1:${broker.port('mqtts')}`, flag, '-reconnect']
    const { stdout } = await runProgram('openssl', args)
    expect(stdout.toString()).toContain(version)
    // `-reconnect` offers the session of the first connection five times.
    expect(stdout.toString()).not.toMatch(/^Reused, /m)
  })

  it('refuses TLS 1.1', async () => {
    await using broker = await startBroker({}, { listeners: ['mqtts'] })
    const target = ['s_client', '-connect', `127.0.0.1:${broker.port('mqtts')}`]
    const { code } = await runProgram('openssl', [...target, '-tls1_1', '-cipher', 'ALL:@SECLEVEL=0'])
    expect(code).not.toBe(0)
  })
})

describe('a topic', () => {
  it('is split at slashes, and empty levels and letter case count', async () => {
    const [sender, receiver] = [device(), device()]
    await using broker = await startBroker({ devices: [sender, receiver] })
    const sub = await broker.connect(receiver)
    await sub.subscribe(['a/+', '/+/x', 'A', 'ä/#'], 1)
    const pub = await broker.connect(sender)
    const topics = ['a/', '/y/x', 'A', 'ä', 'ä/ß', 'a', '/a', 'a/b/c', '//x', 'the end']
    await sub.subscribe('the end')
    for (const topic of topics) await pub.publish(topic, 'x', { qos: 1 })
    await sub.waitForMessages(1, (message) => message.topic === 'the end')
    expect(sub.messages.map((message) => message.topic)).toEqual([
      'a/',
      '/y/x',
      'A',
      'ä',
      'ä/ß',
      '//x',
      'the end',
    ])
  })

  it('may be 65,535 bytes long', async () => {
    const record = device()
    await using broker = await startBroker({ devices: [record] })
    const client = await broker.connect(record)
    const topic = 'x'.repeat(65_535)
    expect(await client.subscribe(topic, 1)).toEqual([1])
    await client.publish(topic, 'x', { qos: 1 })
    expect((await client.waitForMessages(1))[0]?.topic).toBe(topic)
  })

  it.each([
    ['that is empty', '', 'EMPTY_TOPIC'],
    ['with a wildcard', 'a/+/b', 'INVALID_TOPIC'],
    ['with a wildcard for all', 'a/#', 'INVALID_TOPIC'],
    ['with a null character', 'a\0b', 'INVALID_TOPIC'],
  ] as const)('%s cannot be published to, and an event tells', async (_, topic, code) => {
    const record = device()
    await using broker = await startBroker({ devices: [record] })
    const client = await broker.connect(record)
    // By hand: the packet library refuses to write such a topic.
    const name = Buffer.from(topic)
    client.sendBytes(
      Buffer.concat([Buffer.from([0x30, name.length + 3, 0, name.length]), name, Buffer.from('x')]),
    )
    await client.closed
    await broker.waitForEvent(code, record.id)
  })
})
