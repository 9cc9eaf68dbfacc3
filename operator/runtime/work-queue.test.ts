import fc from 'fast-check'
import { Registry } from 'prom-client'
import { describe, expect, it } from 'vitest'
import { FakeClock, settle } from '../../test-support/fake-clock.ts'
import { createQueueMetrics } from './queue-metrics.ts'
import { WorkQueue, type WorkQueueOptions } from './work-queue.ts'

const queueWith = (options: Partial<WorkQueueOptions> = {}) => {
  const clock = new FakeClock()
  const queue = new WorkQueue({ name: 'test', clock, random: () => 1, ...options })
  return { clock, queue }
}

/** Work that ends when the test says so. */
function manualWork() {
  const begun: string[] = []
  const ends = new Map<string, () => void>()
  const work = (key: string) => {
    begun.push(key)
    return new Promise<void>((resolve) => ends.set(key, resolve))
  }
  const finish = async (key: string) => {
    ends.get(key)?.()
    await settle()
  }
  return { begun, work, finish }
}

describe('a work queue', () => {
  it('hands out a key once however often it was added before its run', async () => {
    const { queue } = queueWith()
    const { begun, work } = manualWork()
    for (let n = 0; n < 5; n += 1) queue.add('a')
    queue.start(work, 4)
    await settle()
    expect(begun).toEqual(['a'])
    expect(queue.depth).toBe(0)
  })

  it('runs a key that was added during its run once more, and not before that run has ended', async () => {
    const { queue } = queueWith()
    const { begun, work, finish } = manualWork()
    queue.start(work, 4)
    queue.add('a')
    await settle()
    queue.add('a')
    queue.add('a')
    await settle()
    expect(begun).toEqual(['a'])
    await finish('a')
    expect(begun).toEqual(['a', 'a'])
    await finish('a')
    expect(begun).toEqual(['a', 'a'])
  })

  it('works on no more keys at a time than its concurrency', async () => {
    const { queue } = queueWith()
    const { begun, work, finish } = manualWork()
    queue.start(work, 2)
    for (const key of ['a', 'b', 'c']) queue.add(key)
    await settle()
    expect(begun).toEqual(['a', 'b'])
    await finish('b')
    expect(begun).toEqual(['a', 'b', 'c'])
  })

  it('lets a key go ahead of background keys, without starving them', async () => {
    const { queue } = queueWith()
    const { begun, work, finish } = manualWork()
    for (let n = 0; n < 10; n += 1) queue.add(`bulk-${n}`, { background: true })
    for (let n = 0; n < 10; n += 1) queue.add(`edit-${n}`)
    queue.add('bulk-7')
    queue.start(work, 1)
    await settle()
    for (let n = 0; n < 20; n += 1) await finish(begun.at(-1)!)
    expect(begun.slice(0, 5)).toEqual(['edit-0', 'edit-1', 'edit-2', 'edit-3', 'bulk-0'])
    expect(begun.indexOf('bulk-7')).toBeLessThan(begun.indexOf('bulk-2'))
    expect(new Set(begun).size).toBe(20)
  })

  it('goes on when work throws', async () => {
    const { queue } = queueWith()
    const seen: string[] = []
    queue.start(async (key) => {
      seen.push(key)
      throw new Error('work broke')
    }, 1)
    queue.add('a')
    queue.add('b')
    await settle()
    expect(seen).toEqual(['a', 'b'])
  })

  it('adds a delayed key when its time comes, at the earliest of the times asked for', async () => {
    const { queue, clock } = queueWith()
    const { begun, work } = manualWork()
    queue.start(work, 1)
    queue.addAfter('a', 5_000)
    queue.addAfter('a', 2_000)
    queue.addAfter('a', 9_000)
    await clock.advance(1_999)
    expect(begun).toEqual([])
    await clock.advance(1)
    expect(begun).toEqual(['a'])
    expect(queue.delayed).toBe(0)
  })

  it('doubles the delay of a key that keeps failing up to the ceiling, and starts over once forgotten', () => {
    const { queue } = queueWith({ backoff: { baseMs: 100, maxMs: 1_000 } })
    const delays = Array.from({ length: 6 }, () => queue.addRateLimited('a'))
    expect(delays).toEqual([100, 200, 400, 800, 1_000, 1_000])
    expect(queue.addRateLimited('b')).toBe(100)
    queue.forget('a')
    expect(queue.failures('a')).toBe(0)
    expect(queue.addRateLimited('a')).toBe(100)
  })

  it('does not let a back-off hold up an event that comes meanwhile', async () => {
    const { queue } = queueWith()
    const { begun, work } = manualWork()
    queue.start(work, 1)
    queue.addRateLimited('a')
    queue.add('a')
    await settle()
    expect(begun).toEqual(['a'])
  })

  it('stops handing out at once and resolves when what runs has ended', async () => {
    const { queue } = queueWith()
    const { begun, work, finish } = manualWork()
    queue.start(work, 1)
    queue.add('a')
    queue.add('b')
    await settle()
    let stopped = false
    const stopping = queue.stop().then(() => {
      stopped = true
    })
    queue.add('c')
    await settle()
    expect(stopped).toBe(false)
    await finish('a')
    await stopping
    expect(begun).toEqual(['a'])
  })

  it('refuses to be started twice', () => {
    const { queue } = queueWith()
    queue.start(async () => {}, 1)
    expect(() => queue.start(async () => {}, 1)).toThrow('work queue test was started already')
  })
})

