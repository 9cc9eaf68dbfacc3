import type { DeviceRecord, HubRecord } from '../../contract/hub-state.ts'
import { LiveDevice } from '../deliver/live-device.ts'
import { normalizeDeviceId } from '../policy/identity.ts'
import type { Link } from './link.ts'

/**
 * The devices that have been seen since the start, with their links and counts. Bounded by the devices of the
 * hub: only a device with a record gets in, and it goes with its record.
 */
export class LiveDevices {
  readonly #devices = new Map<string, LiveDevice<Link>>()
  readonly #hub: () => HubRecord
  readonly #now: () => number
  #links = 0

  constructor(parts: { hub: () => HubRecord; now: () => number }) {
    this.#hub = parts.hub
    this.#now = parts.now
  }

  /** Links that were let in. */
  get links(): number {
    return this.#links
  }

  [Symbol.iterator](): Iterator<LiveDevice<Link>> {
    return this.#devices.values()
  }

  get(id: string): LiveDevice<Link> | undefined {
    return this.#devices.get(id)
  }

  ensure(record: DeviceRecord): LiveDevice<Link> {
    const id = normalizeDeviceId(record.id)
    const known = this.#devices.get(id)
    if (known !== undefined) {
      if (known.record !== record) known.update(record, this.#surroundings())
      return known
    }
    const device = new LiveDevice<Link>(id, record, this.#surroundings())
    this.#devices.set(id, device)
    return device
  }

  remove(id: string): void {
    this.#devices.delete(id)
  }

  addLink(device: LiveDevice<Link>, link: Link): void {
    if (device.links.has(link)) return
    device.links.add(link)
    this.#links += 1
  }

  removeLink(device: LiveDevice<Link>, link: Link): void {
    if (device.links.delete(link)) this.#links -= 1
  }

  /** Recompiles every device: the hub's limits or the prefix of its events changed. */
  refreshAll(): void {
    for (const device of this.#devices.values()) device.update(device.record, this.#surroundings())
  }

  #surroundings() {
    const { limits, events } = this.#hub()
    return { limits, eventsPrefix: events.topicPrefix, now: this.#now() }
  }
}
