import { readFileSync } from 'node:fs'
import { createServer } from 'node:https'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { makeServerCertificate } from '../../../test-support/openssl.ts'
import { createEgress } from '../../net/egress.ts'
import { HttpDestination } from '../rest/http-destination.fixture.ts'
import { LOOPBACK_ALLOWED, makeEntry, NEVER, type SinkHarness, sinkContract } from '../sink.contract.ts'
import type { Sink } from '../sink.ts'
import { createIftttSink, type IftttTarget } from './ifttt-sink.ts'

const destination = new HttpDestination()

function open(target: Partial<IftttTarget> = {}, egress = LOOPBACK_ALLOWED): Sink {
  const baseUrl = `http://127.0.0.1:${destination.port}`
  return createIftttSink(
    { event: 'doorbell', key: 'open sesame', format: 'Values', baseUrl, connections: 16, ...target },
    { egress: createEgress(egress), now: () => 0 },
  )
}

class Harness implements SinkHarness {
  checksCredentials = true

  async start(): Promise<void> {
    await destination.start()
    destination.answer = ({ path }, response) =>
      response.writeHead(path.endsWith('/open%20sesame') ? 200 : 401).end()
  }

  async stop(): Promise<void> {}

  open({
    host = '127.0.0.1',
    port = destination.port,
    password = 'open sesame',
    egress = LOOPBACK_ALLOWED,
  } = {}) {
    return open({ baseUrl: `http://${host}:${port}`, key: password, format: 'Values' }, egress)
  }

  async takeArrived() {
    return destination.take().map(({ body }) => {
      const { value1, value2 } = JSON.parse(body.toString()) as Record<string, string>
      return { topic: value1 ?? '', payload: Buffer.from(value2 ?? '') }
    })
  }

  /** A JSON text cannot hold bytes that are no text. */
  isTextOnly = true
}

describe('the IFTTT sink', () => {
  sinkContract(new Harness())

  describe('a trigger', () => {
    beforeAll(async () => await destination.start())
    afterAll(async () => await destination.stop())
    beforeEach(() => {
      destination.take()
      destination.answer = (_, response) => response.writeHead(200).end('Congratulations!')
    })

    it('has topic, payload and time as its values', async () => {
      const sink = open()
      const entry = makeEntry('door/bell', 'ring', { time: Date.UTC(2026, 0, 2, 3, 4, 5, 6) })
      expect(await sink.deliver(entry, NEVER)).toEqual({ ok: true })
      const [seen] = destination.take()
      expect(seen).toMatchObject({ method: 'POST', path: '/trigger/doorbell/with/key/open%20sesame' })
      expect(seen?.headers['content-type']).toBe('application/json')
      expect(JSON.parse(String(seen?.body))).toEqual({
        value1: 'door/bell',
        value2: 'ring',
        value3: '2026-01-02T03:04:05.006Z',
      })
      await sink.close()
    })

    it.each(['Values', 'JSON'] as const)('by %s of bytes that are no text is given up', async (format) => {
      const sink = open({ format })
      const result = await sink.deliver(makeEntry('a', Buffer.from([0x22, 0xff, 0x22])), NEVER)
      expect(result).toMatchObject({ kind: 'Permanent', code: 'PAYLOAD_NOT_TEXT' })
      expect(destination.take()).toEqual([])
      await sink.close()
    })

    it('does not wait for the end of an answer that nobody wants', async () => {
      destination.answer = (_, response) => {
        response.writeHead(200)
        const timer = setInterval(() => response.write(Buffer.alloc(64 * 1024)), 1)
        response.on('close', () => clearInterval(timer))
      }
      const sink = open({ baseUrl: `http://127.0.0.1:${destination.port}`, key: 'k', format: 'Values' })
      expect(await sink.deliver(makeEntry('a', 'x'), NEVER)).toEqual({ ok: true })
      await sink.close()
    })

    it('shows its key to nobody whose certificate it cannot check', async () => {
      const { server: made } = await makeServerCertificate()
      const options = { cert: readFileSync(made.certPath), key: readFileSync(made.keyPath) }
      const secure = createServer(options, (_, response) => response.end())
      await new Promise<void>((resolve) => secure.listen(0, '127.0.0.1', resolve))
      const address = secure.address()
      const port = typeof address === 'object' && address !== null ? address.port : 0
      const sink = open({ baseUrl: `https://localhost:${port}`, key: 'k', format: 'Values' })
      const result = await sink.deliver(makeEntry('a', 'x'), NEVER)
      expect(result).toMatchObject({ kind: 'Transient', scope: 'Sink', code: 'TLS_FAILED' })
      await sink.close()
      secure.close()
    })

    it('has the payload itself when that is JSON', async () => {
      const sink = open({ format: 'JSON' })
      expect(await sink.deliver(makeEntry('a', '{"n":1}'), NEVER)).toEqual({ ok: true })
      const [seen] = destination.take()
      expect([seen?.path, seen?.body.toString()]).toEqual([
        '/trigger/doorbell/json/with/key/open%20sesame',
        '{"n":1}',
      ])
      expect(await sink.deliver(makeEntry('a', 'no JSON'), NEVER)).toMatchObject({
        kind: 'Permanent',
        code: 'PAYLOAD_NOT_JSON',
      })
      await sink.close()
    })
  })
})
