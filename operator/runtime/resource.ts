/** One API resource, as its REST path needs it. */
export interface Resource {
  /** `v1`, `apps/v1`, … */
  apiVersion: string
  kind: string
  /** Lower-case plural, as in the path. */
  plural: string
  namespaced: boolean
}

export interface OwnerReference {
  apiVersion: string
  kind: string
  name: string
  uid: string
  controller?: boolean
  blockOwnerDeletion?: boolean
}

export interface ObjectMeta {
  name?: string
  namespace?: string
  uid?: string
  resourceVersion?: string
  generation?: number
  creationTimestamp?: string
  deletionTimestamp?: string
  labels?: Record<string, string>
  annotations?: Record<string, string>
  finalizers?: string[]
  ownerReferences?: OwnerReference[]
  managedFields?: unknown[]
}

/** Any Kubernetes object. Kinds with a type of their own extend it. */
export interface KubeObject {
  apiVersion?: string
  kind?: string
  metadata: ObjectMeta
}

/** `namespace/name`, or `name` for what has no namespace: the only thing a queue carries. */
export type ObjectKey = string

export const keyOf = (object: KubeObject): ObjectKey =>
  objectKey(object.metadata.namespace, object.metadata.name ?? '')

export const objectKey = (namespace: string | undefined, name: string): ObjectKey =>
  namespace ? `${namespace}/${name}` : name

/** Splits a key; a name never holds a slash. */
export function splitKey(key: ObjectKey): { namespace?: string; name: string } {
  const slash = key.indexOf('/')
  return slash < 0 ? { name: key } : { namespace: key.slice(0, slash), name: key.slice(slash + 1) }
}

/** Path of a collection (`name` absent) or of one object. An absent namespace means all of them. */
export function resourcePath(resource: Resource, namespace?: string, name?: string): string {
  const root = resource.apiVersion.includes('/')
    ? `/apis/${resource.apiVersion}`
    : `/api/${resource.apiVersion}`
  const scope = resource.namespaced && namespace ? `/namespaces/${encodeURIComponent(namespace)}` : ''
  const leaf = name === undefined ? '' : `/${encodeURIComponent(name)}`
  return `${root}${scope}/${resource.plural}${leaf}`
}

/** Path of the object that `key` names. */
export function objectPath(resource: Resource, key: ObjectKey): string {
  const { namespace, name } = splitKey(key)
  return resourcePath(resource, namespace, name)
}

/**
 * Whether resource version `a` is later than `b`. Versions are decimal counters of one sequence a server
 * (promised since Kubernetes 1.35, true of every etcd-backed server before); longer means larger.
 */
export function isLaterVersion(a: string | undefined, b: string | undefined): boolean {
  if (!a) return false
  if (!b) return true
  return a.length === b.length ? a > b : a.length > b.length
}

/** Cause of the API's own Status object, as refusals carry it. */
export interface ApiStatus {
  kind?: string
  message?: string
  reason?: string
  code?: number
  details?: {
    retryAfterSeconds?: number
    causes?: Array<{ field?: string; message?: string; reason?: string }>
  }
}
