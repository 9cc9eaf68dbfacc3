import { setTimeout as delay } from 'node:timers/promises'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { RouteEntry } from '../../contract/route-stream.ts'
import { into, NEVER, OpenStreams, positionsOf, textOf } from './route-stream.fixture.ts'
import type { StoreUnderTest } from './store.fixture.ts'

const LONG_MS = 30_000

function stopper(): { signal: AbortSignal; abort: () => void } {
  const controller = new AbortController()
  return { signal: controller.signal, abort: () => controller.abort() }
}

/** Reads that wait for a message. */
export function routeWaitingContract(makeStore: () => Promise<StoreUnderTest>): void {
  describe('a read that waits', () => {
    let on: OpenStreams

    beforeEach(async () => {
      on = await OpenStreams.with(await makeStore())
    })
    afterEach(() => on.close())

    function wait(
      options: {
        routeId?: string
        partition?: number
        after?: string
        waitMs?: number
        signal?: AbortSignal
      } = {},
    ): Promise<RouteEntry[]> {
      const { routeId = 'r', partition = 0, waitMs = LONG_MS, signal = NEVER, ...rest } = options
      return on.stream.read({ routeId, partition }, { limit: 10, waitMs, signal, ...rest })
    }

    test('is woken by an append at once', async () => {
      const reading = wait()
      await delay(20)
      const start = performance.now()
      await on.append('m', [into('r')])
      expect((await reading).map(textOf)).toEqual(['m'])
      expect(performance.now() - start).toBeLessThan(LONG_MS / 3)
    })

    test('is woken whenever the append comes, also while it is looking', async () => {
      for (let i = 0; i < 300; i += 1) {
        const reading = wait()
        // From before the first look to after it.
        for (let turn = 0; turn < i % 6; turn += 1) await (turn % 2 === 0 ? null : new Promise(setImmediate))
        void on.append(`m${i}`, [into('r')])
        const entries = await reading
        expect(entries.map(textOf)).toEqual([`m${i}`])
        await on.stream.settle({ routeId: 'r', partition: 0 }, positionsOf(entries))
      }
    })

    test('does not wait when there is something', async () => {
      await on.append('m1', [into('r')])
      const [first] = await wait()
      const next = wait({ after: first!.position })
      await on.append('m2', [into('r')])
      expect((await next).map(textOf)).toEqual(['m2'])
    })

    test('goes on waiting when the message is for another partition or route, or gone already', async () => {
      const { signal, abort } = stopper()
      const readings = [wait(), wait({ partition: 1, signal }), wait({ routeId: 'other' })]
      let done = 0
      for (const reading of readings) void reading.then(() => (done += 1))
      await on.append('m', [into('elsewhere')])
      await delay(30)
      expect(done).toBe(0)
      await on.append('m', [into('r'), into('other')])
      expect((await readings[0]!).map(textOf)).toEqual(['m'])
      expect((await readings[2]!).map(textOf)).toEqual(['m'])
      expect(done).toBe(2)
      abort()
      expect(await readings[1]).toEqual([])
    })

    test('is woken by a replay', async () => {
      await on.append('m', [into('r')])
      const letters = await on.buryAll()
      const reading = wait()
      await delay(10)
      await on.stream.replay('r', positionsOf(letters.map(({ entry }) => entry)), into('r'))
      expect((await reading).map(textOf)).toEqual(['m'])
    })

    test('wakes every one that waits for it', async () => {
      const readings = Array.from({ length: 50 }, () => wait())
      await delay(10)
      await on.append('m', [into('r')])
      for (const entries of await Promise.all(readings)) expect(entries.map(textOf)).toEqual(['m'])
    })

    test('ends with nothing when its time is over', async () => {
      const start = performance.now()
      expect(await wait({ waitMs: 60 })).toEqual([])
      expect(performance.now() - start).toBeGreaterThan(50)
    })

    test('ends with nothing when it is aborted, before or while it waits', async () => {
      expect(await wait({ signal: AbortSignal.abort() })).toEqual([])
      const { signal, abort } = stopper()
      const reading = wait({ signal })
      await delay(10)
      abort()
      expect(await reading).toEqual([])
    })

    test('fails when the store is closed', async () => {
      const outcome = expect(wait()).rejects.toMatchObject({ code: 'STORE_CLOSED' })
      await delay(10)
      await on.store.close()
      await outcome
    })
  })
}
