import { Counter, Gauge, Histogram, type Registry } from 'prom-client'

export interface ObservedInformer {
  readonly name: string
  readonly size: number
  lastSyncAge(): number
}

export interface InformerMetrics {
  watch(informer: ObservedInformer): void
  listed(name: string, seconds: number, objects: number): void
  watched(name: string): void
  changed(name: string, type: string): void
  failed(name: string, reason: string): void
  handlerFailed(name: string): void
}

/** The reflector metrics under client-go's names, and what it lacks: how old the copy may be. */
export function createInformerMetrics(registry: Registry): InformerMetrics {
  const informers: ObservedInformer[] = []
  const common = { labelNames: ['name'] as const, registers: [registry] }
  const gauge = (name: string, help: string, read: (informer: ObservedInformer) => number) =>
    new Gauge({
      ...common,
      name,
      help,
      collect() {
        for (const informer of informers) this.set({ name: informer.name }, read(informer))
      },
    })
  gauge('informer_last_sync_age_seconds', 'Seconds since the copy was last known to be in step', (informer) =>
    Math.max(0, informer.lastSyncAge() / 1000),
  )
  gauge('informer_objects', 'Objects in the copy', (informer) => informer.size)
  const lists = new Counter({ ...common, name: 'reflector_lists_total', help: 'Full lists' })
  const watches = new Counter({ ...common, name: 'reflector_watches_total', help: 'Watches opened' })
  const listSeconds = new Histogram({
    ...common,
    name: 'reflector_list_duration_seconds',
    help: 'Seconds a full list took, all pages',
    buckets: [0.01, 0.05, 0.1, 0.5, 1, 5, 10, 30, 60],
  })
  const listItems = new Gauge({
    ...common,
    name: 'reflector_items_per_list',
    help: 'Objects in the last list',
  })
  const changes = new Counter({
    name: 'informer_changes_total',
    help: 'Changes told to handlers',
    labelNames: ['name', 'type'],
    registers: [registry],
  })
  const failures = new Counter({
    name: 'informer_failures_total',
    help: 'Lists and watches that failed, by HTTP status or cause',
    labelNames: ['name', 'reason'],
    registers: [registry],
  })
  const handlerFailures = new Counter({
    ...common,
    name: 'informer_handler_failures_total',
    help: 'Handlers that threw',
  })
  return {
    watch(informer) {
      const { name } = informer
      informers.push(informer)
      for (const counter of [lists, watches, handlerFailures]) counter.inc({ name }, 0)
      for (const type of ['added', 'updated', 'deleted']) changes.inc({ name, type }, 0)
      listSeconds.zero({ name })
    },
    listed(name, seconds, objects) {
      lists.inc({ name })
      listSeconds.observe({ name }, seconds)
      listItems.set({ name }, objects)
    },
    watched: (name) => watches.inc({ name }),
    changed: (name, type) => changes.inc({ name, type }),
    failed: (name, reason) => failures.inc({ name, reason }),
    handlerFailed: (name) => handlerFailures.inc({ name }),
  }
}
