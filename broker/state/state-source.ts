import type { DeviceRecord, HubRecord, NetworkRecord, RouteRecord } from '../../contract/hub-state.ts'

/** What changed since the last notice. Sets hold device ids. */
export interface StateChange {
  hub: boolean
  networks: boolean
  routes: boolean
  /** Added or edited devices. */
  devices: ReadonlySet<string>
  removedDevices: ReadonlySet<string>
}

/**
 * Where a broker reads its hub from: files in `hublet dev`, Redis in a cluster. Look-ups are asynchronous
 * because a cluster's source fetches devices on demand; the others are always at hand.
 */
export interface StateSource {
  /**
   * Loads the first state; rejects when there is none. `onChange` runs after the new state is readable.
   * `liveDevices`: ids of the devices in use; a source that has lost touch for a while tells them as changed.
   */
  start(onChange: (change: StateChange) => void, liveDevices?: () => Iterable<string>): Promise<void>
  /**
   * False while the source has lost touch: what it answers may be out of date, look-ups may reject with
   * StateUnavailable, and new sessions have to be refused. Absent: always true.
   */
  healthy?(): boolean
  hub(): HubRecord
  networkByName(name: string): NetworkRecord | undefined
  routes(): readonly RouteRecord[]
  deviceById(id: string): Promise<DeviceRecord | undefined>
  deviceByName(name: string): Promise<DeviceRecord | undefined>
  deviceByFingerprint(fingerprint: string): Promise<DeviceRecord | undefined>
  stop(): Promise<void>
}
