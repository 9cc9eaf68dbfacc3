import { readFile } from 'node:fs/promises'
import { afterEach, beforeEach, describe, expect, inject, it, vi } from 'vitest'
import { adminConfig, installWidgets, TestNamespace } from '../../test-support/cluster.ts'
import { FaultProxy } from '../../test-support/fault-proxy.ts'
import { CONFIG_MAPS, type ConfigMap, WIDGETS, type Widget } from '../../test-support/test-kinds.ts'
import { findCondition } from './conditions.ts'
import type { StatusBase } from './status.ts'
import {
  startWidgetOperator,
  type WidgetOperator,
  type WidgetOperatorOptions,
} from './widget-operator.fixture.ts'

const auditLog = inject('auditLog')
let space: TestNamespace
const operators: WidgetOperator[] = []
const cleanUps: Array<() => Promise<void>> = []

beforeEach(async () => {
  space = await TestNamespace.create('manager')
  await installWidgets(space.client)
})
afterEach(async () => {
  for (const operator of operators.splice(0)) await operator.stop()
  for (const cleanUp of cleanUps.splice(0)) await cleanUp()
  await space.remove()
})

const waitFor = (check: () => void | Promise<void>, timeout = 60_000) =>
  vi.waitFor(check, { timeout, interval: 50 })

function start(
  identity: string,
  { kubeConfig = adminConfig(), ...options }: Partial<WidgetOperatorOptions> = {},
): WidgetOperator {
  const operator = startWidgetOperator({
    kubeConfig,
    namespace: space.name,
    identity,
    times: { stallMs: 1_500, backoff: { baseMs: 20, maxMs: 300 }, maxRetryAfterMs: 1_000, listMs: 3_000 },
    timeoutMs: 3_000,
    ...options,
  })
  operators.push(operator)
  return operator
}

/**
 * What the namespace must hold when every Widget was taken care of. `isCollected`: a leader whose copies are behind lets
 * go of a Widget whose objects it has not seen yet; those are for the garbage collector, which does not run here.
 */
async function isConverged({ isCollected = false } = {}): Promise<void> {
  const widgets = await space.list<Widget>(WIDGETS)
  const expected: Record<string, string> = {}
  for (const { metadata, spec, status } of widgets) {
    const size = spec?.size ?? 0
    expected[`${metadata.name}-size`] = String(size)
    if (size > 10) expected[`${metadata.name}-large`] = String(size)
    const { conditions, observedGeneration } = (status ?? {}) as StatusBase
    expect(findCondition(conditions, 'Ready')).toMatchObject({
      status: 'True',
      observedGeneration: metadata.generation,
    })
    expect(observedGeneration).toBe(metadata.generation)
    expect(metadata.deletionTimestamp).toBeUndefined()
  }
  const uids = new Set(widgets.map(({ metadata }) => metadata.uid))
  const configMaps = (await space.list<ConfigMap>(CONFIG_MAPS)).filter(
    ({ metadata }) => !isCollected || metadata.ownerReferences?.some(({ uid }) => uids.has(uid)),
  )
  const found = Object.fromEntries(configMaps.map(({ metadata, data }) => [metadata.name, data?.['size']]))
  expect(found).toEqual(expected)
}

/** Requests of the namespace in the API server's audit log, reads left out. */
async function writes(): Promise<string[]> {
  const lines = (await readFile(auditLog, 'utf8')).trim().split('\n')
  const entries = lines.map(
    (line) => JSON.parse(line) as { verb: string; requestURI: string; userAgent?: string },
  )
  return entries
    .filter(({ requestURI }) => requestURI.includes(`/namespaces/${space.name}/`))
    .filter(({ verb }) => !['get', 'list', 'watch'].includes(verb))
    .filter(({ requestURI }) => !requestURI.includes('/leases/') && !requestURI.includes('/events'))
    .map(({ verb, requestURI }) => `${verb} ${requestURI}`)
}

