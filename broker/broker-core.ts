import type { Logger } from 'pino'
import type { HubEvent } from '../contract/hub-event.ts'
import { Counters } from './counters.ts'
import type { Session } from './deliver/session.ts'
import { SharedSubscriptions } from './deliver/shared-subscriptions.ts'
import { SubscriptionIndex } from './deliver/subscription-index.ts'
import type { DeviceActivity } from './device-activity.ts'
import { EventOutlet } from './event-outlet.ts'
import { Ingest } from './ingest.ts'
import type { EnrolmentHost, ListenerHost } from './listen/listener-host.ts'
import { applyChange, type ListenerChanges } from './live-changes.ts'
import { createMetrics } from './metrics.ts'
import { publishFromNetwork, publishReply, type ReplyPublish } from './outside-publish.ts'
import { compileFilters } from './policy/filters.ts'
import type { Verdict } from './policy/verdict.ts'
import { restore } from './restore.ts'
import { RouteIntakes } from './route-intakes.ts'
import { type CloseReason, closeLink } from './session/close-link.ts'
import type { SessionContext } from './session/context.ts'
import { identifyByCertificate } from './session/identify-certificate.ts'
import { LinkHost } from './session/link-host.ts'
import { LiveDevices } from './session/live-devices.ts'
import { type Provision, Provisioner } from './session/provisioner.ts'
import { Sessions, storeLimits } from './session/sessions.ts'
import { Wills } from './session/wills.ts'
import type { StateChange, StateSource } from './state/state-source.ts'
import { RetainedIndex } from './store/retained-index.ts'
import type { Store, SubscriptionRecord } from './store/store.ts'
import { SWEEP_INTERVAL_MS, sweep } from './sweep.ts'

/** Asks for a certificate; undefined: no answer in time. */
export type Enrol = EnrolmentHost['enrol']

export interface CoreOptions {
  state: StateSource
  store: Store
  logger: Logger
  onEvent?: (event: HubEvent) => void
  provision?: Provision
  enrol?: Enrol
}

/** Everything of a broker but its listeners: wires the parts, and turns changes and time into action. */
export class BrokerCore {
  readonly #context: SessionContext
  readonly #enrol: Enrol | undefined
  readonly #links: LinkHost
  readonly #events: EventOutlet
  readonly #registry: ReturnType<typeof createMetrics>
  #listeners: ListenerChanges | undefined
  #sweeping: NodeJS.Timeout | undefined
  /** Changes are applied one after another. */
  #changing: Promise<void> = Promise.resolve()

  private constructor(options: CoreOptions) {
    const { context, events } = wire(options)
    this.#context = context
    this.#enrol = options.enrol
    this.#events = events
    this.#links = new LinkHost(context)
    this.#registry = createMetrics({ context, links: () => this.#links.links })
  }

  static async start(options: CoreOptions): Promise<BrokerCore> {
    const { state, store } = options
    let core: BrokerCore | undefined
    const early: StateChange[] = []
    await state.start(
      (change) => {
        if (core === undefined) early.push(change)
        else core.#onChange(change)
      },
      () => core?.deviceIds() ?? [],
    )
    core = new BrokerCore(options)
    core.#context.routes.set(state.routes())
    try {
      await restore(core.#context, await store.open(storeLimits(state.hub().limits)))
      await core.#links.start()
    } catch (error) {
      await state.stop()
      throw error
    }
    for (const change of early) core.#onChange(change)
    core.#sweeping = setInterval(() => core.#sweep(), SWEEP_INTERVAL_MS)
    core.#sweeping.unref()
    return core
  }

  setListeners(listeners: ListenerChanges): void {
    this.#listeners = listeners
  }

  listenerHost(): ListenerHost {
    const { state, logger } = this.#context
    return {
      hub: () => this.#context.hub(),
      networkByName: (name) => state.networkByName(name),
      openLink: (facts, transport, place) => this.#links.open(facts, transport, place),
      publish: (message) => publishFromNetwork(this.#context, message),
      raise: (event) => this.#events.raise(event),
      enrolment: this.#enrolment(),
      logger,
    }
  }

  #enrolment(): EnrolmentHost | undefined {
    const enrol = this.#enrol
    if (enrol === undefined) return undefined
    return {
      identify: (facts) => identifyByCertificate(this.#context, facts),
      deviceByName: (name) => this.#context.state.deviceByName(name),
      enrol,
    }
  }

  activity(): DeviceActivity[] {
    return Array.from(this.#context.devices, ({ id, links, certificate, ...device }) => ({
      deviceId: id,
      connections: links.size,
      lastActivityAt: device.lastActivityAt,
      messagesIn: device.messagesIn,
      messagesOut: device.messagesOut,
      ...(certificate === undefined ? {} : { certificate }),
    }))
  }

