/** The API resources that this operator reads or writes, and the fields of them that it looks at. */
import type { Device } from '../../crds/device.ts'
import type { Hub } from '../../crds/hub.ts'
import { API_VERSION } from '../../crds/meta.ts'
import type { Network } from '../../crds/network.ts'
import type { Route } from '../../crds/route.ts'
import type { KubeObject, Resource } from '../runtime/resource.ts'

export type { Device, Hub, Network, Route }

const namespaced = (apiVersion: string, kind: string, plural: string): Resource => ({
  apiVersion,
  kind,
  plural,
  namespaced: true,
})

export const HUBS = namespaced(API_VERSION, 'Hub', 'hubs')
export const DEVICES = namespaced(API_VERSION, 'Device', 'devices')
export const NETWORKS = namespaced(API_VERSION, 'Network', 'networks')
export const ROUTES = namespaced(API_VERSION, 'Route', 'routes')

export const SECRETS = namespaced('v1', 'Secret', 'secrets')
export const CONFIG_MAPS = namespaced('v1', 'ConfigMap', 'configmaps')
export const SERVICES = namespaced('v1', 'Service', 'services')
export const SERVICE_ACCOUNTS = namespaced('v1', 'ServiceAccount', 'serviceaccounts')
export const DEPLOYMENTS = namespaced('apps/v1', 'Deployment', 'deployments')
export const STATEFUL_SETS = namespaced('apps/v1', 'StatefulSet', 'statefulsets')
export const DISRUPTION_BUDGETS = namespaced('policy/v1', 'PodDisruptionBudget', 'poddisruptionbudgets')
export const NETWORK_POLICIES = namespaced('networking.k8s.io/v1', 'NetworkPolicy', 'networkpolicies')

/** Ours to make: watched by label, applied, pruned. Rights are generated from this list. */
export const OWNED_RESOURCES: readonly Resource[] = [
  SECRETS,
  CONFIG_MAPS,
  SERVICES,
  SERVICE_ACCOUNTS,
  DEPLOYMENTS,
  STATEFUL_SETS,
  DISRUPTION_BUDGETS,
  NETWORK_POLICIES,
]

export interface Secret extends KubeObject {
  type?: string
  /** Base64. */
  data?: Record<string, string>
}

export interface ConfigMap extends KubeObject {
  data?: Record<string, string>
}

export interface Deployment extends KubeObject {
  spec?: { replicas?: number }
  status?: {
    observedGeneration?: number
    replicas?: number
    updatedReplicas?: number
    availableReplicas?: number
    readyReplicas?: number
    conditions?: Array<{ type: string; status: string; reason?: string; message?: string }>
  }
}

export interface StatefulSet extends KubeObject {
  spec?: { replicas?: number }
  status?: { observedGeneration?: number; readyReplicas?: number; availableReplicas?: number }
}

export interface Service extends KubeObject {
  spec?: { type?: string; ports?: Array<{ name?: string; port: number; nodePort?: number }> }
  status?: { loadBalancer?: { ingress?: Array<{ ip?: string; hostname?: string }> } }
}
