/**
 * What was worked out about the certificates of devices and does not stand in their status yet. The state of a hub is
 * made with it, so that a status has to be written only once: when brokers know the device.
 *
 * After a crash it is gone, and worked out again from what is in Secrets and statuses.
 */
import type { DeviceStatus } from '../../crds/device-status.ts'
import type { Device } from '../api/resources.ts'
import { sameJson } from '../runtime/json.ts'
import { keyOf, type ObjectKey } from '../runtime/resource.ts'

export type CertificateFields = Pick<DeviceStatus, 'certificate' | 'revokedFingerprints'>

export class ComputedStatuses {
  readonly #known = new Map<ObjectKey, { uid: string; fields: CertificateFields }>()

  /** Takes note, or lets go of what the status says by now. */
  set(device: Device, fields: CertificateFields): void {
    const key = keyOf(device)
    const { certificate, revokedFingerprints } = device.status ?? {}
    const written = { certificate, revokedFingerprints }
    if (sameJson(written, fields)) this.#known.delete(key)
    else this.#known.set(key, { uid: device.metadata.uid ?? '', fields })
  }

  forget(key: ObjectKey): void {
    this.#known.delete(key)
  }

  /** The status as it will be. */
  statusOf(device: Device): DeviceStatus | undefined {
    const known = this.#known.get(keyOf(device))
    if (known === undefined || known.uid !== device.metadata.uid) return device.status
    const { certificate: _, revokedFingerprints: __, ...rest } = device.status ?? {}
    return { ...rest, ...known.fields }
  }

  get size(): number {
    return this.#known.size
  }
}
