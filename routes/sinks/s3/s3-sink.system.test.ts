import { createServer } from 'node:http'
import { gunzipSync } from 'node:zlib'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { makeServerCertificate } from '../../../test-support/openssl.ts'
import { type S3Server, startS3 } from '../../../test-support/s3.ts'
import { createEgress } from '../../net/egress.ts'
import { LOOPBACK_ALLOWED, makeEntry, NEVER, type SinkHarness, sinkContract } from '../sink.contract.ts'
import type { Sink } from '../sink.ts'
import { createS3Sink, type S3Target } from './s3-sink.ts'

const BUCKET = 'my-archive'
let server: S3Server | undefined

const running = async (): Promise<S3Server> => {
  if (server !== undefined) return server
  server = await startS3()
  await server.createBucket(BUCKET)
  return server
}

function open(target: Partial<S3Target> = {}, egress = LOOPBACK_ALLOWED): Sink {
  const { url = '', accessKeyId = '', secretAccessKey = '' } = server ?? {}
  return createS3Sink(
    {
      endpoint: url,
      region: 'us-east-1',
      bucket: BUCKET,
      prefix: 'iot/messages',
      strategy: 'PerTopic',
      forcePathStyle: true,
      credentials: { accessKeyId, secretAccessKey },
      ca: undefined,
      batch: { maxMessages: 1000, maxBytes: 8 * 1024 * 1024, lingerMs: 0 },
      connections: 16,
      ...target,
    },
    createEgress(egress),
  )
}

class PerTopicHarness implements SinkHarness {
  checksCredentials = true

  async start(): Promise<void> {
    await running()
  }

  async stop(): Promise<void> {}

  open({
    host = '127.0.0.1',
    port = server?.port ?? 0,
    password = 'open sesame',
    egress = LOOPBACK_ALLOWED,
  } = {}): Sink {
    const credentials = { accessKeyId: 'hublet', secretAccessKey: password }
    return open({ ...this.target(), endpoint: `http://${host}:${port}`, credentials }, egress)
  }

  target(): Partial<S3Target> {
    return {}
  }

  async takeArrived() {
    const objects = (await server?.takeObjects(BUCKET)) ?? []
    return objects.map(({ key, body }) => ({ topic: key.replace('iot/messages/', ''), payload: body }))
  }
}

class BatchedHarness extends PerTopicHarness {
  override target(): Partial<S3Target> {
    return { strategy: 'Batched' }
  }

  override async takeArrived() {
    const objects = (await server?.takeObjects(BUCKET)) ?? []
    return objects
      .flatMap(({ body }) => linesOf(body))
      .map(({ topic = '', payload, payloadBase64 }) => ({
        topic,
        payload: payload === undefined ? Buffer.from(payloadBase64 ?? '', 'base64') : Buffer.from(payload),
      }))
  }
}

const linesOf = (body: Buffer) =>
  gunzipSync(body)
    .toString()
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as Record<string, string>)

describe('the S3 sink, PerTopic', () => {
  sinkContract(new PerTopicHarness())
})

describe('the S3 sink, Batched', () => {
  sinkContract(new BatchedHarness())
})

