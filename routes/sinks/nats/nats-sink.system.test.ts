import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type NatsServer, startNats } from '../../../test-support/nats.ts'
import { makeServerCertificate } from '../../../test-support/openssl.ts'
import { createEgress } from '../../net/egress.ts'
import { LOOPBACK_ALLOWED, makeEntry, NEVER, sinkContract } from '../sink.contract.ts'
import type { Sink } from '../sink.ts'
import { createNatsSink, type NatsTarget } from './nats-sink.ts'

let server: NatsServer

const PLAIN: NatsTarget['tls'] = { mode: 'Disable', ca: undefined, certificate: undefined }

function open(target: Partial<NatsTarget> = {}, egress = LOOPBACK_ALLOWED): Sink {
  return createNatsSink(
    {
      servers: [`127.0.0.1:${server.port}`],
      subject: 'iot.{{ topic }}',
      stream: undefined,
      credentials: { username: 'hublet', password: 'open sesame' },
      tls: PLAIN,
      ...target,
    },
    createEgress(egress),
  )
}

beforeAll(async () => {
  server = await startNats()
  await server.createStream('IOT', { subjects: ['iot.>'] })
})
afterAll(async () => await server.stop())

describe('the NATS sink', () => {
  sinkContract({
    checksCredentials: true,
    async start() {},
    async stop() {},
    open: ({ host = '127.0.0.1', port = server.port, password = 'open sesame', egress } = {}) =>
      open({ servers: [`${host}:${port}`], credentials: { username: 'hublet', password } }, egress),
    takeArrived: async () =>
      (await server.takeMessages('IOT')).map(({ headers, payload }) => ({
        topic: Buffer.from(headers['Mqtt-Topic'] ?? '').toString(),
        payload,
      })),
  })
})

describe('a message of the NATS sink', () => {
  const deliver = async (entry: Parameters<Sink['deliver']>[0], target?: Partial<NatsTarget>) => {
    const sink = open(target)
    const result = await sink.deliver(entry, NEVER)
    await sink.close()
    return result
  }

  it('has subject, id and origin of the MQTT message', async () => {
    const entry = makeEntry('a/b.c', 'x', {
      deviceId: 'me',
      contentType: 'text/plain\r\nEvil: 1',
      retain: true,
    })
    expect(await deliver(entry)).toEqual({ ok: true })
    const [message] = await server.takeMessages('IOT')
    expect(message?.subject).toBe('iot.a.b%2Ec')
    expect(message?.headers).toMatchObject({
      'Nats-Msg-Id': entry.id,
      'Mqtt-Topic': 'a/b.c',
      'Mqtt-Qos': '1',
      'Mqtt-Retain': 'true',
      'Mqtt-Device': 'me',
      'Mqtt-Time': new Date(entry.time).toISOString(),
      'Content-Type': 'text/plainEvil: 1',
      traceparent: expect.stringMatching(/^00-[0-9a-f]{32}-[0-9a-f]{16}-01$/),
    })
    expect(message?.headers).not.toHaveProperty('Evil')
  })

  it('is stored once when it is delivered again', async () => {
    const entry = makeEntry('a', 'x')
    for (let n = 0; n < 3; n += 1) expect(await deliver(entry)).toEqual({ ok: true })
    expect(await server.takeMessages('IOT')).toHaveLength(1)
  })

  it.each([
    ['no stream that takes its subject', { subject: 'other' }, 'NATS_NO_STREAM', 'Transient'],
    ['another stream than the one named', { stream: 'OTHER' }, 'NATS_10060', 'Transient'],
    ['no credentials', { credentials: {} }, 'AUTHENTICATION_FAILED', 'Transient'],
    ['a wrong token', { credentials: { token: 'wrong sesame' } }, 'AUTHENTICATION_FAILED', 'Transient'],
    [
      'no right to publish',
      { credentials: { username: 'guest', password: 'guest' } },
      'PERMISSION_DENIED',
      'Transient',
    ],
  ])('waits with all others where there is %s', async (_, target, code, kind) => {
    expect(await deliver(makeEntry('a', 'x'), target)).toMatchObject({ kind, scope: 'Sink', code })
  })

  it('that the stream finds too large is given up', async () => {
    await server.createStream('SMALL', { subjects: ['small'], max_msg_size: 1000 })
    const result = await deliver(makeEntry('a', 'x'.repeat(2000)), { subject: 'small' })
    expect(result).toMatchObject({ kind: 'Permanent', code: 'NATS_10054' })
  })

  it('that the server finds too large is given up', async () => {
    const result = await deliver(makeEntry('a', Buffer.alloc(9 * 1024 * 1024)))
    expect(result).toMatchObject({ kind: 'Permanent', code: 'MESSAGE_TOO_LARGE' })
  })

  it('for which the stream has no room waits until it has', async () => {
    await server.createStream('FULL', { subjects: ['full'], max_msgs: 1, discard: 'new' })
    expect(await deliver(makeEntry('a', 'x'), { subject: 'full' })).toEqual({ ok: true })
    expect(await deliver(makeEntry('a', 'y'), { subject: 'full' })).toMatchObject({
      kind: 'Throttled',
      scope: 'Sink',
    })
  })

  it('gets through after the server was away, from the same sink', async () => {
    const sink = open()
    expect(await sink.deliver(makeEntry('a', '1'), NEVER)).toEqual({ ok: true })
    await server.halt()
    expect(await sink.deliver(makeEntry('a', '2'), NEVER)).toMatchObject({ scope: 'Sink' })
    await server.start()
    expect(await sink.deliver(makeEntry('a', '3'), NEVER)).toEqual({ ok: true })
    await sink.close()
    const messages = await server.takeMessages('IOT')
    expect(messages.map(({ payload }) => payload.toString())).toEqual(['1', '3'])
  })

  it('goes to the next server when the first is away', async () => {
    const servers = ['127.0.0.1:9', `127.0.0.1:${server.port}`]
    expect(await deliver(makeEntry('a', 'x'), { servers })).toEqual({ ok: true })
    await server.takeMessages('IOT')
  })
})

