import { describe, expect, it } from 'vitest'
import type { RouteEntry } from '../../contract/route-stream.ts'
import type { RouteSpec } from '../../crds/route.ts'
import { FakeClock, settle } from '../../test-support/fake-clock.ts'
import { route } from '../../test-support/hub-state.ts'
import { permanent, type Sink, type SinkResult, throttled, transient, unavailable } from '../sinks/sink.ts'
import { deliveryPolicy } from './delivery-policy.ts'
import { MemoryRouteStream } from './memory-route-stream.fixture.ts'
import { RouteCounters } from './route-counters.ts'
import { type Prepared, RouteRunner } from './route-runner.ts'

const ROUTE = 'r'
const OK: SinkResult = { ok: true }
const FAULT = { code: 'BAD', message: 'no' }

type Answer = (entry: RouteEntry, attempt: number) => SinkResult | Promise<SinkResult>

/** Answers as told and notes what it was given. */
class ScriptedSink implements Sink {
  readonly seen: string[] = []
  readonly batches: string[][] = []
  closed = false
  most = 0
  #underWay = 0
  readonly #attempts = new Map<string, number>()
  answer: Answer
  batch?: NonNullable<Sink['batch']>
  deliverMany?: NonNullable<Sink['deliverMany']>

  constructor(answer: Answer = () => OK) {
    this.answer = answer
  }

