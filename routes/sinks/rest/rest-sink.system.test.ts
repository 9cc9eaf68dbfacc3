import { createHmac } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { createServer } from 'node:https'
import { HTTP } from 'cloudevents'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { makeCertificate } from '../../../test-support/openssl.ts'
import { createEgress } from '../../net/egress.ts'
import { LOOPBACK_ALLOWED, makeEntry, NEVER, type SinkHarness, sinkContract } from '../sink.contract.ts'
import type { Sink } from '../sink.ts'
import { HttpDestination } from './http-destination.fixture.ts'
import type { RouteReply } from './reply.ts'
import { createRestSink, type RestTarget, type RestTools, signature } from './rest-sink.ts'

const ROUTE = 'route-1'
const NOW = Date.UTC(2026, 0, 1)
const destination = new HttpDestination()
const replies: RouteReply[] = []

const url = (path = '/react', { host = '127.0.0.1', port = destination.port } = {}) =>
  `http://${host}:${port}${path}`

function open(target: Partial<RestTarget> = {}, tools: Partial<RestTools> = {}): Sink {
  return createRestSink(
    {
      method: 'POST',
      url: url(),
      headers: [],
      publishReply: true,
      ca: undefined,
      signing: undefined,
      cloudEvents: undefined,
      connections: 16,
      ...target,
    },
    {
      routeId: ROUTE,
      egress: createEgress(LOOPBACK_ALLOWED),
      publishReply: async (reply) => {
        replies.push(reply)
      },
      now: () => NOW,
      ...tools,
    },
  )
}

class Harness implements SinkHarness {
  checksCredentials = true

  async start(): Promise<void> {
    await destination.start()
    destination.answer = ({ headers }, response) =>
      response.writeHead(headers.authorization === 'Bearer open sesame' ? 204 : 401).end()
  }

  async stop(): Promise<void> {}

  open({ egress = LOOPBACK_ALLOWED, password = 'open sesame', ...place } = {}): Sink {
    const headers = [{ name: 'Authorization', value: `Bearer ${password}` }]
    return open({ url: url('/', place), headers }, { egress: createEgress(egress) })
  }

  async takeArrived() {
    return destination.take().map(({ headers, body }) => ({
      topic: Buffer.from(String(headers['x-mqtt-topic']), 'latin1').toString(),
      payload: body,
    }))
  }
}

describe('the REST sink', () => {
  sinkContract(new Harness())
})