describe('metrics of a work queue', () => {
  const value = async (registry: Registry, name: string) =>
    (await registry.getSingleMetricAsString(name)).split('\n').filter((line) => !line.startsWith('#'))

  it('exist at zero before the first key', async () => {
    const registry = new Registry()
    queueWith({ metrics: createQueueMetrics(registry) })
    expect(await value(registry, 'workqueue_adds_total')).toEqual(['workqueue_adds_total{name="test"} 0'])
    expect(await value(registry, 'workqueue_depth')).toEqual(['workqueue_depth{name="test"} 0'])
    expect(await value(registry, 'workqueue_retries_total')).toEqual([
      'workqueue_retries_total{name="test"} 0',
    ])
  })

  it('count adds, retries, depth, waiting and working time by the injected clock', async () => {
    const registry = new Registry()
    const { queue, clock } = queueWith({ metrics: createQueueMetrics(registry) })
    const { work, finish } = manualWork()
    queue.start(work, 1)
    queue.add('a')
    queue.add('b')
    queue.add('b')
    queue.addRateLimited('c')
    await clock.advance(150)
    expect(await value(registry, 'workqueue_adds_total')).toEqual(['workqueue_adds_total{name="test"} 2'])
    expect(await value(registry, 'workqueue_depth')).toEqual(['workqueue_depth{name="test"} 1'])
    expect(await value(registry, 'workqueue_retries_total')).toEqual([
      'workqueue_retries_total{name="test"} 1',
    ])
    expect(await value(registry, 'workqueue_unfinished_work_seconds')).toEqual([
      'workqueue_unfinished_work_seconds{name="test"} 0.15',
    ])
    await finish('a')
    expect(await value(registry, 'workqueue_queue_duration_seconds')).toContain(
      'workqueue_queue_duration_seconds_sum{name="test"} 0.15',
    )
    expect(await value(registry, 'workqueue_work_duration_seconds')).toContain(
      'workqueue_work_duration_seconds_sum{name="test"} 0.15',
    )
  })
})

describe('whatever is added, delayed, failed and finished in whatever order', () => {
  const keys = fc.constantFrom('a', 'b', 'c', 'd', 'e')
  const step = fc.oneof(
    fc.record({ do: fc.constant('add' as const), key: keys, background: fc.boolean() }),
    fc.record({ do: fc.constant('addAfter' as const), key: keys, ms: fc.integer({ min: 0, max: 50 }) }),
    fc.record({ do: fc.constant('fail' as const), key: keys }),
    fc.record({ do: fc.constant('finish' as const), key: keys }),
    fc.record({ do: fc.constant('advance' as const), ms: fc.integer({ min: 1, max: 60 }) }),
  )

  it('no key runs twice at a time, concurrency holds, and every add is followed by a run that began after it', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(step, { maxLength: 60 }),
        fc.integer({ min: 1, max: 3 }),
        async (steps, limit) => {
          const { queue, clock } = queueWith({ backoff: { baseMs: 10, maxMs: 40 } })
          const running = new Map<string, () => void>()
          const broken: string[] = []
          let order = 0
          const lastAdd = new Map<string, number>()
          const lastBegin = new Map<string, number>()
          queue.start((key) => {
            expect(running.has(key)).toBe(false)
            expect(running.size).toBeLessThan(limit)
            lastBegin.set(key, ++order)
            return new Promise<void>((resolve) => running.set(key, resolve))
          }, limit)
          const finish = async (key: string) => {
            const end = running.get(key)
            running.delete(key)
            end?.()
            await settle()
          }
          for (const one of steps) {
            if (one.do === 'advance') await clock.advance(one.ms)
            else if (one.do === 'finish') await finish(one.key)
            else {
              lastAdd.set(one.key, ++order)
              if (one.do === 'add') queue.add(one.key, { background: one.background })
              else if (one.do === 'addAfter') queue.addAfter(one.key, one.ms)
              else queue.addRateLimited(one.key)
              await settle()
            }
          }
          // Let everything come due and end: nothing may be left, lost or stuck.
          await clock.advance(1_000)
          for (let n = 0; n < 50 && running.size > 0; n += 1) await finish([...running.keys()][0]!)
          expect(broken).toEqual([])
          expect(running.size + queue.depth + queue.delayed).toBe(0)
          for (const [key, added] of lastAdd) expect(lastBegin.get(key)).toBeGreaterThan(added)
        },
      ),
      { numRuns: 200, seed: 4 },
    )
  })
})