  async deliver(entry: RouteEntry): Promise<SinkResult> {
    const attempt = (this.#attempts.get(entry.id) ?? 0) + 1
    this.#attempts.set(entry.id, attempt)
    this.seen.push(`${entry.topic}=${entry.payload}`)
    this.#underWay += 1
    this.most = Math.max(this.most, this.#underWay)
    try {
      return await this.answer(entry, attempt)
    } finally {
      this.#underWay -= 1
    }
  }

  async close(): Promise<void> {
    this.closed = true
  }

  inBatches(lingerMs: number, maxMessages: number, answer: (texts: string[]) => SinkResult): this {
    this.batch = { maxMessages, maxBytes: 1_000_000, lingerMs }
    this.deliverMany = async (entries) => {
      const texts = entries.map(({ topic, payload }) => `${topic}=${payload}`)
      this.batches.push(texts)
      return answer(texts)
    }
    return this
  }
}

interface Setting {
  delivery?: Partial<RouteSpec['delivery']>
  deadLetter?: Partial<RouteSpec['deadLetter']>
  prepare?: (entry: RouteEntry) => Prepared
  partitions?: readonly number[]
}

function start(sink: Sink, { delivery = {}, deadLetter = {}, prepare, partitions = [0] }: Setting = {}) {
  const clock = new FakeClock()
  const stream = new MemoryRouteStream()
  const counters = new RouteCounters()
  const { spec } = route({ spec: { delivery: { partitions: 1, ...delivery }, deadLetter } })
  const runner = new RouteRunner({
    routeId: ROUTE,
    policy: deliveryPolicy(spec),
    partitions,
    stream,
    sink,
    prepare: prepare ?? ((entry) => ({ take: true, entry })),
    counters,
    clock,
    // The upper end of every span, so that waits are known.
    random: () => 1,
    mayDeliver: () => true,
    onFault: () => {},
  })
  const send = (topic: string, text: string) => {
    stream.append(ROUTE, 1, { topic, payload: Buffer.from(text) })
  }
  const waiting = async () => (await stream.backlog(ROUTE)).messages
  const dead = async () => await stream.deadLetters(ROUTE, { limit: 1000 })
  return { clock, stream, counters, runner, send, waiting, dead }
}

const settled = async () => {
  for (let turn = 0; turn < 20; turn += 1) await settle()
}

/** A delivery that ends when told to. */
function later() {
  const ends: ((result: SinkResult) => void)[] = []
  return { ends, answer: () => new Promise<SinkResult>((resolve) => ends.push(resolve)) }
}

describe('a route that delivers', () => {
  it('takes every message to the sink and then out of the stream', async () => {
    const sink = new ScriptedSink()
    const { runner, send, waiting, counters } = start(sink)
    for (const text of ['1', '2', '3']) send('a', text)
    runner.start()
    await settled()
    send('b', '4')
    await settled()
    expect(sink.seen).toEqual(['a=1', 'a=2', 'a=3', 'b=4'])
    expect(await waiting()).toBe(0)
    expect(counters.delivered).toBe(4)
  })

  it('has one message of a topic under way at a time, and others up to the concurrency', async () => {
    const { ends, answer } = later()
    const sink = new ScriptedSink(answer)
    const { runner, send } = start(sink, { delivery: { concurrency: 2 } })
    for (const topic of ['a', 'a', 'b', 'c']) send(topic, topic)
    runner.start()
    await settled()
    expect(sink.seen).toEqual(['a=a', 'b=b'])
    ends[0]?.(OK)
    await settled()
    expect(sink.seen).toEqual(['a=a', 'b=b', 'c=c'])
    expect(sink.most).toBe(2)
  })

  it('works on one topic with full concurrency when order does not matter', async () => {
    const { answer } = later()
    const sink = new ScriptedSink(answer)
    const { runner, send } = start(sink, { delivery: { concurrency: 3, order: 'None' } })
    for (const text of ['1', '2', '3', '4']) send('a', text)
    runner.start()
    await settled()
    expect(sink.seen).toEqual(['a=1', 'a=2', 'a=3'])
  })
})

describe('a message that fails', () => {
  it('is tried again after waits that double, holding back its own topic only', async () => {
    const sink = new ScriptedSink((entry, attempt) =>
      entry.payload.toString() === 'bad' && attempt < 4 ? transient(FAULT) : OK,
    )
    const { runner, send, clock, waiting } = start(sink)
    send('a', 'bad')
    send('a', 'next')
    send('b', '1')
    runner.start()
    await settled()
    expect(sink.seen).toEqual(['a=bad', 'b=1'])
    await clock.advance(999)
    expect(sink.seen).toHaveLength(2)
    await clock.advance(1)
    expect(sink.seen).toHaveLength(3)
    await clock.advance(1_999)
    expect(sink.seen).toHaveLength(3)
    await clock.advance(1)
    await clock.advance(4_000)
    await settled()
    expect(sink.seen).toEqual(['a=bad', 'b=1', 'a=bad', 'a=bad', 'a=bad', 'a=next'])
    expect(await waiting()).toBe(0)
  })

  it('becomes a dead letter after the last attempt, with its first and its last error', async () => {
    const sink = new ScriptedSink((entry, attempt) =>
      entry.topic === 'a' ? transient({ code: `E${attempt}`, message: 'no' }) : OK,
    )
    const { runner, send, clock, dead, waiting, counters } = start(sink, { delivery: { maxAttempts: 3 } })
    send('a', 'bad')
    runner.start()
    await clock.advance(60_000)
    await settled()
    expect(await waiting()).toBe(0)
    const [letter] = await dead()
    expect(letter).toMatchObject({ attempts: 3, firstError: { code: 'E1' }, lastError: { code: 'E3' } })
    expect(letter?.entry.payload.toString()).toBe('bad')
    expect(counters).toMatchObject({ failed: 3, deadLettered: 1, delivered: 0 })
  })

  it('becomes a dead letter at once when it will never do', async () => {
    const sink = new ScriptedSink((entry) => (entry.payload.toString() === 'bad' ? permanent(FAULT) : OK))
    const { runner, send, dead } = start(sink)
    send('a', 'bad')
    send('a', 'good')
    runner.start()
    await settled()
    expect(sink.seen).toEqual(['a=bad', 'a=good'])
    expect(await dead()).toHaveLength(1)
  })

  it('is gone, and counted, when no dead letters are wanted', async () => {
    const sink = new ScriptedSink(() => permanent(FAULT))
    const { runner, send, dead, waiting, counters } = start(sink, { deadLetter: { enabled: false } })
    send('a', 'bad')
    runner.start()
    await settled()
    expect([await dead(), await waiting(), counters.discarded]).toEqual([[], 0, 1])
  })

  it('counts as failed when the sink takes longer than the timeout', async () => {
    let first = true
    const sink = new ScriptedSink(() => {
      if (!first) return OK
      first = false
      return new Promise(() => {})
    })
    const { runner, send, clock, counters } = start(sink, { delivery: { timeout: '2s' } })
    send('a', '1')
    runner.start()
    await clock.advance(1_999)
    expect(counters.failed).toBe(0)
    await clock.advance(1)
    expect(counters.lastError).toMatchObject({ code: 'TIMEOUT', message: 'no answer within 2000 ms' })
    await clock.advance(1_000)
    await settled()
    expect(counters.delivered).toBe(1)
  })

  it('is tried again when the sink throws, and the text of the error is kept from the status', async () => {
    const sink = new ScriptedSink((_, attempt) => {
      if (attempt === 1) throw new Error('sesame')
      return OK
    })
    const { runner, send, clock, counters } = start(sink)
    send('a', '1')
    runner.start()
    await clock.advance(1_000)
    await settled()
    expect(counters).toMatchObject({ delivered: 1, failed: 1 })
    expect(JSON.stringify(counters.lastError)).not.toContain('sesame')
  })
})

describe('a destination that is down', () => {
  it('gets one call at a time, further and further apart, and costs no message an attempt', async () => {
    let up = false
    const sink = new ScriptedSink(() => (up ? OK : unavailable(FAULT)))
    const { runner, send, clock, dead, waiting, counters } = start(sink, { delivery: { maxAttempts: 2 } })
    for (let n = 0; n < 50; n += 1) send(`t/${n % 10}`, String(n))
    runner.start()
    await settled()
    const atFirst = sink.seen.length
    expect(atFirst).toBeLessThanOrEqual(16)
    await clock.advance(600_000)
    expect(sink.seen.length - atFirst).toBeLessThan(15)
    expect(await waiting()).toBe(50)
    expect(counters.snapshot(ROUTE, { now: clock.now(), isGateFailing: runner.isGateFailing }).health).toBe(
      'DeliveryFailing',
    )
    up = true
    await clock.advance(300_000)
    await settled()
    expect([await waiting(), await dead(), counters.delivered]).toEqual([0, [], 50])
    const byTopic = Map.groupBy(sink.seen.slice(-50), (text) => text.split('=')[0])
    for (const texts of byTopic.values())
      expect(texts).toEqual(texts.toSorted((a, b) => Number(a.split('=')[1]) - Number(b.split('=')[1])))
  })

  it('is recognised by failures on many topics, whatever the failures say', async () => {
    let up = false
    const sink = new ScriptedSink(() => (up ? OK : transient(FAULT)))
    const { runner, send, clock, dead, counters } = start(sink, { delivery: { maxAttempts: 10 } })
    for (let n = 0; n < 200; n += 1) send(`t/${n}`, String(n))
    runner.start()
    await clock.advance(600_000)
    expect(sink.seen.length).toBeLessThan(60)
    up = true
    await clock.advance(600_000)
    await settled()
    expect([await dead(), counters.delivered]).toEqual([[], 200])
  })

  it('that fails for one message only, between successes, gives that message up in the end', async () => {
    const sink = new ScriptedSink((entry) => (entry.topic === 'poison' ? unavailable(FAULT) : OK))
    const { runner, send, clock, dead, counters } = start(sink, { delivery: { maxAttempts: 3 } })
    send('poison', 'x')
    runner.start()
    for (let n = 0; n < 30; n += 1) {
      send('a', String(n))
      await clock.advance(400_000)
    }
    expect(await dead()).toHaveLength(1)
    expect(counters.delivered).toBe(30)
  })

  it('that asks for a pause gets it', async () => {
    let asked = false
    const sink = new ScriptedSink(() => {
      if (asked) return OK
      asked = true
      return throttled({ ...FAULT, retryAfterMs: 30_000 })
    })
    const { runner, send, clock, counters } = start(sink)
    send('a', '1')
    runner.start()
    await settled()
    send('b', '2')
    await clock.advance(29_999)
    expect(sink.seen).toEqual(['a=1'])
    await clock.advance(1)
    await settled()
    expect(counters.delivered).toBe(2)
  })
})

describe('a topic that is held back with more messages than fit into memory', () => {
  it('lets other topics pass and is delivered in order afterwards', async () => {
    let healed = false
    const sink = new ScriptedSink((entry) => (entry.topic === 'hot' && !healed ? transient(FAULT) : OK))
    const { runner, send, clock, waiting, counters } = start(sink, {
      delivery: { maxAttempts: 1000, backoff: { initial: '10s', maximum: '10s' } },
    })
    for (let n = 0; n < 5_000; n += 1) send('hot', String(n))
    for (let n = 0; n < 100; n += 1) send('cold', String(n))
    runner.start()
    await clock.advance(1_000)
    await settled()
    expect(counters.delivered).toBe(100)
    healed = true
    await clock.advance(30_000)
    for (let turn = 0; turn < 500 && (await waiting()) > 0; turn += 1) await settled()
    expect(await waiting()).toBe(0)
    const hot = sink.seen.filter((text) => text.startsWith('hot=')).map((text) => Number(text.slice(4)))
    const firstSeen = [...new Set(hot)]
    expect(firstSeen).toEqual(Array.from({ length: 5_000 }, (_, n) => n))
    expect(counters.delivered).toBe(5_100)
  })
})

describe('batches', () => {
  it('hold what is ready, several messages of a topic in order', async () => {
    const sink = new ScriptedSink().inBatches(0, 10, () => OK)
    const { runner, send, counters } = start(sink, { delivery: { concurrency: 1 } })
    for (const text of ['1', '2', '3']) send('a', text)
    send('b', '4')
    runner.start()
    await settled()
    expect([...sink.batches.flat(), ...sink.seen].toSorted()).toEqual(['a=1', 'a=2', 'a=3', 'b=4'])
    expect(sink.batches.length).toBeGreaterThan(0)
    expect(counters.delivered).toBe(4)
  })

  it('wait for others as long as they may, and no longer than until they are full', async () => {
    const sink = new ScriptedSink().inBatches(10_000, 3, () => OK)
    const { runner, send, clock } = start(sink)
    send('a', '1')
    runner.start()
    await clock.advance(5_000)
    send('a', '2')
    await clock.advance(4_999)
    expect(sink.batches).toEqual([])
    await clock.advance(1)
    expect(sink.batches).toEqual([['a=1', 'a=2']])
    for (const text of ['3', '4', '5', '6']) send('a', text)
    await settled()
    expect(sink.batches[1]).toEqual(['a=3', 'a=4', 'a=5'])
  })

  it('that fail are sent one by one, so that only the bad message is given up', async () => {
    const sink = new ScriptedSink((entry) =>
      entry.payload.toString() === 'bad' ? permanent(FAULT) : OK,
    ).inBatches(100, 10, (texts) => (texts.some((text) => text.endsWith('bad')) ? transient(FAULT) : OK))
    const { runner, send, clock, dead, counters } = start(sink)
    for (const text of ['1', 'bad', '3']) send('a', text)
    send('b', '4')
    runner.start()
    await clock.advance(100)
    await settled()
    expect(sink.seen.filter((text) => text.startsWith('a'))).toEqual(['a=1', 'a=bad', 'a=3'])
    expect((await dead()).map(({ entry }) => entry.payload.toString())).toEqual(['bad'])
    expect(counters.delivered).toBe(3)
  })
})

describe('a stream out of reach', () => {
  it('is asked again until it answers; nothing delivered is delivered again', async () => {
    const sink = new ScriptedSink()
    const { runner, send, stream, clock, waiting } = start(sink)
    stream.fault = new Error('away')
    send('a', '1')
    runner.start()
    await clock.advance(2_000)
    expect(sink.seen).toEqual([])
    stream.fault = undefined
    sink.answer = () => {
      stream.fault = new Error('away again')
      return OK
    }
    await clock.advance(5_000)
    await settled()
    stream.fault = undefined
    expect(await waiting()).toBe(1)
    await clock.advance(10_000)
    await settled()
    expect([await waiting(), sink.seen]).toEqual([0, ['a=1']])
  })
})

describe('stopping', () => {
  it('waits for what is under way, settles it and begins nothing new', async () => {
    const { ends, answer } = later()
    const sink = new ScriptedSink(answer)
    const { runner, send, waiting, clock } = start(sink, { delivery: { concurrency: 1 } })
    send('a', '1')
    send('b', '2')
    runner.start()
    await settled()
    const stopped = runner.stop(10_000)
    await clock.advance(1_000)
    ends[0]?.(OK)
    await stopped
    expect([sink.seen, sink.closed, await waiting()]).toEqual([['a=1'], true, 1])
  })

  it('does not wait longer than it was told to', async () => {
    const sink = new ScriptedSink(() => new Promise(() => {}))
    const { runner, send, waiting, clock, counters } = start(sink)
    send('a', '1')
    runner.start()
    await settled()
    const stopped = runner.stop(10_000)
    await clock.advance(10_000)
    await stopped
    expect([sink.closed, await waiting(), counters.failed]).toEqual([true, 1, 0])
  })
})

describe('what a filter or transform says of a message', () => {
  it('decides whether and what is delivered; its errors make dead letters', async () => {
    const sink = new ScriptedSink()
    const prepare = (entry: RouteEntry): Prepared => {
      const text = entry.payload.toString()
      if (text === 'skip') return { take: false }
      if (text === 'break') return { failure: permanent({ code: 'EXPRESSION_FAILED', message: 'x' }) }
      return { take: true, entry: { ...entry, payload: Buffer.from(text.toUpperCase()) } }
    }
    const { runner, send, dead, waiting, counters } = start(sink, { prepare })
    for (const text of ['skip', 'break', 'go']) send('a', text)
    runner.start()
    await settled()
    expect(sink.seen).toEqual(['a=GO'])
    expect((await dead())[0]).toMatchObject({ attempts: 1, lastError: { code: 'EXPRESSION_FAILED' } })
    expect((await dead())[0]?.entry.payload.toString()).toBe('break')
    expect([await waiting(), counters.filtered, counters.deadLettered]).toEqual([0, 1, 1])
  })
})

describe('partitions that the route had before', () => {
  it('are emptied too', async () => {
    const sink = new ScriptedSink()
    const { runner, stream, waiting, clock } = start(sink, { partitions: [0, 1, 2, 3] })
    for (const topic of ['a', 'b', 'c', 'd', 'e', 'f']) stream.append(ROUTE, 4, { topic })
    runner.start()
    await clock.advance(60_000)
    await settled()
    expect([sink.seen.length, await waiting()]).toEqual([6, 0])
  })
})