/** The same once nothing was added for a while: a line is written when its request ends, not before its answer. */
async function settledWrites(): Promise<string[]> {
  let last = await writes()
  for (let since = performance.now(); performance.now() - since < 500; ) {
    await new Promise((resolve) => setTimeout(resolve, 50))
    const next = await writes()
    if (next.length > last.length) since = performance.now()
    last = next
  }
  return last
}

const makeWidgets = async (count: number) => {
  for (let n = 0; n < count; n += 1) await space.post(WIDGETS, `w-${n}`, { spec: { size: n } })
}

const reconciles = (operator: WidgetOperator) => counter(operator, 'controller_runtime_reconcile_total')

const counter = async ({ registry }: WidgetOperator, name: string) => {
  const { values } = await registry.getSingleMetric(name)!.get()
  return values.reduce((sum, { value }) => sum + value, 0)
}

describe('an operator on this runtime', () => {
  it('makes, changes, repairs and removes what its objects ask for', async () => {
    start('only')
    await makeWidgets(15)
    await waitFor(isConverged)
    await space.merge(WIDGETS, 'w-0', { spec: { size: 99 } })
    await space.merge(WIDGETS, 'w-14', { spec: { size: 1 } })
    await space.merge(CONFIG_MAPS, 'w-3-size', { data: { size: 'edited' } })
    await space.delete(CONFIG_MAPS, 'w-4-size')
    await space.delete(WIDGETS, 'w-5')
    await waitFor(isConverged)
    expect(await space.list(WIDGETS)).toHaveLength(14)
  })

  it.skipIf(auditLog === '')(
    'writes nothing when it reconciles everything again, or starts again',
    async () => {
      const first = start('first')
      await makeWidgets(15)
      await waitFor(isConverged)
      const before = await settledWrites()
      const runs = await counter(first, 'controller_runtime_reconcile_total')
      first.reconcileAll()
      await waitFor(async () =>
        expect(await counter(first, 'controller_runtime_reconcile_total')).toBeGreaterThanOrEqual(runs + 15),
      )
      await operators.pop()!.stop()
      const second = start('second')
      await waitFor(async () =>
        expect(await counter(second, 'controller_runtime_reconcile_total')).toBeGreaterThanOrEqual(15),
      )
      await second.stop()
      // The log is written when a request ends, so this one must not overtake what it looks for.
      await space.merge(WIDGETS, 'w-0', { metadata: { labels: { marker: 'x' } } })
      await waitFor(async () => expect((await writes()).length).toBeGreaterThan(before.length))
      expect((await writes()).slice(before.length)).toHaveLength(1)
    },
  )

  it('says Stalled and touches nothing when a name is taken, and goes on once it is free', async () => {
    await space.post(CONFIG_MAPS, 'w-size', { data: { size: 'theirs' } })
    start('only')
    await space.post(WIDGETS, 'w', { spec: { size: 3 } })
    await waitFor(async () => {
      const { status } = await space.get<Widget>(WIDGETS, 'w')
      expect(findCondition((status as StatusBase | undefined)?.conditions, 'Stalled')).toMatchObject({
        status: 'True',
        reason: 'NameTaken',
      })
    })
    expect((await space.get<ConfigMap>(CONFIG_MAPS, 'w-size')).data).toEqual({ size: 'theirs' })
    await space.delete(CONFIG_MAPS, 'w-size')
    // The stranger's object had no owner to wake; a person touches the Widget.
    await space.merge(WIDGETS, 'w', { metadata: { annotations: { touched: 'yes' } } })
    await waitFor(isConverged)
  })

  it('keeps observedGeneration true while the spec changes faster than it reconciles', async () => {
    start('only')
    await space.post(WIDGETS, 'w', { spec: { size: 0 } })
    let seen = 0
    let ahead = 0
    for (let n = 1; n <= 150; n += 1) {
      await space.merge(WIDGETS, 'w', { spec: { size: n % 20 } })
      const { metadata, status } = await space.get<Widget>(WIDGETS, 'w')
      const { observedGeneration = 0, conditions = [] } = (status ?? {}) as StatusBase
      if (observedGeneration > 0) seen += 1
      if (observedGeneration > (metadata.generation ?? 0)) ahead += 1
      for (const condition of conditions) expect(condition.observedGeneration).toBe(observedGeneration)
    }
    expect(ahead).toBe(0)
    expect(seen).toBeGreaterThan(0)
    await waitFor(isConverged)
  })

  it('is ready once its copies are, alive all the time, and counts under the usual names', async () => {
    const operator = start('only')
    expect(operator.health.ready().ok).toBe(false)
    expect(operator.health.live().ok).toBe(true)
    await makeWidgets(2)
    await waitFor(isConverged)
    expect(operator.health.ready()).toMatchObject({ ok: true })
    expect(operator.health.live()).toMatchObject({ ok: true })
    // A Widget has its status before the worker that wrote it has ended.
    await waitFor(async () => {
      const text = await operator.registry.metrics()
      for (const line of [
        'workqueue_depth{name="widget"} 0',
        'controller_runtime_active_workers{controller="widget"} 0',
        'leader_election_master_status{name="widget-operator"} 1',
        'informer_objects{name="widgets"} 2',
        'reflector_lists_total{name="widgets"} 1',
      ]) {
        expect(text).toContain(line)
      }
    })
    const text = await operator.registry.metrics()
    expect(text).toMatch(/rest_client_requests_total\{code="201",method="POST",host="127\.0\.0\.1:\d+"\} \d+/)
  })
})

