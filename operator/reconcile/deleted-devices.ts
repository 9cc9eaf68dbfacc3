/**
 * Names of devices that somebody deleted, in a ConfigMap of the hub: a certificate of one may be good for years, and
 * would bring it back at its next attempt. A person who wants that removes the entry, or makes the Device.
 */
import { createHash } from 'node:crypto'
import type { Device, Hub } from '../api/resources.ts'
import { deviceName } from '../compile/device-record.ts'
import { trustMode } from '../compile/hub-record.ts'
import { hubDeletedDevicesConfigMap } from '../compile/names.ts'
import { pendingUntil } from '../compile/provisioned-device.ts'
import { isDeleting } from '../runtime/finalizer.ts'
import { type EntriesWorld, hubEntries, writeHubEntries } from './hub-entries.ts'
import type { Tools } from './tools.ts'

/** Of the 1 MiB that an object may have; the ones deleted first make room. */
export const MAX_DELETED = 4_000

/** Key of an entry: names hold characters that keys must not. */
export const entryOf = (commonName: string): string => createHash('sha256').update(commonName).digest('hex')

const known = (world: EntriesWorld, hub: Hub) =>
  hubEntries(world, hub, hubDeletedDevicesConfigMap(hub.metadata.name))

export const wasDeleted = (world: EntriesWorld, hub: Hub, commonName: string): boolean =>
  Object.hasOwn(known(world, hub), entryOf(commonName))

/** Takes note of a device that is being deleted, before it is gone. */
export async function noteDeletion(tools: Tools, hub: Hub, device: Device, signal: AbortSignal) {
  if (trustMode(hub) !== 'HubCA' || isDeleting(hub)) return
  const now = tools.clock.now()
  // Nobody decided anything about it, so it may come again.
  if ((pendingUntil(hub, device) ?? Number.POSITIVE_INFINITY) <= now) return
  const entries = deletionEntries(known(tools.world, hub), deviceName(device), now)
  if (Object.keys(entries).length === 0) return
  const name = hubDeletedDevicesConfigMap(hub.metadata.name)
  await writeHubEntries(tools, { hub, name }, entries, signal)
}

/** What to write for a device of that name; null: an entry that makes room. Empty: it is there already. */
export function deletionEntries(
  before: Readonly<Record<string, string>>,
  name: string,
  now: number,
): Record<string, string | null> {
  if (Object.hasOwn(before, entryOf(name))) return {}
  const time = new Date(now).toISOString().replace(/\.\d{3}Z$/, 'Z')
  const leaving = oldest(before).map((key): [string, null] => [key, null])
  return { [entryOf(name)]: `${time} ${name}`, ...Object.fromEntries(leaving) }
}

/** Values begin with their time. */
const oldest = (data: Readonly<Record<string, string>>): string[] =>
  Object.entries(data)
    .sort(([, a], [, b]) => (a < b ? -1 : 1))
    .slice(0, Math.max(0, Object.keys(data).length + 1 - MAX_DELETED))
    .map(([key]) => key)
