import {
  HUB_STATE_VERSION,
  type HubState,
  type NetworkRecord,
  type RouteRecord,
} from '../../contract/hub-state.ts'
import type { Device } from '../../crds/device.ts'
import type { Hub } from '../../crds/hub.ts'
import { COMMON_REASONS, type ObjectMeta } from '../../crds/meta.ts'
import { NETWORK_REASONS, type Network } from '../../crds/network.ts'
import type { Route } from '../../crds/route.ts'
import { deviceRecord } from './device-record.ts'
import type { Diagnostic } from './diagnostic.ts'
import { type HubFacts, objectKey } from './facts.ts'
import { DEFAULT_NAMESPACE, hubRecord } from './hub-record.ts'
import { tokenAudience } from './names.ts'
import { type Candidate, selectDevices } from './select-devices.ts'

/** The custom resources have passed `validate`: every default is in place. */
export interface HubStateInput {
  hub: Hub
  /** Those of other hubs and namespaces are ignored, as are those being deleted. */
  devices: readonly Device[]
  networks: readonly Network[]
  routes: readonly Route[]
  facts: HubFacts
  /** Stands in for `deviceRecord`, as one that remembers (`RecordMemo`). */
  recordOf?: typeof deviceRecord
}

export interface CompiledHubState {
  state: HubState
  diagnostics: Diagnostic[]
}

/**
 * Decides what a broker knows about its hub; nothing else does. Pure, and the order of the input has no
 * influence. Throws an Error when the hub itself has no uid: the caller has to give it one first.
 */
export function compileHubState(input: HubStateInput): CompiledHubState {
  const { hub, facts } = input
  const uid = uidOf('Hub', hub.metadata, facts)
  if (uid === undefined)
    throw new Error(`Hub ${hub.metadata.name}: expected metadata.uid or facts.uids, got neither`)

  const devices = compileDevices(input, uid)
  const networks = compileNetworks(input)
  const routes = compileRoutes(input)
  return {
    state: {
      version: HUB_STATE_VERSION,
      hub: {
        ...hubRecord(hub, uid, facts),
        ...(facts.revokedFingerprints?.length ? { revokedFingerprints: [...facts.revokedFingerprints] } : {}),
        ...tokenIssuer(hub, devices.records, facts),
      },
      devices: devices.records,
      networks: networks.records,
      routes: routes.records,
    },
    diagnostics: [...devices.diagnostics, ...networks.diagnostics, ...routes.diagnostics],
  }
}

/** Only where a device logs in by a token, so that no hub takes tokens that nobody has thought of. */
function tokenIssuer(
  { metadata }: Hub,
  devices: HubState['devices'],
  facts: HubFacts,
): Pick<HubState['hub'], 'tokenIssuer'> {
  if (facts.tokenIssuer === undefined || !devices.some(({ serviceAccount }) => serviceAccount !== undefined))
    return {}
  const audience = tokenAudience(metadata.name, metadata.namespace ?? DEFAULT_NAMESPACE)
  return { tokenIssuer: { ...facts.tokenIssuer, audience } }
}

interface Compiled<Record> {
  records: Record[]
  diagnostics: Diagnostic[]
}

function compileDevices(
  { hub, devices, facts, recordOf = deviceRecord }: HubStateInput,
  hubUid: string,
): Compiled<HubState['devices'][number]> {
  const diagnostics: Diagnostic[] = []
  const candidates: Candidate[] = []
  for (const device of belonging(devices, hub)) {
    const id = device.spec.id ?? uidOf('Device', device.metadata, facts)
    if (id === undefined) {
      diagnostics.push(withoutUid('Device', device))
      continue
    }
    const { record, remarks } = recordOf({
      device,
      id,
      hub: { object: hub, uid: hubUid },
      facts: facts.devices.get(device.metadata.name) ?? {},
      now: facts.now,
    })
    candidates.push({ device, record })
    diagnostics.push(...remarks.map((remark) => diagnostic('Device', device, { ...remark, excluded: false })))
  }
  const { records, rejected } = selectDevices(candidates, hub.spec.limits.devices)
  for (const { device, ...fault } of rejected)
    diagnostics.push(diagnostic('Device', device, { ...fault, excluded: true }))
  return { records, diagnostics }
}

function compileNetworks({ hub, networks, facts }: HubStateInput): Compiled<NetworkRecord> {
  const records: NetworkRecord[] = []
  const diagnostics: Diagnostic[] = []
  for (const network of belonging(networks, hub)) {
    const { type, topicPrefix } = network.spec
    if (type !== 'REST' && type !== 'Sigfox') continue
    const { name } = network.metadata
    const id = uidOf('Network', network.metadata, facts)
    const tokenSha256 = facts.networks.get(name)?.tokenSha256
    if (id === undefined) diagnostics.push(withoutUid('Network', network))
    else if (tokenSha256 === undefined) diagnostics.push(withoutToken(network))
    else records.push({ id, name, type, topicPrefix, tokenSha256 })
  }
  return { records, diagnostics }
}

function compileRoutes({ hub, routes, facts }: HubStateInput): Compiled<RouteRecord> {
  const records: RouteRecord[] = []
  const diagnostics: Diagnostic[] = []
  for (const route of belonging(routes, hub)) {
    const { spec } = route
    const { topic, enabled } = spec
    const id = uidOf('Route', route.metadata, facts)
    if (id === undefined) diagnostics.push(withoutUid('Route', route))
    else records.push({ id, name: route.metadata.name, topic, enabled, spec })
  }
  return { records, diagnostics }
}

interface BelongsToHub {
  metadata: ObjectMeta
  spec: { hubRef: { name: string } }
}

/** By name, so that the same objects give the same state byte for byte. */
function belonging<T extends BelongsToHub>(objects: readonly T[], hub: Hub): T[] {
  const namespaceOf = ({ namespace }: ObjectMeta) => namespace ?? DEFAULT_NAMESPACE
  return objects
    .filter(
      ({ metadata, spec }) =>
        spec.hubRef.name === hub.metadata.name &&
        namespaceOf(metadata) === namespaceOf(hub.metadata) &&
        metadata.deletionTimestamp === undefined,
    )
    .sort((a, b) => (a.metadata.name < b.metadata.name ? -1 : 1))
}

function uidOf(kind: Diagnostic['kind'], { uid, name }: ObjectMeta, facts: HubFacts): string | undefined {
  return uid ?? facts.uids?.get(objectKey(kind, name))
}

function diagnostic(
  kind: Diagnostic['kind'],
  { metadata }: Pick<Device, 'metadata'>,
  fault: Pick<Diagnostic, 'reason' | 'message' | 'excluded'>,
): Diagnostic {
  return { kind, name: metadata.name, reason: fault.reason, message: fault.message, excluded: fault.excluded }
}

function withoutUid(kind: Diagnostic['kind'], object: Pick<Device, 'metadata'>): Diagnostic {
  const message = kind === 'Device' ? 'neither spec.id nor metadata.uid is set' : 'metadata.uid is not set'
  return diagnostic(kind, object, { reason: COMMON_REASONS.IdMissing, message, excluded: true })
}

function withoutToken(network: Network): Diagnostic {
  const message = 'the token is not known yet: every request is refused'
  return diagnostic('Network', network, { reason: NETWORK_REASONS.TokenMissing, message, excluded: true })
}
