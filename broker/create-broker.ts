import type { Logger } from 'pino'
import type { EventCode, HubEvent } from '../contract/hub-event.ts'
import type { ServerCredentials } from '../contract/hub-state.ts'
import { BrokerCore, type Enrol } from './broker-core.ts'
import type { DeviceActivity } from './device-activity.ts'
import type { ListenerAddress } from './listen/listener-address.ts'
import { type OpenListeners, openListeners } from './listen/open-listeners.ts'
import type { ReplyPublish } from './outside-publish.ts'
import type { ListenerName } from './policy/link.ts'
import type { Verdict } from './policy/verdict.ts'
import type { Provision } from './session/provisioner.ts'
import type { StateSource } from './state/state-source.ts'
import type { Store } from './store/store.ts'

export type { DeviceActivity } from './device-activity.ts'
export type { ListenerAddress } from './listen/listener-address.ts'
export type { ReplyPublish } from './outside-publish.ts'

export interface BrokerOptions {
  state: StateSource
  store: Store
  /** Only the listeners named here are opened. */
  listeners: Partial<Record<ListenerName, ListenerAddress>>
  /** Needed by mqtts, wss and https. */
  credentials?: ServerCredentials
  logger: Logger
  /** Every event before rate limiting, for logs and tests. */
  onEvent?: (event: HubEvent) => void
  /** Makes a device that made itself known by a certificate of the hub's own CA; without it there are none. */
  provision?: Provision
  /** Issues certificates to devices that ask for them (EST); without it there are none. */
  enrol?: Enrol
}

export interface Broker {
  /** The port each open listener really has. */
  readonly ports: Readonly<Partial<Record<ListenerName, number>>>
  /** New handshakes use the new certificate; live links stay (pitfall "server cert hot reload"). */
  setCredentials(credentials: ServerCredentials): void
  activity(): DeviceActivity[]
  /** Cuts every client off, with the event and the MQTT 5 reason that `code` stands for. Listeners stay open. */
  closeLinks(code: EventCode, detail?: string): void
  /**
   * Publishes what the destination of a route has answered. Refused (with an event about the route): a topic that
   * is invalid or the hub's own, what the hub's limits forbid, a loop. Rejects when the store fails.
   */
  publishReply(reply: ReplyPublish): Promise<Verdict>
  /** Publishes an event of whoever works beside the broker, such as the worker of its routes. */
  raise(event: HubEvent): void
  /** Prometheus text. */
  metrics(): Promise<string>
  /** Closes listeners and links, publishes no will, stores what is pending. */
  stop(): Promise<void>
}

/**
 * Opens the state, the store and the listeners of one hub. Rejects, with nothing left open, when a listener
 * can't be bound (the message names it and its address) or the store can't be opened.
 */
export async function createBroker(options: BrokerOptions): Promise<Broker> {
  const core = await BrokerCore.start(options)
  let listeners: OpenListeners
  try {
    listeners = await openListeners({
      listeners: options.listeners,
      ...(options.credentials === undefined ? {} : { credentials: options.credentials }),
      host: core.listenerHost(),
    })
  } catch (error) {
    await core.stop()
    throw error
  }
  core.setListeners(listeners)
  let stopping: Promise<void> | undefined
  return {
    ports: listeners.ports,
    setCredentials: (credentials) => listeners.setCredentials(credentials),
    activity: () => core.activity(),
    closeLinks: (code, detail) => core.closeLinks({ code, detail }),
    publishReply: (reply) => core.publishReply(reply),
    raise: (event) => core.raise(event),
    metrics: () => core.metrics(),
    stop() {
      stopping ??= stop(core, listeners)
      return stopping
    },
  }
}

/** Links first: a listener waits until its last connection is gone. */
async function stop(core: BrokerCore, listeners: OpenListeners): Promise<void> {
  const closed = listeners.close()
  await core.stop()
  await closed
}
