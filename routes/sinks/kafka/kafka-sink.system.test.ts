import { createServer } from 'node:net'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type KafkaServer, startKafka } from '../../../test-support/kafka.ts'
import { createEgress } from '../../net/egress.ts'
import { LOOPBACK_ALLOWED, makeEntry, NEVER, sinkContract } from '../sink.contract.ts'
import type { Sink } from '../sink.ts'
import { createKafkaSink, type KafkaTarget } from './kafka-sink.ts'

let server: KafkaServer

const PLAIN: KafkaTarget['tls'] = { mode: 'Disable', ca: undefined, certificate: undefined }
const SASL = { mechanism: 'PLAIN', username: 'hublet', password: 'open sesame' } as const

function open(target: Partial<KafkaTarget> = {}, egress = LOOPBACK_ALLOWED): Sink {
  return createKafkaSink(
    {
      brokers: [`127.0.0.1:${server.port}`],
      topic: 'iot',
      key: 'Topic',
      acks: 'All',
      compression: 'None',
      sasl: SASL,
      tls: PLAIN,
      ...target,
    },
    createEgress(egress),
  )
}

beforeAll(async () => {
  server = await startKafka()
  for (const topic of ['iot', 'iot.a.b']) await server.createTopic(topic)
}, 300_000)
afterAll(async () => await server?.stop())

describe('the Kafka sink', () => {
  sinkContract({
    checksCredentials: true,
    async start() {},
    async stop() {},
    open: ({ host = '127.0.0.1', port = server.port, password = 'open sesame', egress } = {}) =>
      open({ brokers: [`${host}:${port}`], sasl: { ...SASL, password } }, egress),
    takeArrived: async () =>
      (await server.takeRecords('iot')).map(({ headers, payload }) => ({
        topic: headers['Mqtt-Topic'] ?? '',
        payload,
      })),
  })
})

describe('a record of the Kafka sink', () => {
  const deliver = async (entry: Parameters<Sink['deliver']>[0], target?: Partial<KafkaTarget>) => {
    const sink = open(target)
    const result = await sink.deliver(entry, NEVER)
    await sink.close()
    return result
  }

  it('has key, id and origin of the MQTT message', async () => {
    const entry = makeEntry('a/b', 'x', { deviceId: 'me', contentType: 'text/plain', retain: true })
    expect(await deliver(entry, { topic: 'iot.{{ topic }}' })).toEqual({ ok: true })
    const [record] = await server.takeRecords('iot.a.b')
    expect(record?.key).toBe('a/b')
    expect(record?.headers).toEqual({
      'Mqtt-Id': entry.id,
      'Mqtt-Topic': 'a/b',
      'Mqtt-Qos': '1',
      'Mqtt-Retain': 'true',
      'Mqtt-Device': 'me',
      'Mqtt-Time': new Date(entry.time).toISOString(),
      'Content-Type': 'text/plain',
      traceparent: expect.stringMatching(/^00-[0-9a-f]{32}-[0-9a-f]{16}-01$/),
    })
  })

  it.each([
    ['Device', { deviceId: 'me' }, 'me'],
    ['Device', {}, 'a'],
    ['None', { deviceId: 'me' }, undefined],
  ] as const)('with key %s of %o has the key %s', async (key, more, expected) => {
    expect(await deliver(makeEntry('a', 'x', more), { key })).toEqual({ ok: true })
    expect((await server.takeRecords('iot')).map((record) => record.key)).toEqual([expected])
  })

  it.each([
    ['Gzip', 1],
    ['Snappy', 2],
    ['LZ4', 3],
    ['Zstd', 4],
  ] as const)('is compressed by %s', async (compression, expected) => {
    expect(await deliver(makeEntry('a', 'x'.repeat(10_000)), { compression, acks: 'Leader' })).toEqual({
      ok: true,
    })
    const [record] = await server.takeRecords('iot')
    expect([record?.compression, record?.payload.length]).toEqual([expected, 10_000])
  })

  it('comes with the password proven, not shown', async () => {
    const sasl = { mechanism: 'SCRAM-SHA-512', username: 'scram', password: 'open sesame' } as const
    expect(await deliver(makeEntry('a', 'x'), { sasl })).toEqual({ ok: true })
    await server.takeRecords('iot')
  })

  it.each([
    ['a topic that is not there', { topic: 'nowhere' }, 'KAFKA_NO_TOPIC', 'Sink'],
    ['a topic of its own that is not there', { topic: 'no.{{ topic }}' }, 'KAFKA_NO_TOPIC', 'Message'],
    [
      'no right to write',
      { sasl: { ...SASL, username: 'guest', password: 'guest' } },
      'PERMISSION_DENIED',
      'Sink',
    ],
    [
      'a mechanism that is off',
      { sasl: { ...SASL, mechanism: 'SCRAM-SHA-256' } },
      'AUTHENTICATION_FAILED',
      'Sink',
    ],
  ] as [string, Partial<KafkaTarget>, string, string][])(
    'waits where there is %s',
    async (_, target, code, scope) => {
      expect(await deliver(makeEntry('a', 'x'), target)).toMatchObject({ kind: 'Transient', scope, code })
    },
  )

  it('waits where the broker hangs up while the route logs in', async () => {
    // An error that nobody listens to would end the process, and with it this test.
    const rude = createServer((socket) => socket.once('data', () => socket.destroy()))
    await new Promise<void>((resolve) => rude.listen(0, '127.0.0.1', resolve))
    const address = rude.address()
    const port = typeof address === 'object' && address !== null ? address.port : 0
    const result = await deliver(makeEntry('a', 'x'), { brokers: [`127.0.0.1:${port}`] })
    expect(result).toMatchObject({ kind: 'Transient', scope: 'Sink' })
    rude.close()
  })

  it('that the topic finds too large is given up', async () => {
    await server.createTopic('small', { 'max.message.bytes': '1000' })
    const result = await deliver(makeEntry('a', 'x'.repeat(2000)), { topic: 'small' })
    expect(result).toMatchObject({ kind: 'Permanent', code: 'KAFKA_MESSAGE_TOO_LARGE' })
  })

  it('gets through after the broker was away, from the same sink', async () => {
    const sink = open({ brokers: ['127.0.0.1:9', `127.0.0.1:${server.port}`] })
    expect(await sink.deliver(makeEntry('a', '1'), NEVER)).toEqual({ ok: true })
    await server.halt()
    expect(await sink.deliver(makeEntry('a', '2'), NEVER)).toMatchObject({ scope: 'Sink' })
    await server.start()
    expect(await sink.deliver(makeEntry('a', '3'), NEVER)).toEqual({ ok: true })
    await sink.close()
    const records = await server.takeRecords('iot')
    expect(records.map(({ payload }) => payload.toString())).toEqual(['1', '3'])
  }, 300_000)
})

