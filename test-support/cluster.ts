import { KubeConfig } from '@kubernetes/client-node'
import { expect, inject, vi } from 'vitest'
import { type ApiClient, createApiClient } from '../operator/runtime/api-client.ts'
import { isConflict } from '../operator/runtime/api-error.ts'
import { type KubeObject, objectPath, type Resource, resourcePath } from '../operator/runtime/resource.ts'
import { WIDGET_CRD, WIDGETS } from './test-kinds.ts'

/** Kubeconfig of the test project's API server, with every right. */
export function adminConfig(): KubeConfig {
  const kubeConfig = new KubeConfig()
  kubeConfig.loadFromString(inject('kubeConfig'))
  return kubeConfig
}

/** Installs the Widget kind, or finds it installed; resolves when it is served. */
export async function installWidgets(client: ApiClient): Promise<void> {
  const path = '/apis/apiextensions.k8s.io/v1/customresourcedefinitions'
  await client.request({ method: 'POST', path, body: WIDGET_CRD }).catch((error) => {
    if (!isConflict(error)) throw error
  })
  await vi.waitFor(
    async () => {
      const { body } = await client.request<{
        status?: { conditions?: Array<{ type: string; status: string }> }
      }>({
        method: 'GET',
        path: `${path}/widgets.runtime.test`,
      })
      expect(body.status?.conditions).toContainEqual(
        expect.objectContaining({ type: 'Established', status: 'True' }),
      )
      await client.request({ method: 'GET', path: resourcePath(WIDGETS) })
    },
    { timeout: 60_000, interval: 50 },
  )
}

let namespaces = 0

/** A namespace of the test's own, and the requests tests make most. */
export class TestNamespace {
  readonly name: string
  readonly client: ApiClient

  private constructor(name: string, client: ApiClient) {
    this.name = name
    this.client = client
  }

  static async create(prefix: string): Promise<TestNamespace> {
    namespaces += 1
    const name = `${prefix}-${process.pid}-${namespaces}`
    const client = createApiClient({ kubeConfig: adminConfig() })
    await client.request({ method: 'POST', path: '/api/v1/namespaces', body: { metadata: { name } } })
    return new TestNamespace(name, client)
  }

  /** Deletes the namespace; without a controller-manager its objects stay, and hurt nobody. */
  async remove(): Promise<void> {
    await this.client.request({ method: 'DELETE', path: `/api/v1/namespaces/${this.name}` })
    this.client.close()
  }

  key(name: string): string {
    return `${this.name}/${name}`
  }

  async get<T extends KubeObject>(resource: Resource, name: string): Promise<T> {
    return (await this.client.request<T>({ method: 'GET', path: objectPath(resource, this.key(name)) })).body
  }

  async list<T extends KubeObject>(resource: Resource, query: Record<string, string> = {}): Promise<T[]> {
    const path = resourcePath(resource, this.name)
    return (await this.client.request<{ items: T[] }>({ method: 'GET', path, query })).body.items
  }

  async post<T extends KubeObject>(resource: Resource, name: string, fields: object = {}): Promise<T> {
    const { metadata, ...rest } = fields as { metadata?: object }
    const body = {
      apiVersion: resource.apiVersion,
      kind: resource.kind,
      metadata: { name, ...metadata },
      ...rest,
    }
    return (await this.client.request<T>({ method: 'POST', path: resourcePath(resource, this.name), body }))
      .body
  }

  /** A JSON merge patch, as an unrelated client makes one. */
  async merge<T extends KubeObject>(resource: Resource, name: string, body: object, query = {}): Promise<T> {
    const path = objectPath(resource, this.key(name))
    const contentType = 'application/merge-patch+json'
    return (await this.client.request<T>({ method: 'PATCH', path, contentType, body, query })).body
  }

  async delete(resource: Resource, name: string): Promise<void> {
    await this.client.request({ method: 'DELETE', path: objectPath(resource, this.key(name)) })
  }
}
