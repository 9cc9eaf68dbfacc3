import type { Device } from '../../crds/device.ts'
import type { Hub } from '../../crds/hub.ts'
import type { Network } from '../../crds/network.ts'
import type { Route } from '../../crds/route.ts'
import { DEFAULT_NAMESPACE } from '../../operator/compile/hub-record.ts'
import { type LoadedManifest, type ManifestSet, namespaceOf, ofKind } from '../manifests/manifest-set.ts'
import { type SecretLookup, secretsOf } from '../manifests/secret-values.ts'

/** One hub of the folder with everything that refers to it. */
export interface HubManifests {
  /** Name of the hub, with its namespace unless that is `default`: unique, and a safe name of a folder. */
  key: string
  hub: LoadedManifest<Hub>
  devices: LoadedManifest<Device>[]
  networks: LoadedManifest<Network>[]
  routes: LoadedManifest<Route>[]
  secrets: SecretLookup
}

/** Hub names hold no dot, so `<hub>` and `<hub>.<namespace>` can never meet. */
export const hubKey = (name: string, namespace: string): string =>
  namespace === DEFAULT_NAMESPACE ? name : `${name}.${namespace}`

/** Groups a set by hub, in the order of their keys. What refers to no hub of the set is left out. */
export function hubsOf(set: ManifestSet): HubManifests[] {
  const hubs = new Map<string, HubManifests>()
  for (const hub of ofKind(set, 'Hub')) {
    const namespace = namespaceOf(hub.object.metadata)
    const key = hubKey(hub.object.metadata.name, namespace)
    hubs.set(key, { key, hub, devices: [], networks: [], routes: [], secrets: secretsOf(set, namespace) })
  }
  const ownerOf = ({ metadata, spec }: Device | Network | Route) =>
    hubs.get(hubKey(spec.hubRef.name, namespaceOf(metadata)))
  for (const device of ofKind(set, 'Device')) ownerOf(device.object)?.devices.push(device)
  for (const network of ofKind(set, 'Network')) ownerOf(network.object)?.networks.push(network)
  for (const route of ofKind(set, 'Route')) ownerOf(route.object)?.routes.push(route)
  return [...hubs.values()].sort((a, b) => (a.key < b.key ? -1 : 1))
}
