import { readFileSync } from 'node:fs'
import path from 'node:path'
import { collectDefaultMetrics, Registry } from 'prom-client'
import { beforeAll, describe, expect, it } from 'vitest'
import { createMetrics, type MetricsParts } from '../broker/metrics.ts'
import { PodMetrics } from '../broker/pod/pod-metrics.ts'
import { createClientMetrics } from '../operator/runtime/client-metrics.ts'
import { createControllerMetrics } from '../operator/runtime/controller-metrics.ts'
import { createInformerMetrics } from '../operator/runtime/informer-metrics.ts'
import { createLeaderMetrics } from '../operator/runtime/leader-metrics.ts'
import { createQueueMetrics } from '../operator/runtime/queue-metrics.ts'
import { addRouteMetrics } from '../routes/route-metrics.ts'
import { PANELS } from './dashboard.ts'

const FILES = path.join(import.meta.dirname, 'hublet/files')
/** Names that stand before a selector, a bracket or the end of an argument. */
const METRIC = /\b[a-z]+(?:_[a-z]+)+(?=\{|\[|\)| )/g
/** Functions of PromQL, and what Grafana has of its own. */
const NO_METRICS = new Set(['label_values'])

let known: ReadonlySet<string>

beforeAll(async () => {
  const registry = new Registry()
  collectDefaultMetrics({ register: registry })
  for (const add of [createClientMetrics, createControllerMetrics, createInformerMetrics]) add(registry)
  for (const add of [createLeaderMetrics, createQueueMetrics]) add(registry)
  addRouteMetrics(
    registry,
    () => [],
    () => undefined,
  )
  // Only looked at for their names: nothing of the data plane is read.
  const context = { hub: () => ({ namespace: 'a', name: 'h' }) } as unknown as MetricsParts['context']
  const broker = createMetrics({ context, links: () => new Set() })
  const pod = await new PodMetrics({ state: () => true, store: () => true }).text()
  known = new Set([
    ...[registry, broker].flatMap((one) => one.getMetricsAsArray().map(({ name }) => name)),
    ...[...pod.matchAll(/^# TYPE (\S+)/gm)].map(([, name = '']) => name),
  ])
})

const metricsOf = (expr: string): string[] =>
  [...expr.matchAll(METRIC)].map(([name]) => name).filter((name) => !NO_METRICS.has(name))

describe('what is watched', () => {
  it.each(PANELS.flatMap(({ title, queries }) => queries.map(({ expr }) => [title, expr] as const)))(
    'on the panel "%s" is measured: %s',
    (_, expr) => {
      const names = metricsOf(expr)
      expect(names.length).toBeGreaterThan(0)
      expect(names.filter((name) => !known.has(name))).toEqual([])
    },
  )

  it('by the alerts is measured', () => {
    const text = readFileSync(path.join(FILES, 'alerts.yaml'), 'utf8')
    const names = [...text.matchAll(/\b(?:hublet|leader_election|controller_runtime)_[a-z_]+/g)].map(
      ([name]) => name,
    )
    expect(new Set(names).size).toBeGreaterThan(8)
    expect(names.filter((name) => !known.has(name))).toEqual([])
  })
})
