import { hash } from 'node:crypto'
import type { HubChange } from '../../contract/hub-change.ts'
import type { DeviceRecord, HubState } from '../../contract/hub-state.ts'
import { encodeDevice, encodeHub, encodeNetworks, encodeRoutes } from '../../contract/hub-state-codec.ts'

export const PARTS = ['hub', 'networks', 'routes'] as const
export type Part = (typeof PARTS)[number]

interface Encoded {
  json: string
  digest: string
}

export interface EncodedState {
  parts: Readonly<Record<Part, Encoded>>
  /** By device id. */
  devices: ReadonlyMap<string, Encoded>
}

/** What Redis holds of a hub, as far as comparing needs it. */
export interface StoredDigests {
  parts: Partial<Record<Part, string>>
  /** By device id. */
  devices: Map<string, string>
}

/** What one script run writes: small enough not to hold up the other hubs of the same Redis. */
export interface StateBatch {
  parts: Partial<Record<Part, Encoded>>
  removed: string[]
  devices: Array<Encoded & { id: string }>
}

export interface BatchBounds {
  /** Devices written or removed in one batch. */
  devices: number
  /** Bytes of JSON in one batch; a single larger record still goes through, alone. */
  bytes: number
}

export function encodeState(state: HubState): EncodedState {
  return {
    parts: {
      hub: encoded(encodeHub(state.hub)),
      networks: encoded(encodeNetworks(state.networks)),
      routes: encoded(encodeRoutes(state.routes)),
    },
    devices: new Map(state.devices.map((device) => [device.id, encodedDevice(device)])),
  }
}

/** Compile gives the same object for a device that has not changed. */
const encodedDevices = new WeakMap<DeviceRecord, Encoded>()

function encodedDevice(device: DeviceRecord): Encoded {
  const known = encodedDevices.get(device)
  if (known !== undefined) return known
  const made = encoded(encodeDevice(device))
  encodedDevices.set(device, made)
  return made
}

/** Of the whole text: records that differ in one letter have to differ here. */
export const digestOf = (json: string): string => hash('sha256', json, 'base64url')

/**
 * What has to be written so that `stored` becomes `next`: nothing when both are the same. Removals come first:
 * what a hub no longer trusts must not wait for thousands of new devices. In a first write the hub comes last: a
 * broker that finds the hub finds all devices, and takes none for deleted that is only still to come.
 */
export function planBatches(stored: StoredDigests, next: EncodedState, bounds: BatchBounds): StateBatch[] {
  const batches: StateBatch[] = []
  const removed = [...stored.devices.keys()].filter((id) => !next.devices.has(id))
  for (let from = 0; from < removed.length; from += bounds.devices) {
    batches.push({ parts: {}, removed: removed.slice(from, from + bounds.devices), devices: [] })
  }
  addDevices(batches, stored, next, bounds)

  const parts: StateBatch['parts'] = {}
  for (const part of PARTS) if (stored.parts[part] !== next.parts[part].digest) parts[part] = next.parts[part]
  if (Object.keys(parts).length === 0) return batches
  if (batches.length === 0) batches.push({ parts: {}, removed: [], devices: [] })
  const carrier = stored.parts.hub === undefined ? batches.at(-1) : batches[0]
  carrier!.parts = parts
  return batches
}

export function changeOf({ parts, removed, devices }: StateBatch): HubChange {
  return {
    hub: parts.hub !== undefined,
    networks: parts.networks !== undefined,
    routes: parts.routes !== undefined,
    devices: devices.map(({ id }) => id),
    removed,
  }
}

/** The batch is in Redis now. */
export function noteWritten(stored: StoredDigests, { parts, removed, devices }: StateBatch): void {
  for (const part of PARTS) if (parts[part] !== undefined) stored.parts[part] = parts[part].digest
  for (const id of removed) stored.devices.delete(id)
  for (const { id, digest } of devices) stored.devices.set(id, digest)
}

function addDevices(
  batches: StateBatch[],
  stored: StoredDigests,
  next: EncodedState,
  bounds: BatchBounds,
): void {
  // The first devices go with the last removals, so that a small change is one batch.
  let batch = batches.at(-1)
  let bytes = 0
  for (const [id, { json, digest }] of next.devices) {
    if (stored.devices.get(id) === digest) continue
    const places = batch === undefined ? 0 : bounds.devices - batch.devices.length - batch.removed.length
    if (batch === undefined || places <= 0 || bytes + json.length > bounds.bytes) {
      batch = { parts: {}, removed: [], devices: [] }
      batches.push(batch)
      bytes = 0
    }
    batch.devices.push({ id, json, digest })
    bytes += json.length
  }
}

function encoded(json: string): Encoded {
  return { json, digest: digestOf(json) }
}
