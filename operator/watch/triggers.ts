/** Which change makes which object be looked at anew. Handlers take note of keys and do nothing else. */
import type { Device, Hub, Network, Route, Secret } from '../api/resources.ts'
import {
  deviceEnrolmentSecret,
  deviceVerifierSecret,
  hubDeviceCaSecret,
  hubDeviceTrustSecret,
  hubRedisSecret,
  hubRedisServerSecret,
  hubServerTlsSecret,
} from '../compile/names.ts'
import type { Change } from '../runtime/informer.ts'
import { sameJson } from '../runtime/json.ts'
import {
  type KubeObject,
  keyOf,
  type ObjectKey,
  type OwnerReference,
  objectKey,
} from '../runtime/resource.ts'
import { HUB_INDEX, hubKeyOf, SECRET_INDEX } from './indexes.ts'
import type { World } from './world.ts'

export interface WakeOptions {
  /** Gives way to what a person has just edited. */
  background?: boolean
}

/** Each asks for a run of one object, or of a hub's state. */
export interface Wakers {
  hub: (key: ObjectKey, options?: WakeOptions) => void
  hubState: (key: ObjectKey) => void
  device: (key: ObjectKey, options?: WakeOptions) => void
  network: (key: ObjectKey, options?: WakeOptions) => void
  route: (key: ObjectKey, options?: WakeOptions) => void
}

export function connectTriggers(world: World, wake: Wakers): void {
  world.hubs.onChange((change) => onHub(world, wake, change))
  world.devices.onChange((change) => onDevice(world, wake, change))
  world.networks.onChange((change) => onNetwork(world, wake, change))
  world.routes.onChange((change) => onRoute(world, wake, change))
  world.otherSecrets.onChange(({ object, bulk }) => onNamedSecret(world, wake, keyOf(object), bulk))
  for (const [plural, set] of world.owned) set.onChange((change) => onOwned(world, wake, plural, change))
}

/** Anything that a reconcile goes by; statuses are written by reconciles themselves. */
function isNews<T extends KubeObject>({ type, object, previous }: Change<T>): boolean {
  if (type !== 'updated' || previous === undefined) return true
  const [now, before] = [object.metadata, previous.metadata]
  return (
    now.uid !== before.uid ||
    now.generation !== before.generation ||
    now.deletionTimestamp !== before.deletionTimestamp
  )
}

function onHub(world: World, wake: Wakers, change: Change<Hub>): void {
  const key = keyOf(change.object)
  wake.hub(key, { background: change.bulk })
  if (isNews(change)) wake.hubState(key)
  // Members of a hub that nobody has looked at tell nothing about it.
  if (isNews(change) || isSeenFirst(change)) wakeMembers(world, wake, key)
}

const isSeenFirst = ({ object, previous }: Change<Hub>): boolean =>
  object.status?.observedGeneration !== undefined && previous?.status?.observedGeneration === undefined

/** Asks for a run of everything that refers to the hub. */
export function wakeMembers(world: World, wake: Wakers, hub: ObjectKey): void {
  const background = true
  for (const device of world.devices.byIndex(HUB_INDEX, hub)) wake.device(keyOf(device), { background })
  for (const network of world.networks.byIndex(HUB_INDEX, hub)) wake.network(keyOf(network), { background })
  for (const route of world.routes.byIndex(HUB_INDEX, hub)) wake.route(keyOf(route), { background })
}

function onDevice(world: World, wake: Wakers, change: Change<Device>): void {
  wake.device(keyOf(change.object), { background: change.bulk })
  if (isNews(change)) wakeStates(world, wake, change)
  const { object, previous } = change
  // The hub signs a list of them.
  if (!sameJson(object.status?.revokedFingerprints, previous?.status?.revokedFingerprints))
    wake.hub(hubKeyOf(object), { background: true })
}

/** The state of the hub, and that of the one before when the object has moved. */
function wakeStates(
  world: World,
  wake: Wakers,
  { type, object, previous }: Change<Device | Network | Route>,
) {
  const hubs = new Set([hubKeyOf(object), ...(previous === undefined ? [] : [hubKeyOf(previous)])])
  for (const hub of hubs) {
    wake.hubState(hub)
    // A hub that waits for its members to be gone.
    if (type === 'deleted' && world.hubs.get(hub)?.metadata.deletionTimestamp !== undefined) wake.hub(hub)
  }
}

