import { Writable } from 'node:stream'
import pino from 'pino'
import { Registry } from 'prom-client'
import { describe, expect, it } from 'vitest'
import { FakeClock, settle } from '../../test-support/fake-clock.ts'
import { Controller, type Reconcile } from './controller.ts'
import { createControllerMetrics } from './controller-metrics.ts'
import { done, requeueAfter, Stalled, soonest, Waiting } from './outcome.ts'

function setUp(reconcile: Reconcile, timeoutMs = 1_000) {
  const clock = new FakeClock()
  const registry = new Registry()
  const lines: Array<Record<string, unknown>> = []
  const sink = new Writable({
    write(chunk, _, next) {
      lines.push(JSON.parse(String(chunk)))
      next()
    },
  })
  const controller = new Controller({
    name: 'widget',
    reconcile,
    clock,
    random: () => 1,
    logger: pino({ level: 'trace' }, sink),
    timeoutMs,
    backoff: { baseMs: 100, maxMs: 1_000 },
    metrics: createControllerMetrics(registry),
  })
  const count = async (result: string) => {
    const { values } = await registry.getSingleMetric('controller_runtime_reconcile_total')!.get()
    return values.find(({ labels }) => labels['result'] === result)?.value
  }
  return { clock, controller, count, lines, registry }
}

/** Runs `reconcile` for one key and gives the times (ms from the start) at which it ran within `ms`. */
async function runsOf(reconcile: Reconcile, ms: number): Promise<number[]> {
  const times: number[] = []
  const context = setUp((key, run) => {
    times.push(context.clock.monotonic())
    return reconcile(key, run)
  })
  context.controller.start()
  context.controller.enqueue('a/b')
  await context.clock.advance(ms)
  return times
}

describe('when a reconcile runs again', () => {
  const fail =
    (error: Error): Reconcile =>
    () =>
      Promise.reject(error)
  const CASES: Record<string, { reconcile: Reconcile; runs: number[] }> = {
    'done: not until something changes': { reconcile: async () => done(), runs: [0] },
    'requeueAfter: at that time, and again': {
      reconcile: async () => requeueAfter(400),
      runs: [0, 400, 800],
    },
    'a failure: after a back-off that doubles': { reconcile: fail(new Error('x')), runs: [0, 100, 300, 700] },
    'a throw before the first await: as any failure': {
      reconcile: () => {
        throw new Error('x')
      },
      runs: [0, 100, 300, 700],
    },
    'something thrown that is no error: as any failure': {
      reconcile: () => Promise.reject('text'),
      runs: [0, 100, 300, 700],
    },
    'Stalled: not until something changes': { reconcile: fail(new Stalled('NameTaken', 'x')), runs: [0] },
    'Waiting: after its time, which does not grow': {
      reconcile: fail(new Waiting('SecretMissing', 'x', 250)),
      runs: [0, 250, 500, 750, 1_000],
    },
  }
  it.each(Object.entries(CASES))('%s', async (_, { reconcile, runs }) => {
    expect(await runsOf(reconcile, 1_000)).toEqual(runs)
  })

  it('a success ends the row of failures', async () => {
    let run = 0
    const times = await runsOf(async () => {
      run += 1
      if (run === 3) return requeueAfter(50)
      throw new Error('x')
    }, 600)
    expect(times).toEqual([0, 100, 300, 350, 450])
  })
})

describe('a controller', () => {
  it('gives each run a logger with controller, key and an id of its own, and logs the failure by it', async () => {
    const ids: string[] = []
    const { controller, lines } = setUp(async (_, { reconcileId, logger }) => {
      ids.push(reconcileId)
      logger.info('hello')
      throw new Error('it broke')
    })
    controller.start()
    controller.enqueue('ns/one')
    controller.enqueue('ns/two')
    await settle()
    expect(new Set(ids).size).toBe(2)
    expect(lines[0]).toMatchObject({ controller: 'widget', key: 'ns/one', reconcileId: ids[0], msg: 'hello' })
    const failed = lines.filter(({ msg }) => msg === 'reconcile failed')
    expect(failed[1]).toMatchObject({ key: 'ns/two', reconcileId: ids[1], err: { message: 'it broke' } })
  })

  it('counts each result, starting from zero', async () => {
    let error: Error | undefined
    const { clock, controller, count, registry } = setUp(async () => {
      if (error) throw error
      return done()
    })
    expect(await count('success')).toBe(0)
    controller.start()
    controller.enqueue('a')
    await settle()
    error = new Stalled('BadReference', 'x')
    controller.enqueue('a')
    await settle()
    error = new Error('x')
    controller.enqueue('a')
    await settle()
    error = undefined
    await clock.advance(100)
    expect([await count('success'), await count('stalled'), await count('error')]).toEqual([2, 1, 1])
    const text = await registry.metrics()
    expect(text).toContain('controller_runtime_reconcile_errors_total{controller="widget"} 1')
    expect(text).toContain('controller_runtime_terminal_reconcile_errors_total{controller="widget"} 1')
    expect(text).toContain('controller_runtime_reconcile_time_seconds_count{controller="widget"} 4')
    expect(text).toContain('controller_runtime_active_workers{controller="widget"} 0')
  })

  it('aborts a run that takes too long and tries it again', async () => {
    const reasons: string[] = []
    const { clock, controller, registry } = setUp(
      (_, { signal }) =>
        new Promise((_, reject) => {
          signal.addEventListener('abort', () => {
            reasons.push(signal.reason.message)
            reject(signal.reason)
          })
        }),
    )
    controller.start()
    controller.enqueue('a')
    await clock.advance(2_150)
    expect(reasons).toEqual(['reconcile took longer than 1000 ms', 'reconcile took longer than 1000 ms'])
    expect(await registry.metrics()).toContain(
      'controller_runtime_reconcile_timeouts_total{controller="widget"} 2',
    )
  })

  it('reports a run that heeds no signal as stuck, and never runs its key beside it', async () => {
    let runs = 0
    const { clock, controller } = setUp(() => {
      runs += 1
      return new Promise(() => {})
    })
    controller.start()
    controller.enqueue('a')
    await clock.advance(60_000)
    controller.enqueue('a')
    expect(controller.stuckRuns()).toBe(0)
    await clock.advance(2_000)
    expect(controller.stuckRuns()).toBe(1)
    expect(runs).toBe(1)
  })

  it('aborts what runs when it is stopped, and does not take that for a failure', async () => {
    const { controller, count } = setUp(
      (_, { signal }) =>
        new Promise((_, reject) => {
          signal.addEventListener('abort', () => reject(signal.reason))
        }),
    )
    controller.start()
    controller.enqueue('a')
    await settle()
    await controller.stop()
    expect(await count('aborted')).toBe(1)
    expect(await count('error')).toBe(0)
  })

  it('keeps keys that were added before it was started', async () => {
    const seen: string[] = []
    const { controller } = setUp(async (key) => {
      seen.push(key)
      return done()
    })
    controller.enqueue('early')
    await settle()
    expect(controller.depth).toBe(1)
    controller.start()
    await settle()
    expect(seen).toEqual(['early'])
  })
})

describe('the soonest of several outcomes', () => {
  it('is the least time, or done when none has one', () => {
    expect(soonest([done(), requeueAfter(9), requeueAfter(3)])).toEqual(requeueAfter(3))
    expect(soonest([done(), done()])).toEqual(done())
  })
})
