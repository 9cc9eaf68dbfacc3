import type { Logger } from 'pino'
import type { HubEvent } from '../contract/hub-event.ts'
import type { ServerCredentials } from '../contract/hub-state.ts'
import type { ListenerName } from './policy/link.ts'
import type { StateSource } from './state/state-source.ts'
import type { Store } from './store/store.ts'

/** Where one listener binds; port 0 takes a free one. */
export interface ListenerAddress {
  host: string
  port: number
}

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
}

/** Low-rate digest for a status page: never kept per message. */
export interface DeviceActivity {
  deviceId: string
  connections: number
  /** ms since the epoch. */
  lastActivityAt: number
  messagesIn: number
  messagesOut: number
}

export interface Broker {
  /** The port each open listener really has. */
  readonly ports: Readonly<Partial<Record<ListenerName, number>>>
  /** New handshakes use the new certificate; live links stay (pitfall "server cert hot reload"). */
  setCredentials(credentials: ServerCredentials): void
  activity(): DeviceActivity[]
  /** Prometheus text. */
  metrics(): Promise<string>
  /** Closes listeners and links, publishes no will, stores what is pending. */
  stop(): Promise<void>
}

/**
 * Opens the store and the listeners of one hub. The data plane is not assembled yet: until it is, this refuses
 * loudly instead of pretending (the tests that need it are listed in `vitest.config.ts`).
 */
export async function createBroker(options: BrokerOptions): Promise<Broker> {
  options.logger.error('the broker is not part of this build yet')
  throw new Error('the broker is not part of this build yet')
}
