/**
 * Hub state as JSON. Only fields that the schema names are ever written, whatever else an object carries: what
 * stands in Redis is then exactly what `hub-state.ts` says, in one order, so that equal records are equal texts.
 */
import { Type } from 'typebox'
import { Compile } from 'typebox/compile'
import { DeviceRecord, HubRecord, NetworkRecord, RouteRecord } from './hub-state.ts'

const KEYS = {
  device: namesOf(DeviceRecord),
  hub: namesOf(HubRecord),
  network: namesOf(NetworkRecord),
  route: namesOf(RouteRecord),
}

const checks = {
  device: Compile(DeviceRecord),
  hub: Compile(HubRecord),
  networks: Compile(Type.Array(NetworkRecord)),
  routes: Compile(Type.Array(RouteRecord)),
}

export const encodeDevice = (record: DeviceRecord): string => JSON.stringify(record, KEYS.device)
export const encodeHub = (record: HubRecord): string => JSON.stringify(record, KEYS.hub)
export const encodeNetworks = (records: readonly NetworkRecord[]): string =>
  JSON.stringify(records, KEYS.network)
export const encodeRoutes = (records: readonly RouteRecord[]): string => JSON.stringify(records, KEYS.route)

/** Each gives undefined for a text that is no such record. Unknown fields are left in: a later writer's. */
export const decodeDevice = (text: string): DeviceRecord | undefined => decode(text, checks.device)
export const decodeHub = (text: string): HubRecord | undefined => decode(text, checks.hub)
export const decodeNetworks = (text: string): NetworkRecord[] | undefined => decode(text, checks.networks)
export const decodeRoutes = (text: string): RouteRecord[] | undefined => decode(text, checks.routes)

function decode<T>(text: string, check: { Check(value: unknown): value is T }): T | undefined {
  try {
    const value: unknown = JSON.parse(text)
    return check.Check(value) ? value : undefined
  } catch {
    return undefined
  }
}

/**
 * Every property name in a schema, at any depth, for the list that `JSON.stringify` lets through. None of these
 * records has a free-form map, whose keys would have to pass as well.
 */
function namesOf(schema: unknown): string[] {
  const names = new Set<string>()
  collectNames(schema, names)
  return [...names]
}

function collectNames(schema: unknown, names: Set<string>): void {
  if (typeof schema !== 'object' || schema === null) return
  const { properties, items, anyOf } = schema as {
    properties?: Record<string, unknown>
    items?: unknown
    anyOf?: unknown[]
  }
  for (const [name, inner] of Object.entries(properties ?? {})) {
    names.add(name)
    collectNames(inner, names)
  }
  collectNames(items, names)
  for (const inner of anyOf ?? []) collectNames(inner, names)
}
