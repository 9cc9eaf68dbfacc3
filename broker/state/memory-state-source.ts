import { isDeepStrictEqual } from 'node:util'
import type {
  DeviceRecord,
  HubRecord,
  HubState,
  NetworkRecord,
  RouteRecord,
} from '../../contract/hub-state.ts'
import type { StateChange, StateSource } from './state-source.ts'

/** A state that is handed over in one piece, with the look-ups that a CONNECT needs in one step each. */
interface IndexedState {
  state: HubState
  byId: ReadonlyMap<string, DeviceRecord>
  byName: ReadonlyMap<string, DeviceRecord>
  byFingerprint: ReadonlyMap<string, DeviceRecord>
  networks: ReadonlyMap<string, NetworkRecord>
}

/** The state source of `hublet dev` and of tests: whoever compiles the state calls `replace`. */
export class MemoryStateSource implements StateSource {
  #current: IndexedState
  #onChange: ((change: StateChange) => void) | undefined

  constructor(initial: HubState) {
    this.#current = indexed(initial)
  }

  /**
   * Puts `next` in the place of the whole state, then tells what differs. A state that says the same is no
   * news: nothing is told. The argument must not be changed afterwards.
   */
  replace(next: HubState): StateChange {
    const previous = this.#current
    const change = difference(previous, indexed(next))
    // Records that stay equal stay the same objects, so what a broker compiled from one can be kept by it.
    this.#current = indexed(withKeptRecords(previous, next))
    if (isNews(change)) this.#onChange?.(change)
    return change
  }

  async start(onChange: (change: StateChange) => void): Promise<void> {
    this.#onChange = onChange
  }

  hub(): HubRecord {
    return this.#current.state.hub
  }

  networkByName(name: string): NetworkRecord | undefined {
    return this.#current.networks.get(name)
  }

  routes(): readonly RouteRecord[] {
    return this.#current.state.routes
  }

  async deviceById(id: string): Promise<DeviceRecord | undefined> {
    return this.#current.byId.get(id)
  }

  async deviceByName(name: string): Promise<DeviceRecord | undefined> {
    return this.#current.byName.get(name)
  }

  async deviceByFingerprint(fingerprint: string): Promise<DeviceRecord | undefined> {
    return this.#current.byFingerprint.get(fingerprint)
  }

  async stop(): Promise<void> {
    this.#onChange = undefined
  }
}

function indexed(state: HubState): IndexedState {
  const { devices, networks } = state
  return {
    state,
    byId: new Map(devices.map((device) => [device.id, device])),
    byName: new Map(devices.map((device) => [device.name, device])),
    byFingerprint: new Map(
      devices.flatMap((device) =>
        device.certificate.fingerprints.map((fingerprint) => [fingerprint, device] as const),
      ),
    ),
    networks: new Map(networks.map((network) => [network.name, network])),
  }
}

function difference(previous: IndexedState, next: IndexedState): StateChange {
  const differs = <Part extends keyof HubState>(part: Part) =>
    !isDeepStrictEqual(previous.state[part], next.state[part])
  return {
    hub: differs('hub'),
    networks: differs('networks'),
    routes: differs('routes'),
    devices: new Set(
      [...next.byId.values()]
        .filter((device) => !isDeepStrictEqual(device, previous.byId.get(device.id)))
        .map(({ id }) => id),
    ),
    removedDevices: new Set([...previous.byId.keys()].filter((id) => !next.byId.has(id))),
  }
}

function withKeptRecords(previous: IndexedState, next: HubState): HubState {
  const kept = <T>(old: T | undefined, record: T) =>
    old !== undefined && isDeepStrictEqual(old, record) ? old : record
  return {
    ...next,
    hub: kept(previous.state.hub, next.hub),
    devices: next.devices.map((device) => kept(previous.byId.get(device.id), device)),
  }
}

const isNews = ({ hub, networks, routes, devices, removedDevices }: StateChange) =>
  hub || networks || routes || devices.size > 0 || removedDevices.size > 0
