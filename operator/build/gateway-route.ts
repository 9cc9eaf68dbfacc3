import type { Hub } from '../../crds/hub.ts'
import type { Network } from '../../crds/network.ts'
import { DEFAULT_NAMESPACE } from '../compile/hub-record.ts'
import { labelsOf, networkService } from '../compile/names.ts'
import type { Desired } from '../runtime/apply.ts'
import type { KubeObject, Resource } from '../runtime/resource.ts'
import type { ListenerName } from './containers.ts'
import { desired } from './object.ts'
import { networkListeners } from './services.ts'

export const GATEWAY_GROUP = 'gateway.networking.k8s.io'

/** Kinds of routes that a network may have. */
export const ROUTE_PLURALS = { TLSRoute: 'tlsroutes', HTTPRoute: 'httproutes' } as const
export type GatewayRouteKind = keyof typeof ROUTE_PLURALS

export const gatewayRoutes = (kind: GatewayRouteKind, version: string): Resource => ({
  apiVersion: `${GATEWAY_GROUP}/${version}`,
  kind,
  plural: ROUTE_PLURALS[kind],
  namespaced: true,
})

export interface GatewayRoute extends KubeObject {
  status?: {
    parents?: Array<{
      conditions?: Array<{ type: string; status: string; reason?: string; message?: string }>
    }>
  }
}

const ENCRYPTED: ReadonlySet<ListenerName> = new Set(['mqtts', 'wss', 'https'])

/** The kind that a network asks for. */
export const routeKindOf = ({ spec }: Network): GatewayRouteKind =>
  spec.exposure.gatewayRef?.route ?? 'TLSRoute'

/** Where HTTP of the network is. */
export const httpPath = ({ metadata, spec }: Network): string =>
  spec.type === 'WebSocket' ? '/mqtt' : `/networks/${metadata.name}`

/** The listener that a Gateway goes on to; undefined: it is closed. */
const gatewayListener = (hub: Hub, network: Network): ListenerName | undefined => {
  const isEncrypted = routeKindOf(network) === 'TLSRoute'
  return networkListeners(hub, network).find((name) => ENCRYPTED.has(name) === isEncrypted)
}

/**
 * TLS is passed through by the name that the client asks for: a Gateway that ended it would hide the client's
 * certificate from the hub. HTTP ends at the Gateway, for networks with tokens and devices with allowInsecure.
 */
export function networkRoute(hub: Hub, network: Network, resource: Resource): Desired | undefined {
  const { name, namespace = DEFAULT_NAMESPACE } = network.metadata
  const { annotations, gatewayRef, hostnames } = network.spec.exposure
  const listener = gatewayListener(hub, network)
  if (listener === undefined || gatewayRef === undefined) return undefined
  const backendRefs = [{ name: networkService(name), port: hub.spec.listeners[listener].port }]
  const matches = [{ path: { type: 'Exact', value: httpPath(network) } }]
  return desired(
    resource,
    {
      name: networkService(name),
      namespace,
      labels: labelsOf(hub.metadata.name, 'network'),
      ...(Object.keys(annotations).length > 0 ? { annotations } : {}),
    },
    {
      spec: {
        parentRefs: [
          {
            name: gatewayRef.name,
            ...(gatewayRef.sectionName === undefined ? {} : { sectionName: gatewayRef.sectionName }),
          },
        ],
        ...(hostnames.length > 0 ? { hostnames } : {}),
        rules: [{ ...(resource.kind === 'HTTPRoute' ? { matches } : {}), backendRefs }],
      },
    },
  )
}