  /** Of the devices that have links or sessions here. */
  deviceIds(): string[] {
    return Array.from(this.#context.devices, ({ record }) => record.id)
  }

  closeLinks(reason: CloseReason): void {
    for (const link of [...this.#links.links]) closeLink(this.#context, link, reason)
  }

  publishReply(reply: ReplyPublish): Promise<Verdict> {
    return publishReply(this.#context, reply)
  }

  raise(event: HubEvent): void {
    this.#events.raise(event)
  }

  async metrics(): Promise<string> {
    return await this.#registry.metrics()
  }

  async stop(): Promise<void> {
    clearInterval(this.#sweeping)
    // First, so that no will is published because the broker goes.
    this.#context.wills.stop()
    await this.#links.stop()
    await this.#context.state.stop()
    await this.#changing
    await this.#context.store.close()
  }

  #sweep(): void {
    sweep(this.#context, this.#links.links, this.#events)
  }

  #onChange(change: StateChange): void {
    this.#changing = this.#changing
      .then(() => applyChange(this.#context, this.#listeners, change))
      .catch((error: unknown) => {
        this.#context.logger.error({ err: error }, 'a change of the hub could not be applied')
      })
  }
}

function wire(options: CoreOptions): { context: SessionContext; events: EventOutlet } {
  const { state, store, logger, provision } = options
  const now = Date.now
  const hub = () => state.hub()
  const { retainedMessages, retainedBytes } = hub().limits
  const subscriptions = new SubscriptionIndex<Session, SubscriptionRecord>()
  const shared = new SharedSubscriptions()
  const retained = new RetainedIndex({ messages: retainedMessages, bytes: retainedBytes })
  const counters = new Counters()
  const raise = (event: HubEvent) => events.raise(event)
  const devices = new LiveDevices({ hub, now })
  const sessions = new Sessions({ store, subscriptions, shared, hub, raise, counters, logger, now })
  const sessionByKey = (key: string) => sessions.get(key)
  const routes = new RouteIntakes({ raise, counters, logger, now })
  const ingest = new Ingest({
    store,
    subscriptions,
    shared,
    retained,
    routes,
    sessionByKey,
    hub,
    raise,
    counters,
    now,
  })
  const mayPublish = (deviceId: string, topic: string) => {
    const live = devices.get(deviceId)
    if (live !== undefined) return live.filters.allowsPublish(topic)
    return state.deviceById(deviceId).then((record) => {
      if (record === undefined) return false
      return compileFilters(record.filters, hub().events.topicPrefix).allowsPublish(topic)
    })
  }
  const wills = new Wills({ store, ingest: () => ingest, mayPublish, raise, logger, now })
  const events = new EventOutlet({
    hub,
    counters,
    now,
    observe: options.onEvent,
    publish(topic, payload, { objectType, objectId }) {
      const aboutRoute = objectType === 'route' ? objectId : undefined
      const passage = ingest.enter({ topic, payload, qos: 0, retain: false }, { aboutRoute })
      const { stored } = passage
      // Only what routes take is stored of an event; without them it is told before anything that follows.
      if (!(stored instanceof Promise)) return ingest.complete(passage, stored)
      stored.then(
        (result) => ingest.complete(passage, result),
        (error: unknown) => {
          counters.storeFaults += 1
          logger.error({ err: error }, 'an event could not be stored for the routes that take it')
        },
      )
    },
  })
  const context: SessionContext = {
    state,
    store,
    subscriptions,
    shared,
    retained,
    devices,
    sessions,
    wills,
    ingest,
    routes,
    counters,
    logger,
    ...(provision === undefined ? {} : { provisioner: new Provisioner({ provision, hub, raise, now }) }),
    generation: 0,
    hub,
    raise,
    now,
  }
  return { context, events }
}
