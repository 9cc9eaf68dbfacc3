/** What every sink promises, checked against a real destination. */
import { createServer, type Server } from 'node:net'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { RouteEntry } from '../../contract/route-stream.ts'
import { freePort } from '../../test-support/free-port.ts'
import type { EgressPolicy } from '../net/egress.ts'
import type { Sink, SinkResult } from './sink.ts'

export interface SinkPlace {
  host?: string
  port?: number
  password?: string
  /** Default: loopback is allowed. */
  egress?: EgressPolicy
}

export interface SinkHarness {
  /** Starts the destination. */
  start(): Promise<void>
  stop(): Promise<void>
  /** A sink to it, or to another place. */
  open(place?: SinkPlace): Sink
  /** Topic and payload of what has arrived since the last time, in order of arrival as far as it is known. */
  takeArrived(): Promise<{ topic: string; payload: Buffer }[]>
  /** False where nobody checks who we are. */
  checksCredentials: boolean
  /** What it stores is a text: bytes that are no UTF-8 do not get there as they are. */
  isTextOnly?: boolean
}

export const LOOPBACK_ALLOWED: EgressPolicy = { allowLoopback: true, allowPrivate: false, denied: [] }

let last = 0

export function makeEntry(
  topic: string,
  payload: string | Buffer,
  more: Partial<RouteEntry> = {},
): RouteEntry {
  last += 1
  return {
    position: String(last),
    id: `0197a000-0000-7000-8000-${String(last).padStart(12, '0')}`,
    topic,
    payload: Buffer.from(payload),
    qos: 1,
    retain: false,
    time: Date.UTC(2026, 0, 2, 3, 4, 5, 678) + last,
    ...more,
  }
}

/** A signal that nobody aborts. */
export const NEVER = new AbortController().signal

const PAYLOAD = 'payload-that-nobody-may-see'

export function sinkContract(harness: SinkHarness): void {
  let open: Sink[] = []
  const sinkTo = (place?: SinkPlace) => {
    const sink = harness.open(place)
    open.push(sink)
    return sink
  }

  beforeAll(async () => await harness.start())
  afterAll(async () => {
    await Promise.all(open.map((sink) => sink.close()))
    open = []
    await harness.stop()
  })

  describe('a delivery', () => {
    it.each([
      ['text', 'a/b', Buffer.from('21.5')],
      ['every byte', 'bytes', Buffer.from(Array.from({ length: 256 }, (_, byte) => byte))],
      ['nothing', 'empty', Buffer.alloc(0)],
      ['a topic in many scripts', 'größe/温度/🌡/a b', Buffer.from('é')],
      ['a topic of signs', 'a\'b"c\\d;e%f?g&h=i', Buffer.from("'; DROP TABLE x; --")],
      ['4 MiB', 'large', Buffer.alloc(4 * 1024 * 1024, 'x')],
    ])('brings %s as it is', async (title, topic, payload) => {
      if (harness.isTextOnly === true && title === 'every byte') return
      expect(await sinkTo().deliver(makeEntry(topic, payload), NEVER)).toEqual({ ok: true })
      const [arrived, ...others] = await harness.takeArrived()
      expect([arrived?.topic, others]).toEqual([topic, []])
      expect(arrived?.payload.equals(payload)).toBe(true)
    })

    it('may run beside others', async () => {
      const sink = sinkTo()
      const texts = Array.from({ length: 20 }, (_, n) => String(n))
      const all = await Promise.all(texts.map((text) => sink.deliver(makeEntry(`t/${text}`, text), NEVER)))
      expect(all.every(({ ok }) => ok)).toBe(true)
      const arrived = (await harness.takeArrived()).map(({ payload }) => payload.toString())
      expect(arrived.toSorted()).toEqual(texts.toSorted())
    })

    it('of many brings all of them, in order', async () => {
      const sink = sinkTo()
      if (sink.deliverMany === undefined) return expect(sink.batch).toBeUndefined()
      const texts = Array.from({ length: 100 }, (_, n) => String(n))
      const entries = texts.map((text) => makeEntry('many', text))
      expect(await sink.deliverMany(entries, NEVER)).toEqual({ ok: true })
      expect((await harness.takeArrived()).map(({ payload }) => payload.toString())).toEqual(texts)
    })
  })

  describe('a failure', () => {
    const fails = async (place: SinkPlace): Promise<Exclude<SinkResult, { ok: true }>> => {
      const result = await sinkTo(place).deliver(makeEntry('a', PAYLOAD), NEVER)
      if (result.ok) throw new Error('expected a failure')
      expect(result.message).not.toContain(PAYLOAD)
      expect(result.message).not.toMatch(/open sesame|wrong sesame/)
      expect([result.kind, result.scope]).toEqual(['Transient', 'Sink'])
      return result
    }

    it('to reach a closed port makes all messages wait', async () => {
      const { code, message } = await fails({ port: await freePort() })
      expect(code).toBe('CONNECTION_FAILED')
      expect(message).toContain('ECONNREFUSED')
    })

    it('to find the host makes all messages wait', async () => {
      const { code } = await fails({ host: 'nowhere.invalid' })
      expect(code).toBe('DNS_FAILED')
    })

    it('to pass the rule about destinations makes all messages wait', async () => {
      const egress = { allowLoopback: false, allowPrivate: false, denied: [] }
      for (const host of ['127.0.0.1', 'localhost']) {
        const { code, message } = await fails({ host, egress })
        expect([code, message]).toEqual([
          'DESTINATION_FORBIDDEN',
          expect.stringContaining('is on this machine'),
        ])
      }
    })

    it('to be let in makes all messages wait, and shows no secret', async () => {
      if (!harness.checksCredentials) return
      const { code } = await fails({ password: 'wrong sesame' })
      expect(code).toMatch(/^[A-Z0-9_]+$/)
    })
  })

  describe('a destination that talks without end', () => {
    it('is left with a failure, and its words are not kept', async () => {
      const bytes = Buffer.alloc(64 * 1024, 'x')
      const babbler = createServer((socket) => {
        socket.on('error', () => {}).resume()
        const more = () => {
          socket.write(bytes)
          socket.once('drain', more)
        }
        more()
      })
      await new Promise<void>((resolve) => babbler.listen(0, '127.0.0.1', resolve))
      const address = babbler.address()
      const sink = harness.open({ port: typeof address === 'object' && address !== null ? address.port : 0 })
      const before = process.memoryUsage.rss()
      const result = await sink.deliver(makeEntry('a', 'x'), AbortSignal.timeout(1_000))
      expect(result).toMatchObject({ ok: false, kind: 'Transient' })
      expect(process.memoryUsage.rss() - before).toBeLessThan(300 * 1024 * 1024)
      await sink.close()
      babbler.close()
    })
  })

  describe('a destination that never answers', () => {
    let silent: Server
    beforeAll(async () => {
      silent = createServer((socket) => socket.on('error', () => {}))
      await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve))
    })
    afterAll(() => {
      silent.close()
    })

    it('is left soon after the signal, and lets the sink close', async () => {
      const address = silent.address()
      const port = typeof address === 'object' && address !== null ? address.port : 0
      const sink = harness.open({ port })
      const signal = AbortSignal.timeout(300)
      const aborted = new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve()))
      const delivery = sink.deliver(makeEntry('a', 'x'), signal)
      await aborted
      const since = performance.now()
      await delivery
      await sink.close()
      expect(performance.now() - since).toBeLessThan(8_000)
    })
  })
}
