/** Requests on one Lease (coordination.k8s.io/v1). */
import type { ApiClient } from './api-client.ts'
import { type KubeObject, objectKey, objectPath, type Resource, resourcePath } from './resource.ts'

export interface LeaseSpec {
  /** Empty: nobody holds it. */
  holderIdentity?: string
  leaseDurationSeconds?: number
  /** RFC 3339 with microseconds. */
  acquireTime?: string
  renewTime?: string
  leaseTransitions?: number
}

export interface Lease extends KubeObject {
  spec?: LeaseSpec
}

export interface LeaseRequest {
  client: ApiClient
  namespace: string
  name: string
  timeoutMs: number
  signal?: AbortSignal
}

const LEASES: Resource = {
  apiVersion: 'coordination.k8s.io/v1',
  kind: 'Lease',
  plural: 'leases',
  namespaced: true,
}

const bounds = ({ timeoutMs, signal }: LeaseRequest) => ({ timeoutMs, ...(signal ? { signal } : {}) })

export async function readLease(request: LeaseRequest): Promise<Lease> {
  const path = objectPath(LEASES, objectKey(request.namespace, request.name))
  return (await request.client.request<Lease>({ method: 'GET', path, ...bounds(request) })).body
}

/** Rejects with 409 when another process was first. */
export async function createLease(request: LeaseRequest, spec: LeaseSpec): Promise<Lease> {
  const path = resourcePath(LEASES, request.namespace)
  const metadata = { name: request.name, namespace: request.namespace }
  const body = { apiVersion: LEASES.apiVersion, kind: LEASES.kind, metadata, spec }
  return (await request.client.request<Lease>({ method: 'POST', path, body, ...bounds(request) })).body
}

/** Replaces `current` and nothing else: rejects with 409 when the lease has changed since. */
export async function replaceLease(request: LeaseRequest, current: Lease, spec: LeaseSpec): Promise<Lease> {
  const path = objectPath(LEASES, objectKey(request.namespace, request.name))
  const body = { ...current, spec }
  return (await request.client.request<Lease>({ method: 'PUT', path, body, ...bounds(request) })).body
}
