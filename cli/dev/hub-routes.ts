import type { Logger } from 'pino'
import { Registry } from 'prom-client'
import type { Broker } from '../../broker/create-broker.ts'
import type { RouteReport } from '../../contract/route-report.ts'
import type { RouteStream } from '../../contract/route-stream.ts'
import { systemClock } from '../../operator/runtime/clock.ts'
import type { EgressPolicy } from '../../routes/net/egress.ts'
import { RouteEvents } from '../../routes/route-events.ts'
import { addRouteMetrics } from '../../routes/route-metrics.ts'
import { createRouteWorker, type RouteWorker } from '../../routes/worker.ts'
import type { HubPlan } from './hub-plan.ts'
import { routeIdOf } from './route-credentials.ts'

/**
 * Whoever writes the manifests is at the keyboard here, so a destination on the same machine or in the same network
 * is what they mean. Link-local addresses and metadata services stay out of reach, as everywhere.
 */
const DEV_NETWORK: EgressPolicy = { allowLoopback: true, allowPrivate: true, denied: [] }

export interface HubRoutesOptions {
  broker: Broker
  stream: RouteStream
  logger: Logger
  /** The plan in force. */
  plan: () => HubPlan
}

/** The routes of one hub of `hublet dev`, delivered in this process. */
export class HubRoutes {
  readonly #options: HubRoutesOptions
  readonly #worker: RouteWorker
  readonly #events = new RouteEvents()
  readonly #registry = new Registry()
  /** Streams of routes that are gone are removed one after the other. */
  #removing: Promise<void> = Promise.resolve()

  constructor(options: HubRoutesOptions) {
    this.#options = options
    const { broker, stream, logger, plan } = options
    this.#worker = createRouteWorker({
      stream,
      records: () => plan().state.routes,
      credentials: (routeId) => plan().routeCredentials.get(routeId),
      async publishReply(routeId, { topic, payload, qos, retain, contentType, trail }) {
        const verdict = await broker.publishReply({
          ...{ topic, payload, qos, retain, trail },
          ...(contentType === undefined ? {} : { contentType }),
        })
        // The broker has raised the event; the answer of a destination is lost, the message to it is not.
        if (!verdict.allowed) logger.debug({ route: routeId, code: verdict.code }, 'reply not published')
      },
      onStatus: (report) => {
        for (const event of this.#events.of(report)) broker.raise(event)
      },
      onFault: (routeId, error) => logger.debug({ route: routeId, err: error }, 'a fault of a route'),
      network: DEV_NETWORK,
      clock: systemClock,
      random: Math.random,
    })
    const { hub } = plan().state
    this.#registry.setDefaultLabels({ namespace: hub.namespace, hub: hub.name })
    addRouteMetrics(
      this.#registry,
      () => this.#worker.snapshots(),
      (routeId) => plan().state.routes.find(({ id }) => id === routeId)?.name,
    )
    this.#removeGone()
  }

  /** Brings the plan in force into effect; routes that it does not change go on undisturbed. */
  refresh(): void {
    this.#worker.refresh()
    this.#events.keep(new Set(this.#options.plan().state.routes.map(({ id }) => id)))
    this.#removeGone()
  }

  reports(): readonly RouteReport[] {
    return this.#worker.snapshots()
  }

  /** Prometheus text. */
  metrics(): Promise<string> {
    return this.#registry.metrics()
  }

  /** Deliveries under way have ten seconds to end; what is not delivered waits in the store. */
  async stop(): Promise<void> {
    await this.#worker.stop()
    await this.#removing
  }

  /** What waits for a route whose manifest is gone is gone with it, as in a cluster. */
  #removeGone(): void {
    const { stream, logger, plan } = this.#options
    this.#removing = this.#removing
      .then(async () => {
        for (const routeId of await stream.routeIds()) {
          // Manifests, not records: a route that is left out for a fault of its spec keeps its messages.
          const isThere = plan().manifests.routes.some(({ object }) => routeIdOf(object) === routeId)
          if (!isThere) await stream.removeRoute(routeId)
        }
      })
      .catch((error: unknown) => {
        logger.warn({ err: error }, 'what waited for routes that are gone could not be removed')
      })
  }
}