describe('a request of the REST sink', () => {
  beforeAll(async () => await destination.start())
  beforeEach(() => {
    destination.take()
    replies.length = 0
    destination.answer = (_, response) => response.writeHead(204).end()
  })
  afterAll(async () => await destination.stop())

  const deliver = async (entry: Parameters<Sink['deliver']>[0], target?: Partial<RestTarget>) => {
    const sink = open(target)
    try {
      return await sink.deliver(entry, NEVER)
    } finally {
      await sink.close()
    }
  }

  it.each(['GET', 'POST', 'PUT', 'PATCH', 'DELETE'] as const)(
    'with %s has the payload as its body',
    async (method) => {
      expect(
        await deliver(makeEntry('a/b', '{"n":1}', { retain: true }), { method, url: url('/x?y=1') }),
      ).toEqual({
        ok: true,
      })
      const [seen] = destination.take()
      expect(seen).toMatchObject({ method, path: '/x?y=1' })
      expect(seen?.body.toString()).toBe('{"n":1}')
      expect(seen?.headers).toMatchObject({ 'x-mqtt-topic': 'a/b', 'x-mqtt-retain': 'true' })
      expect(seen?.headers).not.toHaveProperty('content-type')
    },
  )

  it('has the headers of the route, the id of the message and a trace', async () => {
    const entry = makeEntry('a', 'x', { contentType: 'text/plain' })
    await deliver(entry, { headers: [{ name: 'X-Token', value: 'sesame' }] })
    const [seen] = destination.take()
    expect(seen?.headers).toMatchObject({
      'x-token': 'sesame',
      'x-mqtt-id': entry.id,
      'x-mqtt-retain': 'false',
      'content-type': 'text/plain',
      traceparent: expect.stringMatching(/^00-[0-9a-f]{32}-[0-9a-f]{16}-01$/),
    })
  })

  it('can be checked by whoever knows the secret', async () => {
    await deliver(makeEntry('a/é', 'body'), { signing: { header: 'X-Hublet-Signature', secret: 'sesame' } })
    const [seen] = destination.take()
    const seconds = NOW / 1000
    const mac = createHmac('sha256', 'sesame').update(`${seconds}.a/é.body`).digest('hex')
    expect(seen?.headers['x-hublet-signature']).toBe(`t=${seconds},v1=${mac}`)
  })

  it.each(['Binary', 'Structured'] as const)(
    'is a CloudEvent in %s mode to who reads it so',
    async (mode) => {
      const cloudEvents = { mode, type: 'reading', source: '/hubs/home' }
      const headers = [{ name: 'content-type', value: 'text/html' }]
      const signing = { header: 'X-Sign', secret: 'sesame' }
      const entry = makeEntry('a/b', '{"n":1}')
      expect(await deliver(entry, { cloudEvents, headers, signing })).toEqual({ ok: true })
      const [seen] = destination.take()
      const event = HTTP.toEvent({ headers: seen?.headers ?? {}, body: String(seen?.body) })
      expect(event).toMatchObject({ id: entry.id, type: 'reading', subject: 'a/b', data: { n: 1 } })
      const signed = signature({ topic: 'a/b', body: seen?.body ?? Buffer.alloc(0) }, 'sesame', NOW / 1000)
      expect(seen?.headers['x-sign']).toBe(signed)
      expect(seen?.headers).toMatchObject({ 'x-mqtt-topic': 'a/b', 'x-mqtt-id': entry.id })
    },
  )

  it('uses connections again', async () => {
    const sink = open()
    const before = destination.connections
    for (let n = 0; n < 20; n += 1) await sink.deliver(makeEntry('a', 'x'), NEVER)
    expect(destination.connections - before).toBeLessThanOrEqual(2)
    await sink.close()
  })

  describe('that is answered with a topic', () => {
    it('publishes the body there', async () => {
      destination.answer = (_, response) => {
        const headers = {
          'X-Mqtt-Topic': Buffer.from('réponse/1').toString('latin1'),
          'Content-Type': 'text/plain',
        }
        response.writeHead(200, headers).end('hello')
      }
      expect(await deliver(makeEntry('a', 'x'))).toEqual({ ok: true })
      expect(replies).toEqual([
        {
          topic: 'réponse/1',
          payload: Buffer.from('hello'),
          qos: 1,
          retain: false,
          contentType: 'text/plain',
          trail: [ROUTE],
        },
      ])
    })

    it.each([
      ['when the status is no success', 500, 'b', {}, {}, undefined],
      ['when the route is not to', 200, 'b', {}, { publishReply: false }, undefined],
      ['when the topic has a wildcard', 200, 'b/#', {}, {}, 'REPLY_TOPIC_INVALID'],
      ['when the topic is one of the hub', 200, '$hub/events/x', {}, {}, 'REPLY_TOPIC_INVALID'],
      ['when the message came of its own answer', 200, 'b', { trail: ['other', ROUTE] }, {}, 'REPLY_LOOP'],
      ['when too many answers led to it', 200, 'b', { trail: [...'12345678'] }, {}, 'REPLY_LOOP'],
    ])('does not publish it %s', async (_, status, topic, entry, target, code) => {
      destination.answer = (_seen, response) => response.writeHead(status, { 'X-Mqtt-Topic': topic }).end('x')
      const result = await deliver(makeEntry('a', 'x', entry), target)
      expect(replies).toEqual([])
      if (code !== undefined) expect(result).toMatchObject({ ok: true, note: { code } })
    })

    it('fails when the hub does not take it', async () => {
      destination.answer = (_, response) => response.writeHead(200, { 'X-Mqtt-Topic': 'b' }).end('x')
      const sink = open({}, { publishReply: () => Promise.reject(new Error('no')) })
      expect(await sink.deliver(makeEntry('a', 'x'), NEVER)).toMatchObject({ code: 'REPLY_NOT_PUBLISHED' })
      await sink.close()
    })

    it('reads no more of it than a message may have', async () => {
      let stopped = false
      destination.answer = (_, response) => {
        response.writeHead(200, { 'X-Mqtt-Topic': 'b' })
        const chunk = Buffer.alloc(256 * 1024)
        const more = () => void (stopped || response.write(chunk, more))
        response.on('close', () => {
          stopped = true
        })
        more()
      }
      expect(await deliver(makeEntry('a', 'x'))).toMatchObject({
        ok: true,
        note: { code: 'REPLY_TOO_LARGE' },
      })
      expect(replies).toEqual([])
    })
  })

  it('does not wait for the end of an answer that nobody wants', async () => {
    destination.answer = (_, response) => {
      response.writeHead(200)
      const timer = setInterval(() => response.write(Buffer.alloc(64 * 1024)), 1)
      response.on('close', () => clearInterval(timer))
    }
    expect(await deliver(makeEntry('a', 'x'))).toEqual({ ok: true })
  })

  it.each([
    [400, 'Permanent', 'Message'],
    [413, 'Permanent', 'Message'],
    [401, 'Transient', 'Sink'],
    [404, 'Transient', 'Sink'],
    [500, 'Transient', 'Message'],
    [502, 'Transient', 'Message'],
    [503, 'Transient', 'Sink'],
    [429, 'Throttled', 'Sink'],
  ])('that is answered with %i has failed: %s, %s', async (status, kind, scope) => {
    destination.answer = (_, response) => response.writeHead(status).end('payload-like text')
    const result = await deliver(makeEntry('a', 'x'))
    expect(result).toMatchObject({ ok: false, kind, scope, code: `HTTP_${status}` })
    expect(result).toHaveProperty('message', expect.not.stringContaining('payload-like'))
  })

  it.each([
    ['seconds', '7', 7_000],
    ['a date', new Date(NOW + 90_000).toUTCString(), 90_000],
    ['a date that is over', new Date(NOW - 90_000).toUTCString(), 0],
    ['neither', 'soon', undefined],
  ])('that is told to come back by %s tells when', async (_, value, expected) => {
    destination.answer = (_seen, response) => response.writeHead(429, { 'Retry-After': value }).end()
    const result = await deliver(makeEntry('a', 'x'))
    expect((result as { retryAfterMs?: number }).retryAfterMs).toBe(expected)
  })

  describe('that is redirected', () => {
    const other = new HttpDestination()
    beforeAll(async () => await other.start())
    afterAll(async () => await other.stop())

    const redirectTo = (location: string, status: number) => {
      destination.answer = ({ path }, response) => {
        if (path === '/there') response.writeHead(204).end()
        else response.writeHead(status, { Location: location }).end()
      }
    }
    const secret = [{ name: 'Authorization', value: 'Bearer sesame' }]

    it.each([307, 308])('by %i goes on with method and body', async (status) => {
      redirectTo('/there', status)
      expect(await deliver(makeEntry('a', 'body'), { headers: secret })).toEqual({ ok: true })
      const [, second] = destination.take()
      expect(second).toMatchObject({
        method: 'POST',
        path: '/there',
        headers: { authorization: 'Bearer sesame' },
      })
      expect(second?.body.toString()).toBe('body')
    })

    it('to another origin leaves its secrets behind', async () => {
      redirectTo(url('/', { port: other.port }), 307)
      expect(await deliver(makeEntry('a', 'x'), { headers: secret })).toEqual({ ok: true })
      const [seen] = other.take()
      expect(seen?.headers).toHaveProperty('x-mqtt-topic', 'a')
      expect(seen?.headers).not.toHaveProperty('authorization')
    })

    it.each([
      ['in circles', '/again', 307],
      ['so that the message would be lost', '/there', 302],
      ['to another protocol', 'ftp://127.0.0.1/', 307],
    ])('%s has failed', async (_, location, status) => {
      redirectTo(location, status)
      expect(await deliver(makeEntry('a', 'x'))).toMatchObject({
        ok: false,
        code: 'HTTP_REDIRECT',
        scope: 'Sink',
      })
      expect(destination.take().length).toBeLessThanOrEqual(4)
    })

    it.each([
      ['http://169.254.169.254/latest/meta-data/'],
      ['http://[::ffff:169.254.169.254]/'],
      ['http://10.0.0.1/'],
      ['http://2852039166/'],
    ])('to %s goes nowhere', async (location) => {
      redirectTo(location, 307)
      expect(await deliver(makeEntry('a', 'x'))).toMatchObject({ code: 'DESTINATION_FORBIDDEN' })
    })
  })

  describe('over TLS', () => {
    it('trusts the CA that it was given, and no other', async () => {
      const ca = await makeCertificate({ commonName: 'ca', authority: true })
      const made = await makeCertificate({ commonName: 's', issuer: ca, subjectAltName: 'IP:127.0.0.1' })
      const options = { cert: readFileSync(made.certPath), key: readFileSync(made.keyPath) }
      const server = createServer(options, (_, response) => response.writeHead(204).end())
      await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
      const address = server.address()
      const port = typeof address === 'object' && address !== null ? address.port : 0
      const target = { url: `https://127.0.0.1:${port}/` }
      expect(await deliver(makeEntry('a', 'x'), { ...target, ca: ca.certPem })).toEqual({ ok: true })
      expect(await deliver(makeEntry('a', 'x'), target)).toMatchObject({ code: 'TLS_FAILED', scope: 'Sink' })
      const name = { ca: ca.certPem, url: `https://localhost:${port}/` }
      expect(await deliver(makeEntry('a', 'x'), name)).toMatchObject({ code: 'TLS_FAILED', scope: 'Sink' })
      server.closeAllConnections()
      server.close()
    })
  })
})
