import { Counter, Gauge, Histogram, type Registry } from 'prom-client'

/** What a queue lets its metrics look at. */
export interface ObservedQueue {
  readonly name: string
  readonly depth: number
  runningSeconds(): number[]
}

export interface WorkQueueMetrics {
  /** Starts the queue's series at zero and reads its gauges at each scrape. */
  watch(queue: ObservedQueue): void
  added(name: string): void
  retried(name: string): void
  started(name: string, waitedSeconds: number): void
  finished(name: string, workedSeconds: number): void
}

/** client-go's own: 10 ns to 1000 s, as powers of ten. */
const DURATION_BUCKETS = [1e-8, 1e-7, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1, 10, 100, 1000]

/** Metrics with client-go's names and buckets, so that dashboards made for other operators work on this one. */
export function createQueueMetrics(registry: Registry): WorkQueueMetrics {
  const queues: ObservedQueue[] = []
  const common = { labelNames: ['name'] as const, registers: [registry] }
  const gauge = (name: string, help: string, read: (queue: ObservedQueue) => number) =>
    new Gauge({
      ...common,
      name,
      help,
      collect() {
        for (const queue of queues) this.set({ name: queue.name }, read(queue))
      },
    })
  gauge('workqueue_depth', 'Keys that wait for a worker', (queue) => queue.depth)
  gauge(
    'workqueue_unfinished_work_seconds',
    'Sum of the seconds that runs now going on have taken',
    (queue) => queue.runningSeconds().reduce((sum, seconds) => sum + seconds, 0),
  )
  gauge(
    'workqueue_longest_running_processor_seconds',
    'Seconds that the longest run now going on has taken',
    (queue) => queue.runningSeconds()[0] ?? 0,
  )
  const adds = new Counter({ ...common, name: 'workqueue_adds_total', help: 'Keys added' })
  const retries = new Counter({
    ...common,
    name: 'workqueue_retries_total',
    help: 'Keys added again after a failure',
  })
  const histogram = (name: string, help: string) =>
    new Histogram({ ...common, name, help, buckets: DURATION_BUCKETS })
  const waited = histogram('workqueue_queue_duration_seconds', 'Seconds a key waited before its run')
  const worked = histogram('workqueue_work_duration_seconds', 'Seconds a run took')
  return {
    watch(queue) {
      queues.push(queue)
      adds.inc({ name: queue.name }, 0)
      retries.inc({ name: queue.name }, 0)
      waited.zero({ name: queue.name })
      worked.zero({ name: queue.name })
    },
    added: (name) => adds.inc({ name }),
    retried: (name) => retries.inc({ name }),
    started: (name, seconds) => waited.observe({ name }, seconds),
    finished: (name, seconds) => worked.observe({ name }, seconds),
  }
}
