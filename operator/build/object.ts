import type { Desired } from '../runtime/apply.ts'
import type { KubeObject, Resource } from '../runtime/resource.ts'

/** What builders have to know beside the custom resource: settings of the operator. */
export interface BuildSettings {
  /** Image of broker and routes. */
  image: string
  imagePullPolicy?: 'Always' | 'IfNotPresent' | 'Never'
  redisImage: string
  /** DNS domain of the cluster, such as `cluster.local`. */
  clusterDomain: string
  /** Where the operator's own pods are, which may reach a managed Redis. */
  operatorNamespace: string
  /** Whether routes may connect to private address ranges, where Services are. */
  routesAllowPrivate: boolean
  /** Of the broker pods. */
  logLevel: string
}

export interface Meta {
  name: string
  namespace: string
  labels: Record<string, string>
  annotations?: Record<string, string>
}

/** One object to be applied. `fields` is everything beside its metadata. */
export const desired = (resource: Resource, metadata: Meta, fields: object): Desired => ({
  resource,
  object: { metadata, ...fields } as KubeObject,
})

/** Values of a Secret as the API stores them. */
export const secretData = (values: Readonly<Record<string, string | Uint8Array>>): Record<string, string> =>
  Object.fromEntries(
    Object.entries(values).map(([key, value]) => [key, Buffer.from(value).toString('base64')]),
  )