describe('an object of the S3 sink', () => {
  beforeEach(async () => {
    await (await running()).takeObjects(BUCKET)
  })
  afterAll(async () => await server?.stop())

  const deliver = async (entry: Parameters<Sink['deliver']>[0], target?: Partial<S3Target>) => {
    const sink = open(target)
    const result = await sink.deliver(entry, NEVER)
    await sink.close()
    return result
  }
  const taken = async () => await (await running()).takeObjects(BUCKET)

  it('is the last message of the topic with PerTopic, at <prefix>/<topic>', async () => {
    for (const text of ['1', '2']) expect(await deliver(makeEntry('hello/world', text))).toEqual({ ok: true })
    const objects = await taken()
    expect(objects.map(({ key, body }) => [key, body.toString()])).toEqual([
      ['iot/messages/hello/world', '2'],
    ])
  })

  it('is every message with PerMessage, at <prefix>/<topic>/<time>', async () => {
    const time = Date.UTC(2026, 0, 2, 3, 4, 5, 678)
    const sink = open({ strategy: 'PerMessage' })
    const entries = Array.from({ length: 50 }, (_, n) => makeEntry('hello/world', String(n), { time }))
    for (const entry of [...entries, ...entries])
      expect(await sink.deliver(entry, NEVER)).toEqual({ ok: true })
    await sink.close()
    const objects = await taken()
    expect(objects).toHaveLength(50)
    for (const { key } of objects)
      expect(key).toMatch(/^iot\/messages\/hello\/world\/2026-01-02T03:04:05\.678\d{0,6}Z$/)
  })

  it('has type and origin of the message', async () => {
    const entry = makeEntry('a', '{}', { contentType: 'application/json', deviceId: 'me', retain: true })
    await deliver(entry)
    const [object] = await taken()
    expect(object).toMatchObject({
      contentType: 'application/json',
      metadata: { 'mqtt-id': entry.id, 'mqtt-qos': '1', 'mqtt-retain': 'true', 'mqtt-device': 'me' },
    })
    await deliver(makeEntry('a', 'x', { contentType: 'bad\r\nX-Evil: 1' }))
    expect((await taken())[0]?.contentType).toBe('badX-Evil: 1')
  })

  it('of many messages is gzip with a line for each', async () => {
    const sink = open({ strategy: 'Batched' })
    const time = Date.UTC(2026, 0, 2, 3, 4, 5, 678)
    const entries = [
      makeEntry('a', 'text', { time, deviceId: 'me', contentType: 'text/plain' }),
      makeEntry('b', Buffer.from([0xff]), { time, retain: true, qos: 0 }),
    ]
    expect(await sink.deliverMany?.(entries, NEVER)).toEqual({ ok: true })
    expect(await sink.deliverMany?.(entries, NEVER)).toEqual({ ok: true })
    await sink.close()
    const objects = await taken()
    expect(objects).toHaveLength(1)
    const [object] = objects
    expect(object?.key).toMatch(
      /^iot\/messages\/2026-01-02\/2026-01-02T03:04:05\.678Z-[0-9a-f]{12}\.ndjson\.gz$/,
    )
    expect(object).toMatchObject({ contentType: 'application/x-ndjson', contentEncoding: 'gzip' })
    const common = { time: '2026-01-02T03:04:05.678Z' }
    expect(linesOf(object?.body ?? Buffer.alloc(0))).toEqual([
      {
        ...common,
        id: entries[0]?.id,
        topic: 'a',
        payload: 'text',
        qos: 1,
        retain: false,
        device: 'me',
        contentType: 'text/plain',
      },
      { ...common, id: entries[1]?.id, topic: 'b', payloadBase64: '/w==', qos: 0, retain: true },
    ])
  })

  it.each([
    ['a missing bucket', { bucket: 'no-such-bucket' }, '404 NoSuchBucket'],
    ['an unknown key', { credentials: { accessKeyId: 'nobody', secretAccessKey: 'x' } }, 'UserNotFound'],
    ['no credentials', { credentials: undefined }, '403 AccessDenied'],
  ])('is not made with %s; all messages wait', async (_, target, text) => {
    const result = await deliver(makeEntry('a', 'x'), target)
    expect(result).toMatchObject({ kind: 'Transient', scope: 'Sink', code: 'S3_WRITE_FAILED' })
    expect(result).toHaveProperty('message', expect.stringContaining(text))
    expect(result).toHaveProperty('message', expect.stringContaining('writing to bucket '))
  })

  it.each(['a/../b', 'x'.repeat(1025)])('is not made at a key that is none', async (topic) => {
    expect(await deliver(makeEntry(topic, 'x'))).toMatchObject({ kind: 'Permanent', code: 'KEY_INVALID' })
  })
})

describe('an S3 service that answers without end', () => {
  it.each([200, 500])('with status %i is not listened to', async (status) => {
    let sent = 0
    const endless = createServer((request, response) => {
      request.resume()
      response.writeHead(status, { 'Content-Type': 'application/xml' })
      const chunk = Buffer.alloc(64 * 1024, ' ')
      const more = () => {
        sent += chunk.length
        if (!response.destroyed && !response.write(chunk)) response.once('drain', more)
        else if (!response.destroyed) setImmediate(more)
      }
      more()
    })
    await new Promise<void>((resolve) => endless.listen(0, '127.0.0.1', resolve))
    const address = endless.address()
    const port = typeof address === 'object' && address !== null ? address.port : 0
    const sink = open({ endpoint: `http://127.0.0.1:${port}` })
    const signal = AbortSignal.timeout(60_000)
    const result = await sink.deliver(makeEntry('a', 'x'), signal)
    expect(signal.aborted).toBe(false)
    expect(result.ok).toBe(status === 200)
    expect(sent).toBeLessThan(64 * 1024 * 1024)
    await sink.close()
    endless.closeAllConnections()
    endless.close()
  })
})

describe('TLS to an S3 service', () => {
  let secure: S3Server
  let ca: string

  beforeAll(async () => {
    const made = await makeServerCertificate()
    ca = made.authority.certPem
    secure = await startS3(made.server)
    await secure.createBucket(BUCKET)
  })
  afterAll(async () => await secure?.stop())

  const deliverTo = async (host: string, trusted: string | undefined) => {
    const sink = open({ endpoint: `https://${host}:${secure.port}`, ca: trusted })
    const result = await sink.deliver(makeEntry('a', 'x'), NEVER)
    await sink.close()
    return result
  }

  it('passes when the certificate is of the given CA', async () => {
    expect(await deliverTo('localhost', ca)).toEqual({ ok: true })
  })

  it.each([
    ['for another name', '[::ffff:127.0.0.1]', true],
    ['vouched for by nobody', 'localhost', false],
  ])('fails when the certificate is %s', async (_, host, isTrusted) => {
    const result = await deliverTo(host, isTrusted ? ca : undefined)
    expect(result).toMatchObject({ kind: 'Transient', scope: 'Sink', code: 'TLS_FAILED' })
  })
})