describe('TLS to a NATS server', () => {
  let secure: NatsServer
  let ca: string

  beforeAll(async () => {
    const { authority, server: certificate } = await makeServerCertificate()
    ca = authority.certPem
    const { certPath, keyPath } = certificate
    secure = await startNats([
      `tls: { cert_file: "${certPath}", key_file: "${keyPath}", ca_file: "${authority.certPath}" }`,
    ])
    await secure.createStream('IOT', { subjects: ['iot.>'] })
  })
  afterAll(async () => await secure.stop())

  const deliverTo = async (host: string, tls: Partial<NatsTarget['tls']>) => {
    const sink = open({
      servers: [`${host}:${secure.port}`],
      tls: { mode: 'VerifyFull', ca: undefined, certificate: undefined, ...tls },
    })
    const result = await sink.deliver(makeEntry('a', 'x'), NEVER)
    await sink.close()
    return result
  }

  it.each(['localhost', '127.0.0.1'])('passes when the certificate is for %s', async (host) => {
    expect(await deliverTo(host, { ca })).toEqual({ ok: true })
  })

  it('fails when the certificate is for another name', async () => {
    const result = await deliverTo('[::ffff:127.0.0.1]', { ca })
    expect(result).toMatchObject({ scope: 'Sink', code: 'TLS_FAILED' })
  })

  it('fails when nobody vouches for the certificate', async () => {
    expect(await deliverTo('localhost', {})).toMatchObject({ scope: 'Sink', code: 'TLS_FAILED' })
  })

  it('only encrypts when no more is asked for', async () => {
    expect(await deliverTo('localhost', { mode: 'Require' })).toEqual({ ok: true })
  })

  it('is insisted on: a server without it gets no credentials', async () => {
    const sink = open({ tls: { mode: 'Require', ca: undefined, certificate: undefined } })
    expect(await sink.deliver(makeEntry('a', 'x'), NEVER)).toMatchObject({ scope: 'Sink' })
    await sink.close()
  })
})
