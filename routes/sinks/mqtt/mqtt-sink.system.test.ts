import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { type MosquittoSub, mosquittoPub, mosquittoSub } from '../../../test-support/mosquitto.ts'
import { type MosquittoBroker, startMosquittoBroker } from '../../../test-support/mosquitto-broker.ts'
import { runProgram } from '../../../test-support/run-program.ts'
import { waitUntil } from '../../../test-support/wait.ts'
import { createEgress } from '../../net/egress.ts'
import type { RouteReply } from '../rest/reply.ts'
import { LOOPBACK_ALLOWED, makeEntry, NEVER, sinkContract } from '../sink.contract.ts'
import type { Sink, SinkFailure } from '../sink.ts'
import type { MqttTarget, MqttTools } from './mqtt-client.ts'
import { createMqttSink } from './mqtt-sink.ts'

const ROUTE = '0197a000-0000-7000-8000-0000000000aa'
const WAIT_MS = 30_000

let broker: MosquittoBroker

const PLAIN: MqttTarget['tls'] = { mode: 'Disable', ca: undefined, certificate: undefined }

function open(target: Partial<MqttTarget> = {}, tools: Partial<MqttTools> = {}): Sink {
  return createMqttSink(
    {
      server: `127.0.0.1:${broker.port}`,
      version: 'MQTT5',
      clientId: 'bridge',
      credentials: { username: 'hublet', password: 'open sesame' },
      topic: 'site/{{ topic }}',
      qos: 1,
      retain: true,
      subscribe: [],
      tls: PLAIN,
      ...target,
    },
    {
      routeId: ROUTE,
      egress: createEgress(LOOPBACK_ALLOWED),
      publishReply: async () => {},
      subscribes: true,
      onInbound: () => {},
      ...tools,
    },
  )
}

beforeAll(async () => {
  broker = await startMosquittoBroker(['max_packet_size 8388608'])
})
afterAll(async () => await broker?.stop())

const listen = async (topics: string) =>
  await mosquittoSub({ ...broker.access, topics, qos: 1, timeoutMs: 300_000 })

describe('the MQTT sink', () => {
  let listener: MosquittoSub
  let seen = 0
  beforeAll(async () => {
    listener = await listen('site/#')
  })
  afterAll(async () => void (await listener?.stop()))

  sinkContract({
    checksCredentials: true,
    async start() {},
    async stop() {},
    open: ({ host = '127.0.0.1', port = broker.port, password = 'open sesame', egress } = {}) =>
      open(
        { server: `${host}:${port}`, credentials: { username: 'hublet', password } },
        { egress: createEgress(egress ?? LOOPBACK_ALLOWED) },
      ),
    async takeArrived() {
      // A message of our own comes after all that were acknowledged before.
      await mosquittoPub({ ...broker.access, topic: 'site/marker', payload: String(seen), qos: 1 })
      const all = await waitUntil(
        'the marker',
        () => {
          const { messages } = listener
          return messages.at(-1)?.topic === 'site/marker' && messages.length > seen ? messages : undefined
        },
        { timeoutMs: WAIT_MS },
      )
      const fresh = all.slice(seen, -1)
      seen = all.length
      return fresh.map(({ topic, payload }) => ({ topic: topic.slice('site/'.length), payload }))
    },
  })
})