describe('two operators on an API server in trouble', () => {
  it('converge through 503s, 429s, cut connections, stale versions and stalls, with a hand-over in the middle', async () => {
    const proxies = [new FaultProxy(adminConfig()), new FaultProxy(adminConfig())]
    for (const proxy of proxies) cleanUps.push(() => proxy.stop())
    const lease = { leaseDurationMs: 8_000, renewDeadlineMs: 5_000, retryMs: 300 }
    const first = start('first', { kubeConfig: await proxies[0]!.start(), lease })
    await waitFor(async () => expect(await counter(first, 'leader_election_master_status')).toBe(1))
    const second = start('second', { kubeConfig: await proxies[1]!.start(), lease })
    for (const proxy of proxies) {
      let turn = 0
      proxy.rule = ({ url, watch }) => {
        // The lease is left alone in this part: leadership moves when the test says so.
        if (url.pathname.includes('/leases/')) return undefined
        turn += 1
        if (turn % 4 === 0) return { kind: 'answer', status: 503 }
        if (turn % 5 === 0) return { kind: 'answer', status: 429, headers: { 'retry-after': '0' } }
        if (turn % 7 === 0) return { kind: 'cut' }
        if (turn % 9 === 0) return { kind: 'truncate', bytes: 200 }
        if (turn % 11 === 0) return { kind: 'stall' }
        if (watch && turn % 3 === 0) return { kind: 'rewrite', query: { resourceVersion: '1' } }
        return undefined
      }
    }
    const cutter = setInterval(() => {
      for (const proxy of proxies) proxy.cutWatches()
    }, 700)
    await makeWidgets(24)
    for (let n = 0; n < 24; n += 3) await space.merge(WIDGETS, `w-${n}`, { spec: { size: 24 - n } })
    // The first is cut off entirely: it must give up by itself, and the second take over.
    proxies[0]!.silence()
    expect(await first.ended).toBe('leadership-lost')
    for (let n = 0; n < 24; n += 4) await space.delete(WIDGETS, `w-${n}`)
    // Struck for as long as the work would take many times over, so that it is struck in every part.
    await waitFor(async () => expect(await reconciles(second)).toBeGreaterThan(60), 150_000)
    clearInterval(cutter)
    for (const proxy of proxies) proxy.rule = () => undefined
    proxies[1]!.resume()
    await waitFor(() => isConverged({ isCollected: true }), 150_000)
    expect(await counter(second, 'leader_election_master_status')).toBe(1)
    expect(await space.list(WIDGETS)).toHaveLength(18)
  }, 400_000)
})
