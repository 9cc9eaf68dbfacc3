/** The operator's copy of the cluster: our kinds whole, our own objects by label, of other Secrets the metadata. */
import type { Logger } from 'pino'
import type { Clock } from '../../contract/clock.ts'
import {
  CONFIG_MAPS,
  type ConfigMap,
  DEPLOYMENTS,
  DEVICES,
  type Deployment,
  type Device,
  HUBS,
  type Hub,
  NETWORKS,
  type Network,
  OWNED_RESOURCES,
  ROUTES,
  type Route,
  SECRETS,
  SERVICES,
  type Secret,
  type Service,
  STATEFUL_SETS,
  type StatefulSet,
} from '../api/resources.ts'
import { MANAGED_BY, MANAGED_BY_LABEL } from '../compile/names.ts'
import type { ApiClient } from '../runtime/api-client.ts'
import { Informer } from '../runtime/informer.ts'
import type { InformerMetrics } from '../runtime/informer-metrics.ts'
import type { Indexer } from '../runtime/object-store.ts'
import { byOwner, OWNER_INDEX } from '../runtime/owner.ts'
import type { InformerTimes } from '../runtime/reflector.ts'
import type { KubeObject, Resource } from '../runtime/resource.ts'
import {
  byHub,
  HUB_INDEX,
  SECRET_INDEX,
  secretsOfDevice,
  secretsOfHub,
  secretsOfNetwork,
  secretsOfRoute,
} from './indexes.ts'
import { InformerSet, type Scope } from './informer-set.ts'

export interface WorldOptions {
  client: ApiClient
  clock: Clock
  /** [0, 1). */
  random: () => number
  logger: Logger
  metrics: InformerMetrics
  /** Of our kinds: the namespaces that are watched, or all. */
  scope: Exclude<Scope, 'on-demand'>
  times?: Partial<InformerTimes>
}

export interface World {
  /** Whether what we make is watched wherever our kinds are. */
  isEverythingWatched: boolean
  hubs: InformerSet<Hub>
  devices: InformerSet<Device>
  networks: InformerSet<Network>
  routes: InformerSet<Route>
  secrets: InformerSet<Secret>
  configMaps: InformerSet<ConfigMap>
  services: InformerSet<Service>
  deployments: InformerSet<Deployment>
  statefulSets: InformerSet<StatefulSet>
  /** Secrets that are not ours, without their values. */
  otherSecrets: InformerSet<KubeObject>
  /** Everything that we make. */
  owned: ReadonlyMap<string, InformerSet<KubeObject>>
  all: ReadonlyArray<InformerSet<KubeObject>>
}

interface Query<T> {
  name?: string
  indexers: Readonly<Record<string, Indexer<T>>>
  labelSelector?: string
  metadataOnly?: boolean
}

const OURS = `${MANAGED_BY_LABEL}=${MANAGED_BY}`
/** Also those without the label. */
const NOT_OURS = `${MANAGED_BY_LABEL}!=${MANAGED_BY}`

export function createWorld(options: WorldOptions): World {
  // Whoever may see our kinds everywhere has rights on the rest only where a RoleBinding gives them (§8.20).
  const ownedScope: Scope = options.scope === 'all' ? 'on-demand' : options.scope
  const kind = <T extends KubeObject>(resource: Resource, indexers: Query<T>['indexers']) =>
    informerSet<T>(options, resource, options.scope, { indexers })
  const hubs = kind<Hub>(HUBS, { [SECRET_INDEX]: secretsOfHub })
  const devices = kind<Device>(DEVICES, { [HUB_INDEX]: byHub, [SECRET_INDEX]: secretsOfDevice })
  const networks = kind<Network>(NETWORKS, { [HUB_INDEX]: byHub, [SECRET_INDEX]: secretsOfNetwork })
  const routes = kind<Route>(ROUTES, { [HUB_INDEX]: byHub, [SECRET_INDEX]: secretsOfRoute })
  const otherSecrets = informerSet<KubeObject>(options, SECRETS, ownedScope, {
    name: 'othersecrets',
    indexers: {},
    labelSelector: NOT_OURS,
    metadataOnly: true,
  })
  const owned = new Map(
    OWNED_RESOURCES.map((resource) => [
      resource.plural,
      informerSet<KubeObject>(options, resource, ownedScope, {
        indexers: { [OWNER_INDEX]: byOwner },
        labelSelector: OURS,
      }),
    ]),
  )
  const ownedOf = <T extends KubeObject>({ plural }: Resource) =>
    owned.get(plural) as unknown as InformerSet<T>
  const sets = [hubs, devices, networks, routes, otherSecrets, ...owned.values()]
  return {
    isEverythingWatched: ownedScope !== 'on-demand',
    hubs,
    devices,
    networks,
    routes,
    otherSecrets,
    secrets: ownedOf<Secret>(SECRETS),
    configMaps: ownedOf<ConfigMap>(CONFIG_MAPS),
    services: ownedOf<Service>(SERVICES),
    deployments: ownedOf<Deployment>(DEPLOYMENTS),
    statefulSets: ownedOf<StatefulSet>(STATEFUL_SETS),
    owned,
    all: sets as unknown as InformerSet<KubeObject>[],
  }
}

function informerSet<T extends KubeObject>(
  { client, clock, random, logger, metrics, times }: WorldOptions,
  resource: Resource,
  scope: Scope,
  query: Query<T>,
): InformerSet<T> {
  const { name = resource.plural, ...selection } = query
  return new InformerSet<T>({
    name,
    resource,
    scope,
    clock,
    informer: (namespace, informerName) =>
      new Informer<T>({
        ...selection,
        name: informerName,
        client,
        clock,
        random,
        logger,
        metrics,
        resource,
        ...(namespace === undefined ? {} : { namespace }),
        ...(times === undefined ? {} : { times }),
      }),
  })
}
