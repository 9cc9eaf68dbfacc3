/** Ways in through objects of others, with the real CRDs of the Gateway API. */
import { readdir } from 'node:fs/promises'
import path from 'node:path'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { HUBS, NETWORKS, type Network } from '../../operator/api/resources.ts'
import { applyManifest, ROOT, readYaml, Stage, untilCondition } from '../../operator/operator.fixture.ts'
import { isNotFound } from '../../operator/runtime/api-error.ts'
import { type KubeObject, objectPath, type Resource } from '../../operator/runtime/resource.ts'
import { gatewayApiCrds } from '../gitops/go-tools.ts'

const CRDS = '/apis/apiextensions.k8s.io/v1/customresourcedefinitions'
const GATEWAY = 'gateway.networking.k8s.io'
const TLS_ROUTES: Resource = {
  apiVersion: `${GATEWAY}/v1`,
  kind: 'TLSRoute',
  plural: 'tlsroutes',
  namespaced: true,
}
const HTTP_ROUTES: Resource = { ...TLS_ROUTES, kind: 'HTTPRoute', plural: 'httproutes' }
const PLURALS: Record<string, string> = {
  Gateway: 'gateways',
  HTTPRoute: 'httproutes',
  BackendTLSPolicy: 'backendtlspolicies',
  Ingress: 'ingresses',
  Hub: 'hubs',
  Network: 'networks',
}
const waiting = { timeout: 60_000, interval: 100 }

let stage: Stage
const installed: string[] = []

beforeAll(async () => {
  const folder = await gatewayApiCrds()
  stage = await Stage.create('gateway')
  const { client } = stage.space
  for (const name of await readdir(folder)) {
    if (!/_(gateways|tlsroutes|httproutes|backendtlspolicies)\.yaml$/.test(name)) continue
    const [crd] = await readYaml(path.join(folder, name))
    const crdPath = `${CRDS}/${crd?.metadata.name}`
    const query = { fieldManager: 'test', force: true }
    const contentType = 'application/apply-patch+yaml'
    await client.request({ method: 'PATCH', path: crdPath, query, contentType, body: crd })
    installed.push(crdPath)
  }
  await vi.waitFor(
    () => client.request({ method: 'GET', path: `/apis/${GATEWAY}/v1/namespaces/default/tlsroutes` }),
    waiting,
  )
})

afterAll(async () => {
  // Other files rely on a cluster without the Gateway API.
  for (const crd of installed) await stage.space.client.request({ method: 'DELETE', path: crd })
  await stage?.close()
})

const route = () => stage.space.get<KubeObject & { spec: object }>(TLS_ROUTES, 'network-edge')

/** What a Gateway says to a route; no Gateway runs here. */
async function answer(status: 'True' | 'False', message: string): Promise<void> {
  const parentRef = { name: 'edge', sectionName: 'mqtts' }
  const accepted = { type: 'Accepted', status, reason: 'Answered', message }
  const conditions = [{ ...accepted, lastTransitionTime: '2026-01-01T00:00:00Z', observedGeneration: 1 }]
  await stage.space.client.request({
    method: 'PATCH',
    path: `${objectPath(TLS_ROUTES, stage.space.key('network-edge'))}/status`,
    contentType: 'application/merge-patch+json',
    body: { status: { parents: [{ controllerName: 'example.com/gateway', parentRef, conditions }] } },
  })
}

describe('the examples of ways in', () => {
  it.each(['hub.yaml', 'gateway.yaml', 'ingress.yaml'])('%s is accepted whole', async (name) => {
    const objects = await readYaml(path.join(ROOT, 'examples/exposure', name))
    for (const object of objects) {
      const { apiVersion = '', kind = '' } = object
      const resource = { apiVersion, kind, plural: PLURALS[kind] ?? kind, namespaced: true }
      await stage.space.client.request({
        method: 'PATCH',
        path: objectPath(resource, stage.space.key(object.metadata.name ?? '')),
        query: { fieldManager: 'test', force: true, fieldValidation: 'Strict', dryRun: 'All' },
        contentType: 'application/apply-patch+yaml',
        body: object,
      })
    }
  })
})

