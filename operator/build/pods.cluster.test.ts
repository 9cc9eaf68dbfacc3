import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { TestNamespace } from '../../test-support/cluster.ts'
import { makeHub } from '../compile/manifests.fixture.ts'
import { ApiError } from '../runtime/api-error.ts'
import type { Desired } from '../runtime/apply.ts'
import { resourcePath } from '../runtime/resource.ts'
import { brokerDeployment } from './deployment.ts'
import { brokerDisruptionBudget, brokerNetworkPolicy, brokerServiceAccount } from './pod-guards.ts'
import { redisObjects } from './redis.ts'
import { hubService } from './services.ts'
import { SETTINGS } from './settings.fixture.ts'

let space: TestNamespace

beforeAll(async () => {
  space = await TestNamespace.create('pods')
  const labels = { 'pod-security.kubernetes.io/enforce': 'restricted' }
  const contentType = 'application/merge-patch+json'
  const path = `/api/v1/namespaces/${space.name}`
  await space.client.request({ method: 'PATCH', path, contentType, body: { metadata: { labels } } })
})
afterAll(() => space.remove())

interface PodSpec {
  containers: object[]
  volumes: object[]
  securityContext?: object
}
interface Workload {
  spec: {
    template: { metadata: object; spec: PodSpec }
    volumeClaimTemplates?: Array<{ metadata: { name: string } }>
  }
}

const certificate = { certificatePem: 'C', privateKeyPem: 'K' }
const server = { config: 'conf', adminPassword: 'p', certificate, caPem: 'CA' }
const everything = makeHub({
  listeners: { http: { enabled: true } },
  service: { type: 'LoadBalancer', externalTrafficPolicy: 'Local', loadBalancerClass: 'example.com/lb' },
  pod: {
    tolerations: [{ key: 'iot', operator: 'Exists' }],
    affinity: { nodeAffinity: {} },
    nodeSelector: { disk: 'ssd' },
    imagePullSecrets: [{ name: 'pull' }],
    resources: { broker: { limits: { memory: '1Gi', cpu: '2' } }, routes: { requests: { cpu: '50m' } } },
  },
  redis: { managed: { storageSize: '2Gi', storageClassName: 'fast' } },
})
const HUBS = { plain: makeHub(), 'with everything': everything }

async function podIsTaken({ spec }: Workload): Promise<true | string> {
  const { metadata, spec: pod } = spec.template
  // As the StatefulSet controller mounts claims.
  const claims = (spec.volumeClaimTemplates ?? []).map(({ metadata: { name } }) => ({
    name,
    persistentVolumeClaim: { claimName: name },
  }))
  const body = {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { ...metadata, name: 'pod' },
    spec: { ...pod, volumes: [...pod.volumes, ...claims] },
  }
  try {
    await space.client.request({
      method: 'POST',
      path: `/api/v1/namespaces/${space.name}/pods`,
      query: { dryRun: 'All', fieldValidation: 'Strict' },
      body,
    })
    return true
  } catch (error) {
    if (error instanceof ApiError) return error.message
    throw error
  }
}

describe.each(Object.entries(HUBS))('a %s hub', (_, hub) => {
  const deployment = brokerDeployment(hub, SETTINGS, 'digest')
  const redis = redisObjects(hub, server, SETTINGS)

  it('has pods that a namespace with restricted pod security takes', async () => {
    for (const { object } of [deployment, redis.at(-1)!]) {
      const workload = object as unknown as Workload
      expect(await podIsTaken(workload)).toBe(true)
      // The check is on: the same pod with less care is refused.
      const careless = structuredClone(workload)
      delete careless.spec.template.spec.securityContext
      expect(await podIsTaken(careless)).toContain('violates PodSecurity "restricted')
    }
  })

  it('has objects that the API server takes field by field', async () => {
    const all: Desired[] = [
      brokerServiceAccount(hub),
      brokerDisruptionBudget(hub),
      brokerNetworkPolicy(hub),
      hubService(hub)!,
      deployment,
      ...redis,
    ]
    for (const { resource, object } of all) {
      const { namespace: _namespace, ...metadata } = object.metadata
      const { status } = await space.client.request({
        method: 'POST',
        path: resourcePath(resource, space.name),
        query: { dryRun: 'All', fieldValidation: 'Strict' },
        body: { ...object, apiVersion: resource.apiVersion, kind: resource.kind, metadata },
      })
      expect(status, resource.kind).toBe(201)
    }
  })
})
