/**
 * Certificates that were revoked and whose Device is gone, in a ConfigMap of the hub until they expire. Without it a
 * Device that comes back from Git would bring back what it was deleted for.
 */
import type { RevokedFingerprint } from '../../contract/hub-state.ts'
import type { HubStatus } from '../../crds/hub-status.ts'
import type { Device, Hub } from '../api/resources.ts'
import { hubRevokedConfigMap } from '../compile/names.ts'
import { isDeleting } from '../runtime/finalizer.ts'
import { certificateState, type Ending, withRevoked } from './certificate-state.ts'
import { type EntriesWorld, hubEntries, writeHubEntries } from './hub-entries.ts'
import type { Tools } from './tools.ts'

/** Of the 1 MiB that an object may have; those that expire first make room. */
export const MAX_REVOKED = 5_000

/** Those that have not expired. */
export function revokedCertificates(world: EntriesWorld, hub: Hub, now: number): RevokedFingerprint[] {
  return parseRevoked(hubEntries(world, hub, hubRevokedConfigMap(hub.metadata.name)))
    .filter(({ until }) => Date.parse(until) > now)
    .map(({ fingerprint, until }) => ({ fingerprint, until }))
    .sort((a, b) => (a.fingerprint < b.fingerprint ? -1 : 1))
}

/** A value is the end, and the serial number after a blank where we have issued the certificate. */
export const parseRevoked = (entries: Readonly<Record<string, string>>): Ending[] =>
  Object.entries(entries).map(([fingerprint, value]) => {
    const [until = '', serial] = value.split(' ')
    return { fingerprint, until, ...(serial === undefined ? {} : { serial }) }
  })

/** Takes over what was revoked of a device that is being deleted, before its status is gone. */
export async function noteRevoked(
  tools: Tools,
  hub: Hub,
  device: Device,
  signal: AbortSignal,
): Promise<void> {
  if (isDeleting(hub)) return
  const now = tools.clock.now()
  const state = certificateState(tools.computed.statusOf(device), now)
  const { revoked } = device.spec.revoked ? withRevoked(state, undefined, now) : state
  const name = hubRevokedConfigMap(hub.metadata.name)
  const entries = revocationEntries(hubEntries(tools.world, hub, name), revoked, now)
  if (Object.keys(entries).length > 0) await writeHubEntries(tools, { hub, name }, entries, signal)
}

/** What to write; null: an entry that has expired or makes room. Empty: all is there already. */
export function revocationEntries(
  before: Readonly<Record<string, string>>,
  revoked: readonly Ending[],
  now: number,
): Record<string, string | null> {
  const added = revoked.filter(
    ({ fingerprint, until }) => Date.parse(until) > now && !Object.hasOwn(before, fingerprint),
  )
  if (added.length === 0) return {}
  const living = parseRevoked(before)
    .filter(({ until }) => Date.parse(until) > now)
    .sort((a, b) => Date.parse(a.until) - Date.parse(b.until))
  const kept = new Set(
    living
      .slice(Math.max(0, living.length + added.length - MAX_REVOKED))
      .map(({ fingerprint }) => fingerprint),
  )
  const leaving = Object.keys(before).filter((key) => !kept.has(key))
  return Object.fromEntries([
    ...leaving.map((key) => [key, null] as const),
    ...added.map(
      ({ fingerprint, until, serial }) =>
        [fingerprint, serial === undefined ? until : `${until} ${serial}`] as const,
    ),
  ])
}

/** What the status of the hub says of them. */
export function revokedStatus(revoked: readonly RevokedFingerprint[]): Pick<HubStatus, 'revoked'> {
  const [last] = revoked.map(({ until }) => until).sort((a, b) => Date.parse(b) - Date.parse(a))
  return last === undefined ? {} : { revoked: { certificates: revoked.length, until: last } }
}
