import { setImmediate as turn } from 'node:timers/promises'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { createMemoryStore } from '../store/memory-store.ts'
import type { Store } from '../store/store.ts'
import { OutgoingMessage } from './outgoing-message.ts'
import { PersistentQueue } from './persistent-queue.ts'
import { RecordingReceiver } from './receiver.fixture.ts'

const KEY = 'device/client'
const PUBREL = 6

async function setUp(options: { restored?: boolean; store?: Store } = {}) {
  const store = options.store ?? createMemoryStore()
  await store.open({ queueMessages: 1_000, queueBytes: 1_000_000, queueOverflow: 'DropOldest' })
  await store.putSession({ key: KEY, deviceId: 'device', clientId: 'client', subscriptions: [] })
  const world = { denied: '' }
  const queue = new PersistentQueue({
    store,
    sessionKey: KEY,
    restored: options.restored ?? false,
    allows: (topic) => topic !== world.denied,
    now: () => 1_000,
    onFault: (error) => {
      throw error
    },
  })
  /** Stores like ingest does, and hands the message over. */
  const publish = async (text: string, qos: 1 | 2 = 1, topic = 'a') => {
    const message = { topic, payload: Buffer.from(text), qos, retain: false }
    const { seqs } = await store.accept({ message, targets: [{ sessionKey: KEY, qos, retain: false }] })
    const outgoing = new OutgoingMessage(message, 1_000)
    queue.push({ outgoing, qos, retain: false, subscriptionIds: undefined, seq: seqs[0] ?? null })
  }
  return { store, queue, world, publish }
}

/** Lets reads of the store finish. */
const settle = async () => {
  for (let i = 0; i < 20; i++) await turn()
}

