/**
 * A whole operator for the tests' Widget kind, small enough to read: each Widget gets a ConfigMap `<name>-size` and
 * a status. It shows how the parts of the runtime meet.
 */
import type { KubeConfig } from '@kubernetes/client-node'
import pino from 'pino'
import { Registry } from 'prom-client'
import { CONFIG_MAPS, WIDGETS, type Widget } from '../../test-support/test-kinds.ts'
import { createApiClient } from './api-client.ts'
import { Applier, type Desired } from './apply.ts'
import { createClientMetrics } from './client-metrics.ts'
import { systemClock } from './clock.ts'
import { ready, stalled } from './conditions.ts'
import { Controller, type ReconcileContext } from './controller.ts'
import { createControllerMetrics } from './controller-metrics.ts'
import { EventRecorder } from './events.ts'
import { ensureFinalizer, finalize, isDeleting } from './finalizer.ts'
import { guardWrites } from './guard-writes.ts'
import { Health } from './health.ts'
import { Informer } from './informer.ts'
import { createInformerMetrics } from './informer-metrics.ts'
import { LeaderElection } from './leader.ts'
import { createLeaderMetrics } from './leader-metrics.ts'
import { type ManagerEnd, runManager } from './manager.ts'
import { done, type Outcome, Stalled } from './outcome.ts'
import { byOwner, OWNER_INDEX } from './owner.ts'
import { createQueueMetrics } from './queue-metrics.ts'
import { RecentWrites } from './recent-writes.ts'
import type { InformerTimes } from './reflector.ts'
import { type KubeObject, keyOf, objectKey } from './resource.ts'
import { writeStatus } from './status.ts'

export interface WidgetOperatorOptions {
  kubeConfig: KubeConfig
  namespace: string
  identity: string
  times?: Partial<InformerTimes>
  /** Default: one that only its holder gives up. */
  lease?: LeaseTimes
  /** ms for a request and for a reconcile. */
  timeoutMs?: number
}

/** Not to be lost by a process that a busy machine lets wait. */
const LONG_LEASE: LeaseTimes = { leaseDurationMs: 60_000, renewDeadlineMs: 45_000, retryMs: 300 }

interface LeaseTimes {
  leaseDurationMs: number
  renewDeadlineMs: number
  retryMs: number
}

export interface WidgetOperator {
  registry: Registry
  health: Health
  ended: Promise<ManagerEnd>
  /** Asks for a run of every Widget, as a restart does. */
  reconcileAll(): void
  stop(): Promise<void>
}

const FINALIZER = 'runtime.test/clean-up'
const NAME = 'widget-controller'

export function startWidgetOperator(options: WidgetOperatorOptions): WidgetOperator {
  const logger = pino({ level: 'silent' })
  const clock = systemClock
  const random = Math.random
  const registry = new Registry()
  const health = new Health()
  const timeoutMs = options.timeoutMs ?? 30_000
  const onDone = createClientMetrics(registry)
  const client = createApiClient({ kubeConfig: options.kubeConfig, timeoutMs, onDone })
  const election = new LeaderElection({
    client,
    clock,
    random,
    logger,
    namespace: options.namespace,
    name: 'widget-operator',
    identity: options.identity,
    ...(options.lease ?? LONG_LEASE),
    metrics: createLeaderMetrics(registry),
  })
  const writer = guardWrites(client, election)
  const common = {
    client,
    clock,
    random,
    logger,
    namespace: options.namespace,
    metrics: createInformerMetrics(registry),
    ...(options.times ? { times: options.times } : {}),
  }
  const widgets = new Informer<Widget>({ ...common, resource: WIDGETS })
  const configMaps = new Informer<KubeObject>({
    ...common,
    resource: CONFIG_MAPS,
    indexers: { [OWNER_INDEX]: byOwner },
  })
  const widgetView = new RecentWrites(widgets, clock)
  const configMapView = new RecentWrites(configMaps, clock)
  const applier = new Applier({
    client: writer,
    fieldManager: NAME,
    hashAnnotation: 'runtime.test/applied',
    view: ({ kind }) => (kind === 'ConfigMap' ? configMapView : undefined),
  })
  const events = new EventRecorder({
    client: writer,
    clock,
    logger,
    controller: 'runtime.test/widget-operator',
    instance: options.identity,
  })

  async function reconcile(key: string, { signal }: ReconcileContext): Promise<Outcome> {
    const widget = widgetView.get(key)
    if (!widget) return done()
    const request = { client: writer, resource: WIDGETS, object: widget, finalizer: FINALIZER, signal }
    if (isDeleting(widget)) {
      const forceAnnotation = 'runtime.test/force-delete'
      await finalize({
        ...request,
        clock,
        forceAnnotation,
        giveUpAfterMs: 60_000,
        // Where no garbage collector runs, what was applied goes with its owner all the same.
        cleanUp: async () => void (await applier.prune(widget, [], [CONFIG_MAPS], signal)),
      })
      return done()
    }
    if ((await ensureFinalizer(request)) === 'added') return done()
    const desired = compile(widget)
    const results = await applier.apply(widget, desired, signal)
    await applier.prune(widget, desired, [CONFIG_MAPS], signal)
    const refused = results.find((result) => result.outcome === 'refused')
    const findings = refused
      ? stalled({ reason: refused.reason, message: refused.message })
      : ready({ reason: 'Succeeded', message: 'the size is written' })
    await writeStatus({
      client: writer,
      clock,
      resource: WIDGETS,
      object: widget,
      fieldManager: NAME,
      fields: {},
      findings,
      view: widgetView,
      signal,
    })
    for (const result of results) {
      if (result.outcome === 'created') {
        events.event(widget, {
          type: 'Normal',
          reason: 'Created',
          action: 'Apply',
          note: keyOf(result.object),
        })
      }
    }
    if (refused) throw new Stalled(refused.reason, refused.message)
    return done()
  }

  const controller = new Controller({
    name: 'widget',
    reconcile,
    logger,
    clock,
    random,
    timeoutMs,
    backoff: { baseMs: 20, maxMs: 500 },
    metrics: createControllerMetrics(registry),
    queueMetrics: createQueueMetrics(registry),
  })
  widgets.onChange(({ object, bulk }) => controller.enqueue(keyOf(object), { background: bulk }))
  configMaps.onChange(({ object, bulk }) => {
    for (const { kind, name } of object.metadata.ownerReferences ?? []) {
      const key = objectKey(object.metadata.namespace, name)
      if (kind === 'Widget') controller.enqueue(key, { background: bulk })
    }
  })
  const stop = new AbortController()
  const ended = runManager(
    {
      informers: [widgets, configMaps],
      controllers: [controller],
      election,
      health,
      clock,
      logger,
      beforeRelease: () => events.flush(),
    },
    stop.signal,
  ).finally(async () => {
    await events.stop()
    client.close()
  })
  return {
    registry,
    health,
    ended,
    reconcileAll: () => {
      for (const widget of widgets.list()) controller.enqueue(keyOf(widget))
    },
    async stop() {
      stop.abort()
      await ended
    },
  }
}

/** What a Widget is to have: one ConfigMap, two when it is large. */
function compile(widget: Widget): Desired[] {
  const { name, namespace } = widget.metadata
  const size = widget.spec?.size ?? 0
  const configMap = (suffix: string): Desired => ({
    resource: CONFIG_MAPS,
    object: {
      metadata: { name: `${name}-${suffix}`, namespace: namespace ?? '', labels: { widget: name ?? '' } },
      data: { size: String(size) },
    } as KubeObject,
  })
  return size > 10 ? [configMap('size'), configMap('large')] : [configMap('size')]
}
