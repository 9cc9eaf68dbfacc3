import { POD_PORTS } from '../../contract/broker-pod.ts'
import type { Hub } from '../../crds/hub.ts'
import type { Network } from '../../crds/network.ts'
import { SERVICES } from '../api/resources.ts'
import { DEFAULT_NAMESPACE } from '../compile/hub-record.ts'
import { hubWorkload, labelsOf, networkService, podSelector } from '../compile/names.ts'
import type { Desired } from '../runtime/apply.ts'
import { type ListenerName, openListeners } from './containers.ts'
import { desired } from './object.ts'

type NetworkType = Network['spec']['type']

/** Listeners that a network of each type is reached by, the encrypted one first. */
export const LISTENERS_OF: Readonly<Record<NetworkType, readonly ListenerName[]>> = {
  MQTT: ['mqtts', 'mqtt'],
  WebSocket: ['wss', 'ws'],
  REST: ['https', 'http'],
  Sigfox: ['https', 'http'],
}

/** Listeners that are open and fit the network. */
export const networkListeners = (hub: Hub, network: Network): ListenerName[] => {
  const open = new Set(openListeners(hub))
  return LISTENERS_OF[network.spec.type].filter((name) => open.has(name))
}

/** The Service in front of the broker pods; undefined: no listener is open. */
export function hubService(hub: Hub): Desired | undefined {
  const { name, namespace = DEFAULT_NAMESPACE } = hub.metadata
  const { type, annotations, externalTrafficPolicy, ipFamilyPolicy, nodePorts = {} } = hub.spec.service
  const listeners = openListeners(hub)
  if (listeners.length === 0) return undefined
  return desired(
    SERVICES,
    {
      name: hubWorkload(name),
      namespace,
      labels: labelsOf(name, 'broker'),
      ...(Object.keys(annotations).length > 0 ? { annotations } : {}),
    },
    {
      spec: {
        type,
        ...(type === 'ClusterIP' ? {} : { externalTrafficPolicy }),
        ...(type === 'LoadBalancer' ? loadBalancer(hub) : {}),
        ipFamilyPolicy,
        selector: podSelector(name, 'broker'),
        ports: servicePorts(hub, listeners, type === 'ClusterIP' ? {} : nodePorts),
      },
    },
  )
}

function loadBalancer({ spec }: Hub): object {
  const { loadBalancerClass, loadBalancerSourceRanges } = spec.service
  return {
    ...(loadBalancerClass === undefined ? {} : { loadBalancerClass }),
    ...(loadBalancerSourceRanges.length === 0 ? {} : { loadBalancerSourceRanges }),
  }
}

/** The Service of a network that asks for one of its own; undefined: it does not, or nothing fitting is open. */
export function networkServiceObject(hub: Hub, network: Network): Desired | undefined {
  const { name, namespace = DEFAULT_NAMESPACE } = network.metadata
  const { type, annotations } = network.spec.exposure
  const listeners = networkListeners(hub, network)
  if (type === 'Hub' || listeners.length === 0) return undefined
  return desired(
    SERVICES,
    {
      name: networkService(name),
      namespace,
      labels: labelsOf(hub.metadata.name, 'network'),
      ...(Object.keys(annotations).length > 0 && type !== 'Gateway' ? { annotations } : {}),
    },
    {
      spec: {
        type: type === 'Gateway' ? 'ClusterIP' : type,
        selector: podSelector(hub.metadata.name, 'broker'),
        ports: servicePorts(hub, listeners),
      },
    },
  )
}

/** Container ports never change, so moving a listener to another port restarts no pod. */
const servicePorts = (
  hub: Hub,
  listeners: readonly ListenerName[],
  nodePorts: Partial<Record<ListenerName, number>> = {},
): object[] =>
  listeners.map((name) => ({
    name,
    protocol: 'TCP',
    port: hub.spec.listeners[name].port,
    targetPort: POD_PORTS[name],
    ...(nodePorts[name] === undefined ? {} : { nodePort: nodePorts[name] }),
  }))