describe('TLS to a Kafka broker', () => {
  const deliverTo = async (host: string, tls: Partial<KafkaTarget['tls']>, egress = LOOPBACK_ALLOWED) => {
    const sink = open(
      {
        brokers: [`${host}:${server.tlsPort}`],
        sasl: undefined,
        tls: { mode: 'VerifyFull', ca: undefined, certificate: undefined, ...tls },
      },
      egress,
    )
    const result = await sink.deliver(makeEntry('a', 'x'), NEVER)
    await sink.close()
    return result
  }

  it.each(['localhost', '127.0.0.1'])('passes when the certificate is for %s', async (host) => {
    expect(await deliverTo(host, { ca: server.ca })).toEqual({ ok: true })
  })

  it('fails when the certificate is for another name', async () => {
    const result = await deliverTo('[::ffff:127.0.0.1]', { ca: server.ca })
    expect(result).toMatchObject({ scope: 'Sink', code: 'TLS_FAILED' })
  })

  it('fails when nobody vouches for the certificate', async () => {
    expect(await deliverTo('localhost', {})).toMatchObject({ scope: 'Sink', code: 'TLS_FAILED' })
  })

  it('only encrypts when no more is asked for', async () => {
    expect(await deliverTo('localhost', { mode: 'Require' })).toEqual({ ok: true })
  })

  it('goes nowhere that routes may not go, whatever the name', async () => {
    const result = await deliverTo(
      'localhost',
      { ca: server.ca },
      { ...LOOPBACK_ALLOWED, allowLoopback: false },
    )
    expect(result).toMatchObject({ code: 'DESTINATION_FORBIDDEN' })
  })

  it('is insisted on: a broker without it gets no credentials', async () => {
    const sink = open({ tls: { mode: 'Require', ca: undefined, certificate: undefined } })
    expect(await sink.deliver(makeEntry('a', 'x'), NEVER)).toMatchObject({ scope: 'Sink' })
    await sink.close()
  })
})
