/** What brokers report of the devices of hubs, and which of it the statuses do not say yet. */
import type { DeviceDigest, UsedCertificate } from '../../contract/activity-digest.ts'
import type { DeviceStatus } from '../../crds/device-status.ts'
import type { Device } from '../api/resources.ts'
import { keyOf, type ObjectKey } from '../runtime/resource.ts'

export type ActivityFields = Pick<DeviceStatus, 'connected' | 'connections' | 'lastActivityTime'>

type Used = NonNullable<NonNullable<DeviceStatus['certificate']>['used']>

/** By device id. */
export type Digests = ReadonlyMap<string, DeviceDigest>

/** The time of the last activity may be so much behind: nothing is written for each message of a device. */
const STALE_MS = 15 * 60_000
/** Statuses that one look at a hub has written, those that say something wrong about the connection first. */
const MAX_WRITES = 200

export class Activities {
  readonly #connected = new Map<ObjectKey, number>()
  readonly #due = new Map<ObjectKey, ActivityFields>()
  readonly #used = new Map<ObjectKey, Used>()

  /** Takes note of a report and returns the devices whose status is to be written. */
  report(hub: ObjectKey, digests: Digests, devices: readonly Device[]): ObjectKey[] {
    const connected = [...digests.values()].filter(({ connections }) => connections > 0).length
    this.#connected.set(hub, connected)
    const wrong: ObjectKey[] = []
    const stale: ObjectKey[] = []
    for (const device of devices) {
      const digest = digests.get(device.spec.id ?? device.metadata.uid ?? '')
      const fields = fieldsOf(digest, device)
      const key = keyOf(device)
      const how = this.#isNewlyUsed(key, digest?.certificate, device)
        ? 'wrong'
        : difference(fields, device.status ?? {})
      if (how === 'same') {
        this.#due.delete(key)
        continue
      }
      this.#due.set(key, fields)
      ;(how === 'wrong' ? wrong : stale).push(key)
    }
    return [...wrong, ...stale].slice(0, MAX_WRITES)
  }

  /** Undefined: no broker has reported since this process began. */
  connected(hub: ObjectKey): number | undefined {
    return this.#connected.get(hub)
  }

  /** What the status should say: news if there are any, else what it says. */
  fieldsOf(device: Device): ActivityFields {
    const due = this.#due.get(keyOf(device))
    if (due !== undefined) return due
    const { connected, connections, lastActivityTime } = device.status ?? {}
    return {
      ...(connected === undefined ? {} : { connected }),
      ...(connections === undefined ? {} : { connections }),
      ...(lastActivityTime === undefined ? {} : { lastActivityTime }),
    }
  }

  /** A certificate that a broker has let in and that the status does not name yet. */
  usedOf(device: Device): Used | undefined {
    return this.#used.get(keyOf(device))
  }

  #isNewlyUsed(key: ObjectKey, certificate: UsedCertificate | undefined, { status }: Device): boolean {
    const isNew = certificate && certificate.fingerprint !== status?.certificate?.used?.fingerprint
    if (certificate === undefined || !isNew) this.#used.delete(key)
    else this.#used.set(key, { fingerprint: certificate.fingerprint, until: timeOf(certificate.notAfter) })
    return isNew === true
  }

  forgetHub(hub: ObjectKey): void {
    this.#connected.delete(hub)
  }

  forgetDevice(device: ObjectKey): void {
    this.#due.delete(device)
    this.#used.delete(device)
  }
}

/** A device that no broker speaks of has no connection; when it was active last stays known. */
function fieldsOf(digest: DeviceDigest | undefined, { status = {} }: Device): ActivityFields {
  const { connections = 0, lastActivityAt = 0 } = digest ?? {}
  const time = lastActivityAt > 0 ? timeOf(lastActivityAt) : status.lastActivityTime
  return {
    connected: connections > 0,
    connections,
    ...(time === undefined ? {} : { lastActivityTime: time }),
  }
}

function difference(fields: ActivityFields, status: DeviceStatus): 'same' | 'stale' | 'wrong' {
  const wasSilent = status.connected === undefined && fields.connected === false
  if (!wasSilent && (fields.connected !== status.connected || fields.connections !== status.connections))
    return 'wrong'
  if (fields.lastActivityTime === undefined) return 'same'
  const behind = Date.parse(fields.lastActivityTime) - Date.parse(status.lastActivityTime ?? '1970-01-01')
  return behind >= STALE_MS ? 'stale' : 'same'
}

const timeOf = (ms: number): string => new Date(ms).toISOString().replace(/\.\d{3}Z$/, 'Z')
