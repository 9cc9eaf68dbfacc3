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
  const all = unique([...identity.revoked, ...identity.retiring, ...current])
  const revoked = all.filter((ending) => isAhead(ending, now))
  return { ...identity, retiring: [], revoked }
}

/**
 * A certificate took the place of another. The old one stays good until it ends, because the program that uses it
 * may still run; not so when it was revoked, or names another device.
 */
export function withReplaced(identity: DeviceIdentity, previous: Pair, current: Pair): DeviceIdentity {
  const ending = endingOf(previous)
  const isGone =
    identity.revoked.some(({ fingerprint }) => fingerprint === ending.fingerprint) ||
    previous.facts.commonName !== current.facts.commonName
  return isGone ? identity : { ...identity, retiring: unique([...identity.retiring, ending]) }
}

export const endingOf = ({ facts }: Pick<Pair, 'facts'>): Ending => ({
  fingerprint: facts.fingerprint,
  until: new Date(facts.notAfter).toISOString(),
})

export const isRevoked = (identity: DeviceIdentity, fingerprint: string): boolean =>
  identity.revoked.some((ending) => ending.fingerprint === fingerprint)

const isAhead = ({ until }: Ending, now: number) => Date.parse(until) > now

const unique = (endings: readonly Ending[]): Ending[] => [
  ...new Map(endings.map((ending) => [ending.fingerprint, ending])).values(),
]
