import type { Device } from '../../crds/device.ts'
import { type DeviceInput, deviceRecord } from './device-record.ts'

type Result = ReturnType<typeof deviceRecord>

/**
 * `deviceRecord` that works out a device again only when something it goes by has changed: one edit among thousands
 * of devices costs the work of one. Gives the very same record object for the same input, by which others may
 * remember what they made of it. Objects must not be changed in place.
 */
export class RecordMemo {
  readonly #known = new WeakMap<Device, { key: string; result: Result }>()

  readonly recordOf = (input: DeviceInput): Result => {
    const key = keyOf(input)
    const known = this.#known.get(input.device)
    if (known?.key === key) return known.result
    const result = deviceRecord(input)
    this.#known.set(input.device, { key, result })
    return result
  }
}

/** Everything but the device itself. Of the time only what it changes: which certificates have ended. */
function keyOf({ device, id, hub, facts, now }: DeviceInput): string {
  const ends = [
    facts.certificate?.notAfter,
    ...(facts.revokedFingerprints ?? []).map(({ until }) => until),
    ...(device.status?.revokedFingerprints ?? []).map(({ until }) => until),
  ]
  const ended = ends.map((end) => (end !== undefined && Date.parse(end) <= now ? '1' : '0')).join('')
  const { deviceCA, autoProvisioning } = hub.object.spec
  const { quarantine } = autoProvisioning
  return JSON.stringify([id, hub.uid, hub.object.metadata.name, deviceCA, quarantine, facts, ended])
}
