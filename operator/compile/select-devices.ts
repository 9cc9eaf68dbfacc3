import type { DeviceRecord } from '../../contract/hub-state.ts'
import { DEVICE_REASONS, type Device } from '../../crds/device.ts'

/** A device with its record, before it is known whether an older one has the same identity. */
export interface Candidate {
  device: Device
  record: DeviceRecord
}

export interface Rejection {
  device: Device
  reason: string
  message: string
}

/**
 * Keeps the oldest of the devices that share a name, an id or a certificate (design §8.11), and no more than
 * `limit`: whoever comes later can neither take over an identity nor push an older device out.
 */
export function selectDevices(
  candidates: readonly Candidate[],
  limit: number,
): { records: DeviceRecord[]; rejected: Rejection[] } {
  const records: DeviceRecord[] = []
  const rejected: Rejection[] = []
  const owners = new Map<string, string>()
  for (const { device, record } of byAge(candidates)) {
    const fault = duplicate(record, owners) ?? overLimit(records.length, limit)
    if (fault !== undefined) {
      rejected.push({ device, ...fault })
      continue
    }
    for (const { key } of identities(record)) owners.set(key, device.metadata.name)
    records.push(record)
  }
  return { records, rejected }
}

/**
 * Oldest first; what has no time of creation is the newest; the name decides within a second. Each time is read
 * once, not at every comparison.
 */
function byAge(candidates: readonly Candidate[]): Candidate[] {
  return candidates
    .map((candidate) => ({ candidate, created: createdAt(candidate.device) }))
    .sort((a, b) => {
      if (a.created !== b.created) return a.created < b.created ? -1 : 1
      return a.candidate.device.metadata.name < b.candidate.device.metadata.name ? -1 : 1
    })
    .map(({ candidate }) => candidate)
}

function createdAt({ metadata }: Pick<Device, 'metadata'>): number {
  const time = Date.parse(metadata.creationTimestamp ?? '')
  return Number.isNaN(time) ? Number.POSITIVE_INFINITY : time
}

/** Everything that identifies a device to the broker. */
function identities({ name, id, certificate }: DeviceRecord) {
  return [
    { key: `name ${name}`, reason: DEVICE_REASONS.DuplicateName, what: `the name ${JSON.stringify(name)}` },
    { key: `id ${id}`, reason: DEVICE_REASONS.DuplicateId, what: `the id ${id}` },
    ...certificate.fingerprints.map((fingerprint) => ({
      key: `certificate ${fingerprint}`,
      reason: DEVICE_REASONS.DuplicateCertificate,
      what: `the certificate ${fingerprint}`,
    })),
  ]
}

function duplicate(record: DeviceRecord, owners: ReadonlyMap<string, string>) {
  const taken = identities(record).find(({ key }) => owners.has(key))
  if (taken === undefined) return undefined
  return {
    reason: taken.reason,
    message: `${taken.what} belongs to the older Device ${owners.get(taken.key)}`,
  }
}

function overLimit(count: number, limit: number) {
  if (count < limit) return undefined
  return {
    reason: DEVICE_REASONS.DeviceLimitReached,
    message: `the hub already has ${limit} devices (spec.limits.devices)`,
  }
}
