import { isDeepStrictEqual } from 'node:util'
import type { Logger } from 'pino'
import type { Broker, BrokerOptions, ListenerAddress } from '../../broker/create-broker.ts'
import type { ListenerName } from '../../broker/policy/link.ts'
import { MemoryStateSource } from '../../broker/state/memory-state-source.ts'
import type { StateChange } from '../../broker/state/state-source.ts'
import { createSqliteStore } from '../../broker/store/sqlite-store.ts'
import type { Store } from '../../broker/store/store.ts'
import type { UsedCertificate } from '../../contract/activity-digest.ts'
import type { EnrolmentAnswer, EnrolmentRequest } from '../../contract/asks.ts'
import type { HubEvent } from '../../contract/hub-event.ts'
import type { ProvisioningAnswer, ProvisioningRequest } from '../../contract/provisioning.ts'
import type { ControlledHub } from '../../routes/control/control-calls.ts'
import { EventLog } from './event-log.ts'
import type { HubPlan } from './hub-plan.ts'
import { HubRoutes } from './hub-routes.ts'
import { mergeMetrics } from './merge-metrics.ts'
import type { ListenerPorts } from './ports.ts'

export type StartBroker = (options: BrokerOptions) => Promise<Broker>

export interface RunnerOptions {
  startBroker: StartBroker
  /** Address to listen on. */
  bind: string
  /** Path of a file of the data folder. */
  file: (...parts: string[]) => string
  logger: Logger
  /** Makes a device of the hub that made itself known. */
  provision: (hubKey: string, request: ProvisioningRequest) => Promise<ProvisioningAnswer>
  /** Issues a certificate that a device of the hub asks for; it is in force when this resolves. */
  enrol: (hubKey: string, request: EnrolmentRequest) => Promise<EnrolmentAnswer>
}

interface Parts {
  broker: Broker
  store: Store
  state: MemoryStateSource
  events: EventLog
  routes: HubRoutes
  wanted: ListenerPorts
  /** Shared with the log, which names objects as they are called now. */
  current: { plan: HubPlan }
}

/** One hub with its broker, from start to stop. */
export class HubRunner {
  /** Ports that the manifest asked for when the broker was started. */
  readonly wanted: ListenerPorts
  readonly #parts: Parts

  private constructor(parts: Parts) {
    this.wanted = parts.wanted
    this.#parts = parts
  }

  /** Rejects when a listener or the store cannot be opened; nothing stays open then. */
  static async start(
    plan: HubPlan,
    ports: { wanted: ListenerPorts; assigned: ListenerPorts },
    options: RunnerOptions,
  ): Promise<HubRunner> {
    const logger = options.logger.child({ hub: plan.key })
    const current = { plan }
    const state = new MemoryStateSource(plan.state)
    const store = createSqliteStore(options.file(plan.key, 'store.sqlite'), {
      onLazyError: (error) => logger.warn({ err: error }, 'the store could not write'),
    })
    const events = new EventLog(logger, {
      now: () => performance.now(),
      nameOf: (event) => nameOf(event, current.plan),
    })
    try {
      const broker = await options.startBroker({
        state,
        store,
        listeners: addresses(options.bind, ports.assigned),
        credentials: plan.server,
        logger,
        onEvent: (event) => events.write(event),
        provision: (request) => options.provision(plan.key, request),
        enrol: (request) => options.enrol(plan.key, request),
      })
      const routes = new HubRoutes({ broker, stream: store.routes(), logger, plan: () => current.plan })
      return new HubRunner({ broker, store, state, events, routes, wanted: ports.wanted, current })
    } catch (error) {
      await store.close()
      throw error
    }
  }

  get plan(): HubPlan {
    return this.#parts.current.plan
  }

  /** The ports that are really open. */
  get ports(): ListenerPorts {
    return this.#parts.broker.ports
  }

  /** The certificates that devices were let in by last, by device id. */
  usedCertificates(): Map<string, UsedCertificate> {
    const used = this.#parts.broker
      .activity()
      .map(({ deviceId, certificate }) => [deviceId, certificate] as const)
    return new Map(
      used.flatMap(([id, certificate]) => (certificate === undefined ? [] : [[id, certificate]])),
    )
  }

  controlled(): ControlledHub {
    const { current, routes, store } = this.#parts
    return {
      key: current.plan.key,
      records: () => current.plan.state.routes,
      reports: () => routes.reports(),
      stream: store.routes(),
    }
  }

  /** Prometheus text of this hub. */
  async metrics(): Promise<string> {
    const { broker, routes } = this.#parts
    return mergeMetrics(await Promise.all([broker.metrics(), routes.metrics()]))
  }

  /** Brings a new plan into force without touching what it does not concern. */
  update(plan: HubPlan): StateChange {
    const { broker, state, routes, current } = this.#parts
    if (!isDeepStrictEqual(current.plan.server, plan.server)) broker.setCredentials(plan.server)
    current.plan = plan
    const change = state.replace(plan.state)
    // Also when the state is the same: secret values of routes are no part of it.
    routes.refresh()
    return change
  }

  /** Everything that was acknowledged is on the disk when this resolves. */
  async stop(): Promise<void> {
    const { broker, store, events, routes } = this.#parts
    // Before the broker, which closes the store that they read, and takes replies until then.
    await routes.stop()
    await broker.stop()
    await store.close()
    events.close()
  }
}

const addresses = (host: string, ports: ListenerPorts): Partial<Record<ListenerName, ListenerAddress>> =>
  Object.fromEntries(Object.entries(ports).map(([name, port]) => [name, { host, port }]))

function nameOf({ objectType, objectId }: HubEvent, { state }: HubPlan): string | undefined {
  if (objectType === 'device') return state.devices.find(({ id }) => id === objectId)?.name
  if (objectType === 'network') return state.networks.find(({ id }) => id === objectId)?.name
  if (objectType === 'route') return state.routes.find(({ id }) => id === objectId)?.name
  return undefined
}