describe('the queue of a session that is kept', () => {
  it('sends at once what nothing older waits for', async () => {
    const { queue, publish } = await setUp()
    const receiver = new RecordingReceiver()
    queue.attach(receiver)
    await settle()
    await publish('1')
    expect(receiver.texts).toEqual(['1'])
    expect(receiver.frames[0]).toMatchObject({ qos: 1, dup: false, packetId: 1 })
  })

  it('keeps what comes while nobody is there, and sends it in order with what comes then', async () => {
    const { queue, publish } = await setUp()
    for (const text of ['1', '2', '3']) await publish(text)
    const receiver = new RecordingReceiver()
    queue.attach(receiver)
    await publish('4')
    await settle()
    expect(receiver.texts).toEqual(['1', '2', '3', '4'])
  })

  it('sends again with DUP and the same id what was not acknowledged, and nothing that was', async () => {
    const { queue, publish } = await setUp()
    const first = new RecordingReceiver()
    queue.attach(first)
    await settle()
    for (const text of ['1', '2', '3']) await publish(text)
    queue.acknowledge(first.frames[1]!.packetId)
    queue.detach()
    await publish('4')
    const second = new RecordingReceiver()
    queue.attach(second)
    await settle()
    expect(second.frames.map(({ text, dup, packetId }) => [text, dup, packetId])).toEqual([
      ['1', true, 1],
      ['3', true, 3],
      ['4', false, 4],
    ])
  })

  it('repeats only PUBREL for a QoS 2 message whose PUBREC had arrived', async () => {
    const { queue, publish } = await setUp()
    const first = new RecordingReceiver()
    queue.attach(first)
    await settle()
    await publish('1', 2)
    queue.received(1, 0)
    await settle()
    expect(first.frames.at(-1)).toEqual({ type: PUBREL, packetId: 1 })
    queue.detach()
    const second = new RecordingReceiver()
    queue.attach(second)
    await settle()
    expect(second.frames).toEqual([{ type: PUBREL, packetId: 1 }])
    queue.completed(1)
    queue.detach()
    const third = new RecordingReceiver()
    queue.attach(third)
    await settle()
    expect(third.frames).toEqual([])
  })

  it('announces PUBREL only after the release is stored', async () => {
    const memory = createMemoryStore()
    let allow: () => void = () => {}
    const gate = new Promise<void>((resolve) => {
      allow = resolve
    })
    const store: Store = new Proxy(memory, {
      get(target, name) {
        if (name === 'release')
          return async (key: string, seq: number) => await gate.then(() => memory.release(key, seq))
        const value = target[name as keyof Store]
        return typeof value === 'function' ? (value as (...args: never[]) => unknown).bind(target) : value
      },
    })
    const { queue, publish } = await setUp({ store })
    const receiver = new RecordingReceiver()
    queue.attach(receiver)
    await settle()
    await publish('1', 2)
    queue.received(1, 0)
    await settle()
    expect(receiver.frames).toHaveLength(1)
    allow()
    await settle()
    expect(receiver.frames.at(-1)).toEqual({ type: PUBREL, packetId: 1 })
  })

  it('marks what an earlier life of the process may have sent', async () => {
    const { queue, publish } = await setUp({ restored: true })
    for (const text of ['1', '2', '3']) await publish(text)
    const receiver = new RecordingReceiver({ window: 2 })
    queue.attach(receiver)
    await settle()
    queue.acknowledge(receiver.frames[0]!.packetId)
    await settle()
    expect(receiver.frames.map(({ text, dup }) => [text, dup])).toEqual([
      ['1', true],
      ['2', true],
      ['3', false],
    ])
  })

  it('drops from the store what the device must no longer see', async () => {
    const { store, queue, world, publish } = await setUp()
    await publish('secret', 1, 'closed')
    await publish('open')
    world.denied = 'closed'
    const receiver = new RecordingReceiver()
    queue.attach(receiver)
    await settle()
    expect(receiver.texts).toEqual(['open'])
    expect(await store.readQueue(KEY, 0, 10, 0)).toHaveLength(1)
  })

  it('never exceeds the window, loses nothing and keeps the order, whatever is interleaved', async () => {
    const step = fc.oneof(
      fc.record({ do: fc.constant('publish' as const), qos: fc.constantFrom(1 as const, 2 as const) }),
      fc.record({ do: fc.constantFrom('acknowledge', 'reconnect', 'leave', 'settle') }),
    )
    await fc.assert(
      fc.asyncProperty(
        fc.array(step, { maxLength: 60 }),
        fc.integer({ min: 1, max: 4 }),
        async (steps, window) => {
          const { queue, publish } = await setUp()
          let receiver = new RecordingReceiver({ window })
          queue.attach(receiver)
          const delivered = new Set<string>()
          const firstSeen: string[] = []
          let sent = 0
          let seen = 0
          const look = () => {
            for (; seen < receiver.frames.length; seen++) {
              const { text } = receiver.frames[seen]!
              if (text === undefined || delivered.has(text)) continue
              delivered.add(text)
              firstSeen.push(text)
            }
            expect(queue.inflight).toBeLessThanOrEqual(window)
          }
          const acknowledgeAll = () => {
            for (const { type, packetId, qos } of [...receiver.frames]) {
              if (type === PUBREL) queue.completed(packetId)
              else if (qos === 1) queue.acknowledge(packetId)
              else queue.received(packetId, 0)
            }
          }
          const reconnect = () => {
            queue.detach()
            receiver = new RecordingReceiver({ window })
            seen = 0
            queue.attach(receiver)
          }
          for (const one of steps) {
            if (one.do === 'publish') await publish(String(sent++), 'qos' in one ? one.qos : 1)
            else if (one.do === 'acknowledge') acknowledgeAll()
            else if (one.do === 'reconnect') reconnect()
            else if (one.do === 'leave') queue.detach()
            else await settle()
            look()
          }
          reconnect()
          for (let i = 0; i < 200 && delivered.size < sent; i++) {
            await settle()
            look()
            acknowledgeAll()
          }
          expect(firstSeen).toEqual(Array.from({ length: sent }, (_, index) => String(index)))
        },
      ),
      { numRuns: 150, seed: 20_261_123 },
    )
  })
})