describe('a message of the MQTT sink', () => {
  const deliver = async (entry: Parameters<Sink['deliver']>[0], target?: Partial<MqttTarget>) => {
    const sink = open(target)
    const result = await sink.deliver(entry, NEVER)
    await sink.close()
    return result
  }

  it('has topic, QoS, retain flag and origin of the one here', async () => {
    const entry = makeEntry('a/b', 'x', { retain: true, contentType: 'text/plain', trail: ['other'] })
    expect(await deliver(entry, { topic: 'kept/{{topic}}' })).toEqual({ ok: true })
    const access = ['-h', 'localhost', '-p', String(broker.port), '-u', 'hublet', '-P', 'open sesame']
    const one = ['-t', 'kept/#', '-q', '1', '-C', '1', '-V', 'mqttv5', '-F', '%t %q %r %C %P']
    const { stdout } = await runProgram('mosquitto_sub', [...access, ...one], { timeoutMs: WAIT_MS })
    const line = stdout.toString()
    expect(line).toContain('kept/a/b 1 1 text/plain')
    expect(line).toContain(`Mqtt-Id:${entry.id}`)
    expect(line).toContain(`Hublet-Trail:other,${ROUTE}`)
    expect(line).toMatch(/traceparent:00-[0-9a-f]{32}-/)
  })

  it('is retained nowhere when the route says so', async () => {
    expect(await deliver(makeEntry('never', 'x', { retain: true }), { retain: false })).toEqual({ ok: true })
    expect(await deliver(makeEntry('later', 'x', { retain: true }))).toEqual({ ok: true })
    const listener = await listen('site/#')
    const [first] = await listener.waitForMessages(1, WAIT_MS)
    await listener.stop()
    expect(first?.topic).toBe('site/later')
  })

  it('goes to brokers that speak MQTT 3.1.1 only', async () => {
    const listener = await listen('old/#')
    expect(await deliver(makeEntry('a', 'x'), { version: 'MQTT311', topic: 'old/{{ topic }}' })).toEqual({
      ok: true,
    })
    const [message] = await listener.waitForMessages(1, WAIT_MS)
    await listener.stop()
    expect(message).toMatchObject({ topic: 'old/a', text: 'x', qos: 1 })
  })

  it.each([
    ['no credentials', { credentials: undefined }, 'AUTHENTICATION_FAILED', 'Sink'],
    ['no right to publish on a fixed topic', { topic: 'x' }, 'PERMISSION_DENIED', 'Sink'],
    ['no right to publish on its own topic', {}, 'PERMISSION_DENIED', 'Message'],
  ] as [string, Partial<MqttTarget>, string, string][])(
    'waits where there is %s',
    async (_, target, code, scope) => {
      const guest = { credentials: { username: 'guest', password: 'guest' } }
      const result = await deliver(makeEntry('a', 'x'), { ...guest, ...target })
      expect(result).toMatchObject({ kind: 'Transient', scope, code })
    },
  )

  it('that the broker finds too large is given up', async () => {
    const result = await deliver(makeEntry('a', Buffer.alloc(9 * 1024 * 1024)))
    expect(result).toMatchObject({ kind: 'Permanent', code: 'MESSAGE_TOO_LARGE' })
  })

  it('whose topic would be none is given up', async () => {
    const result = await deliver(makeEntry('x'.repeat(65_535), 'x'))
    expect(result).toMatchObject({ kind: 'Permanent', code: 'MQTT_TOPIC_INVALID' })
  })

  it('never takes more room than the broker gives', async () => {
    // mosquitto says 20, and ends the connection of who sends more.
    const sink = open({ topic: 'many/{{ topic }}' })
    const all = Array.from({ length: 200 }, (_, n) => sink.deliver(makeEntry(String(n), 'x'), NEVER))
    expect((await Promise.all(all)).every(({ ok }) => ok)).toBe(true)
    await sink.close()
  })

  it.each(['SIGTERM', 'SIGKILL'] as const)(
    'gets through after the broker had %s, from the same sink',
    async (signal) => {
      const sink = open()
      expect(await sink.deliver(makeEntry('a', '1'), NEVER)).toEqual({ ok: true })
      await broker.halt(signal)
      expect(await sink.deliver(makeEntry('a', '2'), NEVER)).toMatchObject({ scope: 'Sink' })
      await broker.start()
      expect(await sink.deliver(makeEntry('a', '3'), NEVER)).toEqual({ ok: true })
      await sink.close()
    },
  )
})

