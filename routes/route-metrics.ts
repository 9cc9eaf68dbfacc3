/** Prometheus metrics of the routes of one hub, read from the worker only when they are asked for. */
import { Counter, Gauge, type Registry } from 'prom-client'
import type { RouteReport } from '../contract/route-report.ts'

interface Metric {
  name: string
  help: string
  of: (report: RouteReport) => number
}

const GAUGES: readonly Metric[] = [
  { name: 'hublet_route_lag_messages', help: 'Messages that wait for delivery.', of: ({ lag }) => lag },
  {
    name: 'hublet_route_lag_seconds',
    help: 'How long the oldest message that waits has waited.',
    of: ({ lagMs }) => lagMs / 1000,
  },
  {
    name: 'hublet_route_ready',
    help: '1: what comes is delivered; 0: deliveries fail, or the buffer was full lately.',
    of: ({ health }) => (health === 'Ready' ? 1 : 0),
  },
]

const COUNTERS: readonly Metric[] = [
  { name: 'hublet_route_delivered_total', help: 'Messages delivered.', of: ({ delivered }) => delivered },
  { name: 'hublet_route_failed_total', help: 'Attempts that failed.', of: ({ failed }) => failed },
  {
    name: 'hublet_route_dead_lettered_total',
    help: 'Messages given up and kept as dead letters.',
    of: ({ deadLettered }) => deadLettered,
  },
  {
    name: 'hublet_route_discarded_total',
    help: 'Messages given up and not kept, because spec.deadLetter.enabled is false.',
    of: ({ discarded }) => discarded,
  },
  {
    name: 'hublet_route_dropped_total',
    help: 'Messages lost because the buffer was full, since the stream of the route was made.',
    of: ({ dropped }) => dropped,
  },
  {
    name: 'hublet_route_filtered_total',
    help: 'Messages that spec.filter did not take.',
    of: ({ filtered }) => filtered,
  },
]

/** `nameOf` gives undefined for routes that are gone. One series a route: a hub has a bounded number of them. */
export function addRouteMetrics(
  registry: Registry,
  reports: () => readonly RouteReport[],
  nameOf: (routeId: string) => string | undefined,
): void {
  const each = (write: (labels: { route: string }, report: RouteReport) => void) => {
    for (const report of reports()) {
      const route = nameOf(report.routeId)
      if (route !== undefined) write({ route }, report)
    }
  }
  for (const { name, help, of } of GAUGES) {
    const gauge: Gauge<'route'> = new Gauge({
      name,
      help,
      labelNames: ['route'],
      registers: [registry],
      collect() {
        gauge.reset()
        each((labels, report) => gauge.set(labels, of(report)))
      },
    })
  }
  for (const { name, help, of } of COUNTERS) {
    const counter: Counter<'route'> = new Counter({
      name,
      help,
      labelNames: ['route'],
      registers: [registry],
      collect() {
        counter.reset()
        each((labels, report) => counter.inc(labels, of(report)))
      },
    })
  }
}
