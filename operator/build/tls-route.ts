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

export const tlsRoutes = (version: string): Resource => ({
  apiVersion: `${GATEWAY_GROUP}/${version}`,
  kind: 'TLSRoute',
  plural: 'tlsroutes',
  namespaced: true,
})

export interface TlsRoute extends KubeObject {
  status?: {
    parents?: Array<{
      conditions?: Array<{ type: string; status: string; reason?: string; message?: string }>
    }>
  }
}

const ENCRYPTED: ReadonlySet<ListenerName> = new Set(['mqtts', 'wss', 'https'])

/** The listener that a Gateway passes TLS on to; undefined: it is closed. */
export const gatewayListener = (hub: Hub, network: Network): ListenerName | undefined =>
  networkListeners(hub, network).find((name) => ENCRYPTED.has(name))

/**
 * TLS is passed through by the name that the client asks for: a Gateway that ended it would hide the client's
 * certificate from the hub.
 */
export function networkTlsRoute(hub: Hub, network: Network, resource: Resource): Desired | undefined {
  const { name, namespace = DEFAULT_NAMESPACE } = network.metadata
  const { annotations, gatewayRef, hostnames } = network.spec.exposure
  const listener = gatewayListener(hub, network)
  if (listener === undefined || gatewayRef === undefined) return undefined
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
        rules: [{ backendRefs: [{ name: networkService(name), port: hub.spec.listeners[listener].port }] }],
      },
    },
  )
}
