import type { UsedCertificate } from '../../contract/activity-digest.ts'
import type { Device } from '../../crds/device.ts'
import type { Pair } from '../../operator/pki/pair.ts'
import type { DeviceIdentity, Ending } from './identity-record.ts'

/** Pure steps on the kept identity of one device. Every function returns the next identity. */

/**
 * The identity of a device at the first or a further look. Ids are random and kept (design §8.14): they are
 * credentials, and one that follows from the name could be guessed.
 */
export function seenDevice(
  known: DeviceIdentity | undefined,
  device: Device,
  { now, newId }: { now: number; newId: () => string },
): DeviceIdentity {
  const base = known ?? {
    id: newId(),
    firstSeen: new Date(now).toISOString(),
    retiring: [],
    revoked: [],
  }
  return {
    ...base,
    id: device.spec.id ?? base.id,
    retiring: base.retiring.filter((ending) => isAhead(ending, now)),
    revoked: base.revoked.filter((ending) => isAhead(ending, now)),
  }
}

/** Everything that the device could show is refused from now on, until it ends by itself. */
export function withRevoked(
  identity: DeviceIdentity,
  current: readonly Ending[],
  now: number,
): DeviceIdentity {
  const shown = identity.used === undefined ? current : [...current, identity.used]
  const all = unique([...identity.revoked, ...identity.retiring, ...shown])
  const revoked = all.filter((ending) => isAhead(ending, now))
  return { ...identity, retiring: [], revoked }
}

/**
 * A certificate took the place of another. The old one stays good for the overlap, because the program that uses it
 * may still run; not so when it was revoked.
 *
 * @param overlapUntil ms since the epoch
 */
export function withReplaced(
  identity: DeviceIdentity,
  previous: Ending,
  overlapUntil: number,
): DeviceIdentity {
  if (isRevoked(identity, previous.fingerprint)) return identity
  const end = Math.min(Date.parse(previous.until), overlapUntil)
  const ending = { fingerprint: previous.fingerprint, until: new Date(end).toISOString() }
  return { ...identity, retiring: unique([...identity.retiring, ending]) }
}

/** Takes note of the certificate that the broker has let the device in by. */
export function withUsed(
  identity: DeviceIdentity,
  used: ReadonlyMap<string, UsedCertificate>,
): DeviceIdentity {
  const found = used.get(identity.id)
  return found === undefined ? identity : { ...identity, used: endingOf({ facts: found }) }
}

/** `current`, a fingerprint, was used, so it has arrived at its device: those before it are refused from now on. */
export const withPromoted = (identity: DeviceIdentity, current: string | undefined): DeviceIdentity =>
  current !== undefined && identity.used?.fingerprint === current ? { ...identity, retiring: [] } : identity

/** A rotation that was asked for, by annotation or command, is done. */
export function withRotationHandled(
  { isRotationAsked: _, ...identity }: DeviceIdentity,
  rotation: string | undefined,
): DeviceIdentity {
  return rotation === undefined ? identity : { ...identity, handledRotation: rotation }
}

/** By its manifest, or by `hublet revoke`. */
export const isDeviceRevoked = ({ spec }: Device, identity: DeviceIdentity | undefined): boolean =>
  spec.revoked || identity?.isRevoked === true

export const endingOf = ({ facts }: { facts: Pick<Pair['facts'], 'fingerprint' | 'notAfter'> }): Ending => ({
  fingerprint: facts.fingerprint,
  until: new Date(facts.notAfter).toISOString(),
})

export const isRevoked = (identity: DeviceIdentity, fingerprint: string): boolean =>
  identity.revoked.some((ending) => ending.fingerprint === fingerprint)

const isAhead = ({ until }: Ending, now: number) => Date.parse(until) > now

const unique = (endings: readonly Ending[]): Ending[] => [
  ...new Map(endings.map((ending) => [ending.fingerprint, ending])).values(),
]