it('a network goes through a Gateway by a TLSRoute that the real kind takes, and tells what the Gateway says', async () => {
  const { space } = stage
  stage.start()
  for (const object of [
    ...(await readYaml(path.join(ROOT, 'examples/exposure/hub.yaml'))),
    ...(await readYaml(path.join(ROOT, 'examples/exposure/gateway.yaml'))).filter(
      ({ kind }) => kind === 'Network',
    ),
  ])
    await applyManifest(space, object)
  await untilCondition(space, NETWORKS, 'edge', { type: 'GatewayAccepted', status: 'False' })
  expect((await route()).spec).toMatchObject({
    parentRefs: [{ name: 'edge', sectionName: 'mqtts' }],
    hostnames: ['garden.example.com'],
    rules: [{ backendRefs: [{ name: 'network-edge', port: 8883 }] }],
  })
  await answer('True', 'taken')
  await untilCondition(space, NETWORKS, 'edge', { type: 'Ready', status: 'True' })
  await untilCondition(space, NETWORKS, 'edge', { type: 'GatewayAccepted', status: 'True' })
  await answer('False', 'no listener of that name')
  // Asked again at the next look at the network, which a change of it brings.
  await space.merge(NETWORKS, 'edge', { spec: { exposure: { annotations: { a: 'b' } } } })
  const { message } = await untilCondition(space, NETWORKS, 'edge', {
    type: 'GatewayAccepted',
    status: 'False',
  })
  expect(message).toContain('no listener of that name')
  await space.merge(NETWORKS, 'edge', {
    spec: { exposure: { type: 'Hub', gatewayRef: null, hostnames: [] } },
  })
  await vi.waitFor(async () => {
    const gone = await route().catch((error) => isNotFound(error))
    expect(gone).toBe(true)
  }, waiting)
  await untilCondition(space, HUBS, 'garden', { type: 'Ready', status: 'True' })
})

it('a token network goes through a Gateway by an HTTPRoute, and by a TLSRoute once it asks for that', async () => {
  const { space } = stage
  const exposure = { type: 'Gateway', gatewayRef: { name: 'edge', route: 'HTTPRoute' } }
  const spec = {
    hubRef: { name: 'garden' },
    type: 'REST',
    exposure: { ...exposure, hostnames: ['api.example.com'] },
  }
  await space.post(NETWORKS, 'web', { spec })
  await untilCondition(space, NETWORKS, 'web', { type: 'Stalled', reason: 'ListenerClosed' })
  await space.merge(HUBS, 'garden', { spec: { listeners: { http: { enabled: true } } } })
  const of = (resource: Resource) => space.get<KubeObject & { spec: object }>(resource, 'network-web')
  await vi.waitFor(
    async () =>
      expect((await of(HTTP_ROUTES)).spec).toMatchObject({
        parentRefs: [{ name: 'edge' }],
        hostnames: ['api.example.com'],
        rules: [
          {
            matches: [{ path: { type: 'Exact', value: '/networks/web' } }],
            backendRefs: [{ name: 'network-web', port: 8080 }],
          },
        ],
      }),
    waiting,
  )
  const { status } = await space.get<Network>(NETWORKS, 'web')
  expect(status?.endpoints?.[0]?.url).toBe('https://api.example.com/networks/web')
  await space.merge(NETWORKS, 'web', { spec: { exposure: { gatewayRef: { route: 'TLSRoute' } } } })
  await vi.waitFor(async () => {
    expect((await of(TLS_ROUTES)).spec).toMatchObject({ rules: [{ backendRefs: [{ port: 8443 }] }] })
    expect(await of(HTTP_ROUTES).catch((error) => isNotFound(error))).toBe(true)
  }, waiting)
})
