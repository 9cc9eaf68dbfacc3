import type { IConnectPacket } from 'mqtt-packet'
import { pino } from 'pino'
import { type Broker, createBroker, type ListenerAddress } from '../broker/create-broker.ts'
import type { ListenerName } from '../broker/policy/link.ts'
import { MemoryStateSource } from '../broker/state/memory-state-source.ts'
import { createMemoryStore } from '../broker/store/memory-store.ts'
import type { Store } from '../broker/store/store.ts'
import type { EventCode, HubEvent } from '../contract/hub-event.ts'
import type { DeviceRecord, HubState } from '../contract/hub-state.ts'
import { hubState } from './hub-state.ts'
import { type ClientOptions, connackCode, MqttClient } from './mqtt-client.ts'
import { type LinkAddress, openLink } from './mqtt-link.ts'
import { type MadeCertificate, makeServerCertificate } from './openssl.ts'
import { PATIENCE_MS, waitUntil } from './wait.ts'

export const ALL_LISTENERS: readonly ListenerName[] = ['mqtt', 'mqtts', 'ws', 'wss', 'http', 'https']

export interface StartOptions {
  listeners?: readonly ListenerName[]
  store?: Store
  /** Where not just any free port will do. */
  ports?: Partial<Record<ListenerName, number>>
  /** What mqtts, wss and https present. Default: one for `localhost`. */
  serverCertificate?: MadeCertificate
}

type ConnectOptions = Omit<LinkAddress, 'port'> & ClientOptions & Partial<Omit<IConnectPacket, 'cmd'>>

let serverCertificate: ReturnType<typeof makeServerCertificate> | undefined

/** One broker in this process on free ports of 127.0.0.1, with everything a test asks of it. */
export class TestBroker {
  readonly broker: Broker
  readonly source: MemoryStateSource
  /** Every event before rate limiting. */
  readonly events: HubEvent[]
  /** Signs what mqtts, wss and https present. */
  readonly authority: MadeCertificate
  #state: HubState
  readonly #clients: MqttClient[] = []

  constructor(parts: {
    broker: Broker
    source: MemoryStateSource
    events: HubEvent[]
    authority: MadeCertificate
    state: HubState
  }) {
    this.broker = parts.broker
    this.source = parts.source
    this.events = parts.events
    this.authority = parts.authority
    this.#state = parts.state
  }

  get state(): HubState {
    return this.#state
  }

  port(listener: ListenerName): number {
    const port = this.broker.ports[listener]
    if (port === undefined) throw new Error(`the ${listener} listener is not open`)
    return port
  }

  /** Changes the hub as the operator would, on live connections. */
  change(edit: (state: HubState) => HubState): void {
    this.#state = edit(structuredClone(this.#state))
    this.source.replace(this.#state)
  }

  /** Changes one device; `undefined` deletes it. */
  changeDevice(id: string, edit: (device: DeviceRecord) => DeviceRecord | undefined): void {
    this.change((state) => ({
      ...state,
      devices: state.devices.flatMap((device) => (device.id === id ? (edit(device) ?? []) : device)),
    }))
  }

  /** A client on an open link that has not sent anything. Closed together with the broker. */
  async open(options: Omit<LinkAddress, 'port'> & ClientOptions = {}): Promise<MqttClient> {
    const port = this.port(options.listener ?? 'mqtt')
    const client = new MqttClient(await openLink({ ...options, port }), options)
    this.#clients.push(client)
    return client
  }

  /** A client connected as `device`, its id as client id unless said otherwise. Rejects when refused. */
  async connect(device: DeviceRecord, options: ConnectOptions = {}): Promise<MqttClient> {
    const { listener, host, tls, path, version, autoAck, ...connect } = options
    const client = await this.open(options)
    const connack = await client.connect({ clientId: device.id, ...connect })
    const code = connackCode(connack)
    if (code !== 0) throw new Error(`CONNECT of ${device.name} refused with 0x${code.toString(16)}`)
    return client
  }

  async waitForEvent(code: EventCode, objectId?: string, timeoutMs = PATIENCE_MS): Promise<HubEvent> {
    const wanted = (event: HubEvent) =>
      event.code === code && (objectId === undefined || event.objectId === objectId)
    return await waitUntil(`event ${code}`, () => this.events.find(wanted), { timeoutMs })
  }

  async stop(): Promise<void> {
    for (const client of this.#clients) client.close()
    await this.broker.stop()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop()
  }
}

export async function startBroker(
  parts: Partial<Omit<HubState, 'version'>> = {},
  { listeners = ['mqtt'], store = createMemoryStore(), ports = {}, ...options }: StartOptions = {},
): Promise<TestBroker> {
  serverCertificate ??= makeServerCertificate()
  const { authority, server } = await serverCertificate
  const { certPem, keyPem } = options.serverCertificate ?? server
  const state = hubState(parts)
  const source = new MemoryStateSource(state)
  const events: HubEvent[] = []
  const address = (name: ListenerName): ListenerAddress => ({ host: '127.0.0.1', port: ports[name] ?? 0 })
  const broker = await createBroker({
    state: source,
    store,
    listeners: Object.fromEntries(listeners.map((name) => [name, address(name)])),
    credentials: { certificateChain: certPem, privateKey: keyPem },
    logger: pino({ level: process.env['TEST_LOG_LEVEL'] ?? 'silent' }),
    onEvent: (event) => events.push(event),
  })
  return new TestBroker({ broker, source, events, authority, state })
}
