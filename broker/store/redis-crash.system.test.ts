import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { redisSettings } from '../../contract/redis-access.ts'
import { type RedisServer, startRedis } from '../../test-support/redis.ts'
import { RedisStore } from './redis-store.ts'
import type { Store } from './store.ts'

const LIMITS = { queueMessages: 1e6, queueBytes: 1e9, queueOverflow: 'DropNewest' } as const
const CHILD = join(import.meta.dirname, 'redis-child.fixture.ts')
const SEED = 20_260_904
/** ms from the first acknowledgement to the kill. */
const DELAYS = fc.sample(fc.integer({ min: 0, max: 150 }), { seed: SEED, numRuns: 10 })
/** More than the child has under way at once: ids this far above the last acknowledged one were never sent. */
const MARGIN = 20

async function queued(store: Store, key: string): Promise<{ ids: number[]; seqs: number[] }> {
  const entries = await store.readQueue(key, 0, 1e6, 0)
  return {
    ids: entries.map(({ message }) => Number.parseInt(message.payload.toString('latin1'), 10)),
    seqs: entries.map(({ seq }) => seq),
  }
}

describe('a Redis that flushes before every answer', () => {
  let server: RedisServer

  beforeAll(async () => {
    server = await startRedis({ fsync: 'always' })
  })
  afterAll(() => server.stop())

  describe('has, when the broker is killed with SIGKILL,', () => {
    const hubUid = 'crash-of-the-broker'
    const acknowledged: number[] = []
    let next = 1

    async function killAfter(delay: number): Promise<number[]> {
      const child = spawn(process.execPath, [CHILD, server.url, hubUid, String(next)], {
        stdio: ['ignore', 'pipe', 'inherit'],
      })
      let output = ''
      child.stdout.on('data', (data) => {
        output += data
      })
      await once(child.stdout, 'data')
      setTimeout(() => child.kill('SIGKILL'), delay)
      await once(child, 'close')
      // What follows the last line end was cut off while it was said.
      return output.split('\n').slice(0, -1).map(Number)
    }

    test.each(DELAYS)(
      'every acknowledged message in every queue, and of the others all or nothing (after %i ms)',
      async (delay) => {
        const said = await killAfter(delay)
        expect(said.length).toBeGreaterThan(0)
        acknowledged.push(...said)
        const store = new RedisStore({ hubUid, settings: redisSettings({ url: server.url }) })
        await store.open(LIMITS)
        try {
          const { ids, seqs } = await queued(store, 's/0')
          expect((await queued(store, 's/1')).ids).toEqual(ids)
          expect(seqs).toEqual(seqs.map((_, i) => i + 1))
          const found = new Set(ids)
          expect(acknowledged.filter((id) => !found.has(id))).toEqual([])
          const last = said.at(-1)!
          for (let id = Math.max(next, last - MARGIN); id < last + MARGIN; id += 1) {
            const message = { topic: 't', payload: Buffer.alloc(0), qos: 2 as const, retain: false }
            const incoming = { sessionKey: 's/0', packetId: id }
            const again = await store.accept({ message, targets: [], incoming })
            expect(again.duplicate).toBe(found.has(id))
          }
          next = last + MARGIN
        } finally {
          await store.close()
        }
      },
    )
  })

  test('loses nothing and doubles nothing when it is killed with SIGKILL under load, again and again', async () => {
    const store = new RedisStore({ hubUid: 'crash-of-redis', settings: redisSettings({ url: server.url }) })
    await store.open(LIMITS)
    await store.putSession({ key: 's/0', deviceId: 'd', clientId: 'c', subscriptions: [] })
    const acknowledged: number[] = []
    let next = 0
    let stopped = false
    const loop = async () => {
      while (!stopped) {
        const id = next
        next += 1
        const message = { topic: 't', payload: Buffer.from(`${id}`), qos: 1 as const, retain: false }
        await store.accept({ message, targets: [{ sessionKey: 's/0', qos: 1, retain: false }] })
        acknowledged.push(id)
        if (id % 7 === 0) await new Promise(setImmediate)
      }
    }
    const loops = Array.from({ length: 50 }, loop)
    for (const delay of DELAYS) {
      await new Promise((resolve) => setTimeout(resolve, delay))
      const before = acknowledged.length
      await server.kill()
      await server.start()
      while (acknowledged.length < before + 100) await new Promise((resolve) => setTimeout(resolve, 5))
    }
    stopped = true
    await Promise.all(loops)
    const { ids, seqs } = await queued(store, 's/0')
    // In order: what was accepted first stands first, over every crash.
    expect(ids).toEqual(Array.from({ length: next }, (_, i) => i))
    expect(acknowledged.toSorted((a, b) => a - b)).toEqual(ids)
    expect(seqs).toEqual(ids.map((id) => id + 1))
    await store.close()
  })
})
