import { describe, expect, it } from 'vitest'
import type { DeadLetter } from '../contract/route-stream.ts'
import { route } from '../test-support/hub-state.ts'
import { deadLetterEnvelope, deadLettersOf, purgeLetters, replayLetters } from './dead-letters.ts'
import { MemoryRouteStream } from './run/memory-route-stream.fixture.ts'

const RECORD = route({ id: 'r', name: 'archive', spec: { delivery: { partitions: 1 } } })
const ERROR = { code: 'HTTP_400', message: 'no', time: Date.UTC(2026, 0, 1) }

async function streamWith(count: number): Promise<MemoryRouteStream> {
  const stream = new MemoryRouteStream()
  const letters = Array.from({ length: count }, (_, n) => ({
    entry: stream.append('r', 1, { topic: `t/${n}`, deviceId: 'me', payload: Buffer.from([n % 256]) }),
    attempts: 3,
    firstError: ERROR,
    lastError: { ...ERROR, code: 'HTTP_422' },
    deadAt: ERROR.time + 1000,
  }))
  await stream.bury({ routeId: 'r', partition: 0 }, letters, { maxMessages: 10_000 })
  return stream
}

async function all(stream: MemoryRouteStream): Promise<DeadLetter[]> {
  const letters: DeadLetter[] = []
  for await (const letter of deadLettersOf(stream, 'r')) letters.push(letter)
  return letters
}

describe('dead letters', () => {
  it('are listed over as many pages as there are', async () => {
    const topics = (await all(await streamWith(250))).map(({ entry }) => entry.topic)
    expect(topics).toEqual(Array.from({ length: 250 }, (_, n) => `t/${n}`))
  })

  it('are shown in an envelope with the reasons', async () => {
    const [letter] = await all(await streamWith(1))
    expect(letter && deadLetterEnvelope(letter, RECORD)).toEqual({
      route: { id: 'r', name: 'archive' },
      position: letter?.entry.position,
      id: letter?.entry.id,
      topic: 't/0',
      payloadBase64: 'AA==',
      qos: 1,
      retain: false,
      time: '2026-01-01T00:00:00.000Z',
      device: 'me',
      attempts: 3,
      firstError: { code: 'HTTP_400', message: 'no', time: '2026-01-01T00:00:00.000Z' },
      lastError: { code: 'HTTP_422', message: 'no', time: '2026-01-01T00:00:00.000Z' },
      deadTime: '2026-01-01T00:00:01.000Z',
    })
  })

  it('are put back, all of them or those that are named', async () => {
    const stream = await streamWith(150)
    const position = (await all(stream))[7]?.entry.position ?? ''
    expect(await replayLetters(stream, RECORD, { positions: [position, 'nonsense'] })).toEqual({
      replayed: 1,
      left: 1,
    })
    expect(await replayLetters(stream, RECORD, 'all')).toEqual({ replayed: 149, left: 0 })
    expect(await stream.backlog('r')).toMatchObject({ messages: 150, deadLetters: 0 })
  })

  it('are removed, all of them or those that are named', async () => {
    const stream = await streamWith(150)
    const position = (await all(stream))[7]?.entry.position ?? ''
    expect(await purgeLetters(stream, 'r', { positions: [position] })).toBe(1)
    expect(await purgeLetters(stream, 'r', 'all')).toBe(149)
    expect(await stream.backlog('r')).toMatchObject({ messages: 0, deadLetters: 0 })
  })
})
