/** Hubs as their brokers would know them, by the same compile, for questions about rules. */
import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { HubState } from '../../contract/hub-state.ts'
import type { Device } from '../../crds/device.ts'
import type { Network } from '../../crds/network.ts'
import { certificateSource } from '../../operator/compile/device-record.ts'
import {
  type DeviceFacts,
  type HubFacts,
  type NetworkFacts,
  objectKey,
} from '../../operator/compile/facts.ts'
import { compileHubState } from '../../operator/compile/hub-state.ts'
import type { Connection } from '../cluster/connection.ts'
import { readDevices, readHubs, readNetworks } from '../cluster/read-objects.ts'
import type { HubManifests } from '../dev/hub-manifests.ts'
import { parseIdentityRecord } from '../dev/identity-record.ts'
import { objectUid } from '../dev/uuid.ts'
import { namespaceOf } from '../manifests/manifest-set.ts'

/** Of the objects as they stand; what their statuses say of certificates is believed. `hub`: only this one. */
export async function statesInCluster(cluster: Connection, hub: string | undefined): Promise<HubState[]> {
  const [hubs, devices, networks] = await Promise.all([
    readHubs(cluster),
    readDevices(cluster),
    readNetworks(cluster),
  ])
  return hubs
    .filter(({ metadata }) => hub === undefined || metadata.name === hub)
    .map((one) => {
      const isOwn = ({ spec }: Device | Network) => spec.hubRef.name === one.metadata.name
      const own = devices.filter(isOwn)
      const ownNetworks = networks.filter(isOwn)
      const facts: HubFacts = {
        now: Date.now(),
        tokenIssuer: ASSUMED_ISSUER,
        deviceCACertificates: [],
        devices: new Map(own.map((object) => [object.metadata.name, statusFacts(object)])),
        networks: assumedTokens(ownNetworks),
      }
      return compileHubState({ hub: one, devices: own, networks: ownNetworks, routes: [], facts }).state
    })
}

function statusFacts({ spec, status }: Device): DeviceFacts {
  const { source, fingerprints, notAfter } = status?.certificate ?? {}
  return {
    ...(source === undefined || fingerprints === undefined
      ? {}
      : { certificate: { source, fingerprints, ...(notAfter === undefined ? {} : { notAfter }) } }),
    // A verifier is in a Secret, which is not asked for: whether there is a password the spec says.
    ...(spec.passwordSecretRef === undefined ? {} : { passwordVerifier: 'assumed' }),
  }
}

/**
 * Of manifests.
 * @param data where `hublet dev` keeps device ids, which filter templates may hold
 */
export function stateOfManifests(manifests: HubManifests, data: string): HubState {
  const { hub, devices, networks, routes } = manifests
  return compileHubState({
    hub: hub.object,
    devices: devices.map(({ object }) => object),
    networks: networks.map(({ object }) => object),
    routes: routes.map(({ object }) => object),
    facts: assumedFacts(manifests, data),
  }).state
}

/** Who signs tokens of ServiceAccounts is known in every cluster but an odd one. */
const ASSUMED_ISSUER = { issuer: 'assumed', keys: [] }

const assumedTokens = (networks: readonly Network[]): Map<string, NetworkFacts> =>
  new Map(networks.map(({ metadata: { name } }) => [name, { tokenSha256: digestOf(name) }]))

/**
 * What a cluster holds in Secrets is taken to be there and right: the question is what the rules say. Ids are
 * those of `hublet dev` where it has run.
 */
function assumedFacts({ hub, key, devices, networks }: HubManifests, data: string): HubFacts {
  const namespace = namespaceOf(hub.object.metadata)
  const record = parseIdentityRecord(readIdentity(data, key), join(data, key, 'identity.json'))
  const uids = new Map<string, string>()
  const facts = new Map<string, DeviceFacts>()
  for (const { object } of devices) {
    const { name } = object.metadata
    uids.set(objectKey('Device', name), record.devices[name]?.id ?? objectUid(namespace, 'Device', name))
    facts.set(name, {
      certificate: { source: certificateSource(hub.object, object), fingerprints: [digestOf(name)] },
      passwordVerifier: 'assumed',
    })
  }
  for (const { object } of [hub, ...networks]) {
    const { name } = object.metadata
    uids.set(objectKey(object.kind, name), objectUid(namespace, object.kind, name))
  }
  return {
    now: 0,
    uids,
    tokenIssuer: ASSUMED_ISSUER,
    deviceCACertificates: [],
    devices: facts,
    networks: assumedTokens(networks.map(({ object }) => object)),
  }
}

/** Stands for the fingerprint of a certificate: no two objects may have the same. */
const digestOf = (name: string): string => createHash('sha256').update(name).digest('hex')

function readIdentity(data: string, key: string): string | undefined {
  try {
    return readFileSync(join(data, key, 'identity.json'), 'utf8')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw error
  }
}