function onNetwork(world: World, wake: Wakers, change: Change<Network>): void {
  wake.network(keyOf(change.object), { background: change.bulk })
  if (!isNews(change)) return
  wakeStates(world, wake, change)
  // Its host names stand in the certificate of the hub.
  wake.hub(hubKeyOf(change.object), { background: change.bulk })
}

function onRoute(world: World, wake: Wakers, change: Change<Route>): void {
  wake.route(keyOf(change.object), { background: change.bulk })
  if (!isNews(change)) return
  wakeStates(world, wake, change)
  // Its credentials stand in a Secret of the hub.
  wake.hub(hubKeyOf(change.object), { background: change.bulk })
}

/** A Secret that somebody may have named, whoever made it. */
function onNamedSecret(world: World, wake: Wakers, key: ObjectKey, background: boolean): void {
  for (const hub of world.hubs.byIndex(SECRET_INDEX, key)) {
    wake.hub(keyOf(hub), { background })
    wake.hubState(keyOf(hub))
    const { secretRef } = hub.spec.deviceCA
    if (secretRef && objectKey(hub.metadata.namespace, secretRef.name) === key) wakeDevices(world, wake, hub)
  }
  for (const device of world.devices.byIndex(SECRET_INDEX, key)) wake.device(keyOf(device), { background })
  for (const network of world.networks.byIndex(SECRET_INDEX, key)) {
    wake.network(keyOf(network), { background })
    wake.hubState(hubKeyOf(network))
  }
  for (const route of world.routes.byIndex(SECRET_INDEX, key)) {
    wake.route(keyOf(route), { background })
    wake.hub(hubKeyOf(route), { background })
  }
}

function wakeDevices(world: World, wake: Wakers, hub: KubeObject): void {
  for (const device of world.devices.byIndex(HUB_INDEX, keyOf(hub)))
    wake.device(keyOf(device), { background: true })
}

/** Something of ours was changed, by us or by somebody else: its owner looks whether it is as it should be. */
function onOwned(world: World, wake: Wakers, plural: string, change: Change<KubeObject>): void {
  const { object, previous, bulk } = change
  const owners = new Map(
    [...(previous?.metadata.ownerReferences ?? []), ...(object.metadata.ownerReferences ?? [])].map(
      (owner) => [owner.uid, owner],
    ),
  )
  for (const owner of owners.values()) {
    const key = objectKey(object.metadata.namespace, owner.name)
    if (owner.kind === 'Hub') onHubObject(world, wake, { key, plural, change })
    else if (owner.kind === 'Device') onDeviceObject(world, wake, key, change, owner)
    else if (owner.kind === 'Network') onNetworkObject(world, wake, key, change)
  }
  if (plural === 'secrets') onNamedSecret(world, wake, keyOf(object), bulk)
}

interface HubObjectChange {
  key: ObjectKey
  plural: string
  change: Change<KubeObject>
}

function onHubObject(world: World, wake: Wakers, { key, plural, change }: HubObjectChange): void {
  const { object, bulk } = change
  wake.hub(key, { background: bulk })
  const hub = key.slice(key.indexOf('/') + 1)
  const { name } = object.metadata
  if (plural === 'services')
    for (const network of world.networks.byIndex(HUB_INDEX, key)) wake.network(keyOf(network))
  if (plural !== 'secrets' || !isOtherData(change as Change<Secret>)) return
  const trust = hubDeviceTrustSecret(hub)
  if ([trust, hubRedisSecret(hub), hubRedisServerSecret(hub)].includes(name ?? '')) wake.hubState(key)
  if ([trust, hubDeviceCaSecret(hub), hubServerTlsSecret(hub)].includes(name ?? ''))
    wakeMembers(world, wake, key)
}

const isOtherData = ({ object, previous }: Change<Secret>): boolean => !sameJson(object.data, previous?.data)

function onDeviceObject(
  world: World,
  wake: Wakers,
  key: ObjectKey,
  { object, bulk }: Change<KubeObject>,
  { name }: OwnerReference,
): void {
  wake.device(key, { background: bulk })
  const device = world.devices.get(key)
  const verifiers = [deviceVerifierSecret(name), deviceEnrolmentSecret(name)]
  if (device && verifiers.includes(object.metadata.name ?? '')) wake.hubState(hubKeyOf(device))
}

function onNetworkObject(world: World, wake: Wakers, key: ObjectKey, { bulk }: Change<KubeObject>): void {
  wake.network(key, { background: bulk })
  const network = world.networks.get(key)
  if (network === undefined) return
  wake.hubState(hubKeyOf(network))
  wake.hub(hubKeyOf(network), { background: bulk })
}
