import { Counter, Gauge, Histogram, type Registry } from 'prom-client'

/** The first four as in controller-runtime, the other two are ours. */
const RESULTS = ['success', 'error', 'requeue', 'requeue_after', 'stalled', 'aborted'] as const
export type ReconcileResult = (typeof RESULTS)[number]

export interface ControllerMetrics {
  watch(controller: string, concurrency: number): void
  began(controller: string): void
  ended(controller: string, result: ReconcileResult, seconds: number): void
  timedOut(controller: string): void
}

/** controller-runtime's own buckets. */
const SECONDS = [
  0.005, 0.01, 0.025, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5, 0.6, 0.7, 0.8, 0.9, 1, 1.25, 1.5,
  1.75, 2, 2.5, 3, 3.5, 4, 4.5, 5, 6, 7, 8, 9, 10, 15, 20, 25, 30, 40, 50, 60,
]

/** Metrics with controller-runtime's names, every series at zero from the start. */
export function createControllerMetrics(registry: Registry): ControllerMetrics {
  const common = { labelNames: ['controller'] as const, registers: [registry] }
  const prefix = 'controller_runtime'
  const total = new Counter({
    name: `${prefix}_reconcile_total`,
    help: 'Reconciles by result',
    labelNames: ['controller', 'result'],
    registers: [registry],
  })
  const counter = (name: string, help: string) => new Counter({ ...common, name: `${prefix}_${name}`, help })
  const errors = counter('reconcile_errors_total', 'Reconciles that failed and are tried again')
  const terminal = counter('terminal_reconcile_errors_total', 'Reconciles that wait for a person')
  const timeouts = counter('reconcile_timeouts_total', 'Reconciles that ran out of time')
  const seconds = new Histogram({
    ...common,
    name: `${prefix}_reconcile_time_seconds`,
    help: 'Seconds a reconcile took',
    buckets: SECONDS,
  })
  const workers = new Gauge({ ...common, name: `${prefix}_active_workers`, help: 'Reconciles going on' })
  const limit = new Gauge({
    ...common,
    name: `${prefix}_max_concurrent_reconciles`,
    help: 'Reconciles that may go on at a time',
  })
  return {
    watch(controller, concurrency) {
      for (const result of RESULTS) total.inc({ controller, result }, 0)
      for (const metric of [errors, terminal, timeouts]) metric.inc({ controller }, 0)
      seconds.zero({ controller })
      workers.set({ controller }, 0)
      limit.set({ controller }, concurrency)
    },
    began: (controller) => workers.inc({ controller }),
    ended(controller, result, took) {
      workers.dec({ controller })
      total.inc({ controller, result })
      seconds.observe({ controller }, took)
      if (result === 'error') errors.inc({ controller })
      if (result === 'stalled') terminal.inc({ controller })
    },
    timedOut: (controller) => timeouts.inc({ controller }),
  }
}
