import { describe, expect, it } from 'vitest'
import type { Delivery } from './outbound-queue.ts'
import { OutgoingMessage } from './outgoing-message.ts'
import { RecordingReceiver } from './receiver.fixture.ts'
import { TransientQueue } from './transient-queue.ts'

const PUBREL = 6

function delivery(text: string, qos: 1 | 2 = 1, expiresAt?: number): Delivery {
  const message = { topic: 'a', payload: Buffer.from(text), qos, retain: false }
  const outgoing = new OutgoingMessage(expiresAt === undefined ? message : { ...message, expiresAt }, 0)
  return { outgoing, qos, retain: false, subscriptionIds: undefined, seq: null }
}

function setUp(
  limits: { queueMessages?: number; queueBytes?: number; queueOverflow?: 'DropOldest' | 'DropNewest' } = {},
) {
  const world = { now: 0, dropped: 0, denied: '' }
  const queue = new TransientQueue({
    limits: () => ({ queueMessages: 100, queueBytes: 10_000, queueOverflow: 'DropOldest', ...limits }),
    allows: (topic) => topic !== world.denied,
    now: () => world.now,
    onDrop: (count) => {
      world.dropped += count
    },
  })
  const receiver = new RecordingReceiver({ window: 2 })
  queue.attach(receiver)
  return { queue, receiver, world }
}

describe('the queue of a session without a memory', () => {
  it('sends up to the window and the rest as acknowledgements come in, in order', () => {
    const { queue, receiver } = setUp()
    for (const text of ['1', '2', '3', '4']) queue.push(delivery(text))
    expect(receiver.texts).toEqual(['1', '2'])
    queue.acknowledge(receiver.frames[0]!.packetId)
    expect(receiver.texts).toEqual(['1', '2', '3'])
    queue.acknowledge(receiver.frames[2]!.packetId)
    expect(receiver.texts).toEqual(['1', '2', '3', '4'])
    expect(new Set(receiver.frames.map(({ packetId }) => packetId)).size).toBe(4)
  })

  it('frees the place of a QoS 2 message only with PUBCOMP', () => {
    const { queue, receiver } = setUp()
    for (const text of ['1', '2', '3']) queue.push(delivery(text, 2))
    const { packetId } = receiver.frames[0]!
    queue.completed(packetId)
    queue.acknowledge(packetId)
    expect(receiver.texts).toEqual(['1', '2'])
    queue.received(packetId, 0)
    expect(receiver.frames.at(-1)).toEqual({ type: PUBREL, packetId })
    expect(receiver.texts).toEqual(['1', '2'])
    queue.completed(packetId)
    expect(receiver.texts).toEqual(['1', '2', '3'])
  })

  it('ends a QoS 2 message that the client refuses', () => {
    const { queue, receiver } = setUp()
    for (const text of ['1', '2', '3']) queue.push(delivery(text, 2))
    queue.received(receiver.frames[0]!.packetId, 0x97)
    expect(receiver.texts).toEqual(['1', '2', '3'])
  })

  it('answers a PUBREC that it knows nothing of, so that the client can free the id', () => {
    const { queue, receiver } = setUp()
    queue.received(77, 0)
    expect(receiver.frames).toEqual([{ type: PUBREL, packetId: 77 }])
  })

  it('ignores acknowledgements of unknown ids', () => {
    const { queue, receiver } = setUp()
    queue.push(delivery('1'))
    queue.acknowledge(999)
    queue.completed(999)
    expect(queue.inflight).toBe(1)
    expect(receiver.texts).toEqual(['1'])
  })

  it.each([
    ['DropOldest', ['1', '2', '4', '5']],
    ['DropNewest', ['1', '2', '3', '4']],
  ] as const)('keeps to its bound by %s and counts what it lost', (queueOverflow, expected) => {
    const { queue, receiver, world } = setUp({ queueMessages: 2, queueOverflow })
    for (const text of ['1', '2', '3', '4', '5']) queue.push(delivery(text))
    expect(world.dropped).toBe(1)
    for (let i = 0; i < receiver.frames.length; i++) queue.acknowledge(receiver.frames[i]!.packetId)
    expect(receiver.texts).toEqual(expected)
  })

  it('lets no message that could never fit push the others out', () => {
    const { queue, world, receiver } = setUp({ queueBytes: 50 })
    for (const text of ['1', '2', '3', 'x'.repeat(100)]) queue.push(delivery(text))
    expect(world.dropped).toBe(1)
    queue.acknowledge(receiver.frames[0]!.packetId)
    expect(receiver.texts).toEqual(['1', '2', '3'])
  })

  it('leaves out what has expired or what the device must no longer see', () => {
    const { queue, receiver, world } = setUp()
    for (const text of ['1', '2']) queue.push(delivery(text))
    queue.push(delivery('short', 1, 500))
    queue.push(delivery('long', 1, 5_000))
    world.now = 1_000
    queue.acknowledge(receiver.frames[0]!.packetId)
    expect(receiver.texts).toEqual(['1', '2', 'long'])
    queue.push(delivery('denied'))
    world.denied = 'a'
    queue.acknowledge(receiver.frames[1]!.packetId)
    queue.acknowledge(receiver.frames[2]!.packetId)
    expect(receiver.texts).toEqual(['1', '2', 'long'])
  })

  it('holds back while the socket is congested and goes on by itself when asked', () => {
    const { queue, receiver } = setUp()
    receiver.congested = true
    queue.push(delivery('1'))
    expect(receiver.texts).toEqual([])
    receiver.congested = false
    queue.pump()
    expect(receiver.texts).toEqual(['1'])
  })

  it('forgets everything with its link', () => {
    const { queue, receiver } = setUp()
    for (const text of ['1', '2', '3']) queue.push(delivery(text))
    queue.detach()
    queue.push(delivery('4'))
    const next = new RecordingReceiver()
    queue.attach(next)
    expect(next.texts).toEqual([])
    expect(receiver.texts).toEqual(['1', '2'])
  })

  it('drops a packet larger than the client takes as if it had been delivered', () => {
    const { queue, receiver } = setUp()
    receiver.maximumPacketBytes = 50
    queue.push(delivery('x'.repeat(100)))
    queue.push(delivery('small'))
    expect(receiver.texts).toEqual(['small'])
    expect(queue.inflight).toBe(1)
  })
})