describe('the way back of the MQTT sink', () => {
  let taken: RouteReply[]
  let health: (SinkFailure | undefined)[]
  let sinks: Sink[]

  beforeEach(() => {
    ;[taken, health, sinks] = [[], [], []]
  })
  afterEach(async () => void (await Promise.all(sinks.map((sink) => sink.close()))))

  async function bridge(target: Partial<MqttTarget>, tools: Partial<MqttTools> = {}): Promise<Sink> {
    const sink = open(target, {
      publishReply: async (reply) => void taken.push(reply),
      onInbound: (failure) => void health.push(failure),
      ...tools,
    })
    sinks.push(sink)
    await waitUntil('it says how it is', () => health.length > 0, { timeoutMs: WAIT_MS })
    return sink
  }

  const publish = async (topic: string, payload: string, args: readonly string[] = []) => {
    const result = await mosquittoPub({ ...broker.access, topic, payload, qos: 1, version: 'mqttv5', args })
    expect(result).toMatchObject({ code: 0 })
  }

  const waitForTaken = async (count: number) =>
    await waitUntil(`${count} messages`, () => taken.length >= count, { timeoutMs: WAIT_MS })

  it('publishes in the hub what its filters match, under their prefix', async () => {
    const subscribe = [
      { topic: 'orders/+', prefix: 'remote', qos: 1 },
      { topic: 'news', prefix: '', qos: 0 },
    ]
    await bridge({ clientId: 'back-1', subscribe })
    expect(health).toEqual([undefined])
    await publish('orders/1', 'open', ['-D', 'PUBLISH', 'content-type', 'text/plain'])
    await publish('elsewhere', 'x')
    await publish('news', 'rain')
    await waitForTaken(2)
    expect(taken).toEqual([
      {
        topic: 'remote/orders/1',
        payload: Buffer.from('open'),
        qos: 1,
        retain: false,
        trail: [ROUTE],
        contentType: 'text/plain',
      },
      { topic: 'news', payload: Buffer.from('rain'), qos: 0, retain: false, trail: [ROUTE] },
    ])
  })

  it('brings nothing back that went out through it, nor what went round too often', async () => {
    const sink = await bridge({ clientId: 'back-2', subscribe: [{ topic: 'loop/#', prefix: '', qos: 1 }] })
    const out = open({ topic: 'loop/{{ topic }}' }, { subscribes: false })
    sinks.push(out)
    expect(sink).toBeDefined()
    expect(await out.deliver(makeEntry('own', 'x'), NEVER)).toEqual({ ok: true })
    const long = Array.from({ length: 8 }, (_, n) => `0197a000-${n}`).join(',')
    await publish('loop/long', 'x', ['-D', 'PUBLISH', 'user-property', 'Hublet-Trail', long])
    await publish('loop/other', 'x', ['-D', 'PUBLISH', 'user-property', 'Hublet-Trail', '0197a000-1'])
    await waitForTaken(1)
    expect(taken).toEqual([expect.objectContaining({ topic: 'loop/other', trail: ['0197a000-1', ROUTE] })])
  })

  it('acknowledges nothing that the hub has not taken', async () => {
    let refusals = 3
    const publishReply = async (reply: RouteReply) => {
      refusals -= 1
      if (refusals >= 0) throw new Error('no')
      taken.push(reply)
    }
    await bridge(
      { clientId: 'back-3', subscribe: [{ topic: 'hard/#', prefix: '', qos: 1 }] },
      { publishReply },
    )
    await publish('hard/1', 'x')
    await waitForTaken(1)
    expect(health.map((failure) => failure?.code)).toContain('INBOUND_NOT_PUBLISHED')
    await waitUntil('all is well again', () => health.at(-1) === undefined)
  })

  it('loses no message of QoS 1 while the broker, or it itself, is away', async () => {
    const target = { clientId: 'back-4', subscribe: [{ topic: 'safe/#', prefix: '', qos: 1 }] }
    const first = await bridge(target)
    await publish('safe/1', '1')
    await waitForTaken(1)
    await first.close()
    await publish('safe/2', '2')
    await broker.halt()
    await broker.start()
    await publish('safe/3', '3')
    await bridge(target)
    await waitForTaken(3)
    await broker.halt()
    await broker.start()
    await waitUntil('it is back', () => health.at(-1) === undefined, { timeoutMs: WAIT_MS })
    await publish('safe/4', '4')
    await waitForTaken(4)
    expect([...new Set(taken.map(({ payload }) => payload.toString()))]).toEqual(['1', '2', '3', '4'])
  })

  it('says why nothing comes in', async () => {
    await bridge({
      clientId: 'back-5',
      credentials: { username: 'hublet', password: 'wrong sesame' },
      subscribe: [{ topic: '#', prefix: '', qos: 1 }],
    })
    expect(health[0]).toMatchObject({ code: 'AUTHENTICATION_FAILED', scope: 'Sink' })
    expect(JSON.stringify(health)).not.toContain('sesame')
  })

  it('is left to one worker', async () => {
    const subscribe = [{ topic: 'one/#', prefix: '', qos: 1 }]
    const other = open(
      { clientId: 'back-6', subscribe },
      { subscribes: false, onInbound: (f) => health.push(f) },
    )
    sinks.push(other)
    expect(await other.deliver(makeEntry('a', 'x'), NEVER)).toEqual({ ok: true })
    expect(health).toEqual([])
  })
})

describe('TLS to an MQTT broker', () => {
  const deliverTo = async (host: string, tls: Partial<MqttTarget['tls']>) => {
    const sink = open({
      server: `${host}:${broker.tlsPort}`,
      tls: { mode: 'VerifyFull', ca: undefined, certificate: undefined, ...tls },
    })
    const result = await sink.deliver(makeEntry('a', 'x'), NEVER)
    await sink.close()
    return result
  }

  it.each(['localhost', '127.0.0.1'])('passes when the certificate is for %s', async (host) => {
    expect(await deliverTo(host, { ca: broker.ca })).toEqual({ ok: true })
  })

  it('fails when the certificate is for another name', async () => {
    const result = await deliverTo('[::ffff:127.0.0.1]', { ca: broker.ca })
    expect(result).toMatchObject({ scope: 'Sink', code: 'TLS_FAILED' })
  })

  it('fails when nobody vouches for the certificate', async () => {
    expect(await deliverTo('localhost', {})).toMatchObject({ scope: 'Sink', code: 'TLS_FAILED' })
  })

  it('only encrypts when no more is asked for', async () => {
    expect(await deliverTo('localhost', { mode: 'Require' })).toEqual({ ok: true })
  })

  it('goes nowhere that routes may not go, whatever the name', async () => {
    for (const host of ['localhost', '127.0.0.1']) {
      const sink = open(
        {
          server: `${host}:${broker.tlsPort}`,
          tls: { mode: 'Require', ca: undefined, certificate: undefined },
        },
        { egress: createEgress({ ...LOOPBACK_ALLOWED, allowLoopback: false }) },
      )
      expect(await sink.deliver(makeEntry('a', 'x'), NEVER)).toMatchObject({ code: 'DESTINATION_FORBIDDEN' })
      await sink.close()
    }
  })
})
