import { KubeConfig } from '@kubernetes/client-node'
import { afterEach, beforeEach, describe, expect, inject, it, vi } from 'vitest'
import { encodeAsk } from '../contract/asks.ts'
import { asksChannel, openAsksKey } from '../contract/redis-keys.ts'
import { type AuditEntry, AuditLog } from '../test-support/audit-log.ts'
import { adminConfig, TestNamespace } from '../test-support/cluster.ts'
import { DEVICES, HUBS, NETWORKS, OWNED_RESOURCES, ROUTES, SECRETS } from './api/resources.ts'
import { ROUTE_PLURALS } from './build/gateway-route.ts'
import { provisionedDeviceName } from './compile/names.ts'
import { type Conditioned, REDIS_SECRET, Stage, untilCondition, untilReady } from './operator.fixture.ts'
import { makeCa } from './pki/pki.fixture.ts'
import { OPERATOR_ACCOUNT, type PolicyRule, type RbacObject, rbacObjects } from './rbac.ts'
import type { KubeObject } from './runtime/resource.ts'

const auditLog = inject('auditLog')
const waiting = { timeout: 60_000, interval: 50 }
const RBAC_PATH = '/apis/rbac.authorization.k8s.io/v1'
const PLURALS: Record<string, string> = {
  ServiceAccount: 'serviceaccounts',
  ClusterRole: 'clusterroles',
  ClusterRoleBinding: 'clusterrolebindings',
  Role: 'roles',
  RoleBinding: 'rolebindings',
}

let stage: Stage
const cleanUps: Array<() => Promise<unknown>> = []

beforeEach(async () => {
  stage = await Stage.create('rbac')
})
afterEach(async () => {
  for (const cleanUp of cleanUps.splice(0)) await cleanUp()
  await stage.close()
})

const pathOf = ({ apiVersion = '', kind = '', metadata }: KubeObject): string => {
  const root = apiVersion === 'v1' ? '/api/v1' : RBAC_PATH
  const scope = metadata.namespace === undefined ? '' : `/namespaces/${metadata.namespace}`
  return `${root}${scope}/${PLURALS[kind]}/${metadata.name}`
}

async function apply(objects: readonly RbacObject[]): Promise<void> {
  for (const object of objects) {
    const path = pathOf(object)
    await stage.space.client.request({
      method: 'PATCH',
      path,
      query: { fieldManager: 'test', force: true },
      contentType: 'application/apply-patch+yaml',
      body: object,
    })
    if (object.metadata.namespace === undefined)
      cleanUps.push(() => stage.space.client.request({ method: 'DELETE', path }))
  }
}

/** The kubeconfig of the operator's own account, with a token as a pod has one. */
async function operatorAccess(): Promise<KubeConfig> {
  const path = `/api/v1/namespaces/${stage.space.name}/serviceaccounts/${OPERATOR_ACCOUNT}/token`
  const { body } = await stage.space.client.request<{ status: { token: string } }>({
    method: 'POST',
    path,
    body: { apiVersion: 'authentication.k8s.io/v1', kind: 'TokenRequest', spec: {} },
  })
  const cluster = adminConfig().getCurrentCluster()!
  const config = new KubeConfig()
  config.loadFromOptions({
    clusters: [cluster],
    users: [{ name: 'operator', token: body.status.token }],
    contexts: [{ name: 'operator', cluster: cluster.name, user: 'operator' }],
    currentContext: 'operator',
  })
  return config
}

const options = (namespaces: string[], allNamespaces: boolean) => ({
  operatorNamespace: stage.space.name,
  namespaces,
  allNamespaces,
  leaseName: 'hublet-operator',
  defaultRedisSecret: REDIS_SECRET,
})

const post = (resource: typeof HUBS, name: string, spec: object, space = stage.space) =>
  space.post(resource, name, { spec })

/** Everything an operator does in its life: make, change, repair, delete. */
async function live(): Promise<void> {
  const { space } = stage
  const hubRef = { name: 'home' }
  const headers = [{ name: 'X', secretKeyRef: { name: 'token' } }]
  await space.post(SECRETS, 'token', { stringData: { value: 'x' } })
  await post(HUBS, 'home', { deletionPolicy: 'Cascade' })
  await post(HUBS, 'own', { redis: { managed: {} }, deletionPolicy: 'Orphan' })
  await post(DEVICES, 'lamp', { hubRef })
  await post(NETWORKS, 'web', { hubRef, type: 'REST', exposure: { type: 'ClusterIP' } })
  await post(NETWORKS, 'edge', {
    hubRef,
    type: 'MQTT',
    exposure: { type: 'Gateway', gatewayRef: { name: 'g' } },
  })
  await post(NETWORKS, 'page', {
    hubRef,
    type: 'WebSocket',
    exposure: { type: 'Gateway', gatewayRef: { name: 'g', route: 'HTTPRoute' } },
  })
  await post(ROUTES, 'out', { hubRef, topic: '#', rest: { url: 'http://sink', headers } })
  await untilReady(space, HUBS, ['home'])
  await untilReady(space, DEVICES, ['lamp'])
  await meetDevice()
  await untilReady(space, NETWORKS, ['web'])
  await untilCondition(space, HUBS, 'own', { type: 'Ready', reason: 'RedisUnavailable' })
  for (const name of ['edge', 'page'])
    await untilCondition(space, NETWORKS, name, { type: 'GatewayAccepted', status: 'False' })
  // Every event that comes again adds to a series, which is a patch.
  for (const n of ['1', '2', '3']) {
    const annotations = { 'iot.hublet.dev/rotate': n }
    await space.merge(DEVICES, 'lamp', { metadata: { annotations } })
    await vi.waitFor(async () => {
      const { status } = await space.get<
        Conditioned & { status?: { certificate?: { handledRotation?: string } } }
      >(DEVICES, 'lamp')
      expect(status?.certificate?.handledRotation).toBe(n)
    }, waiting)
  }
  await space.merge(NETWORKS, 'web', { spec: { exposure: { type: 'Hub' } } })
  for (const name of ['edge', 'page'])
    await space.merge(NETWORKS, name, { spec: { exposure: { type: 'Hub', gatewayRef: null } } })
  await untilReady(space, NETWORKS, ['web', 'edge', 'page'])
  await space.delete(HUBS, 'home')
  await space.delete(HUBS, 'own')
  for (const resource of [HUBS, DEVICES, NETWORKS, ROUTES])
    await vi.waitFor(async () => expect(await space.list(resource)).toEqual([]), waiting)
}

/** A broker asks for a device that nobody has declared. */
async function meetDevice(): Promise<void> {
  const { space, redis } = stage
  const { certificatePem, privateKeyPem } = await makeCa('ECDSA-P256')
  await space.post(SECRETS, 'ca', { stringData: { 'tls.crt': certificatePem, 'tls.key': privateKeyPem } })
  await post(HUBS, 'plant', {
    deletionPolicy: 'Cascade',
    deviceCA: { secretRef: { name: 'ca' } },
    autoProvisioning: { enabled: true },
  })
  await untilReady(space, HUBS, ['plant'])
  const uid = (await space.get(HUBS, 'plant')).metadata.uid ?? ''
  const request = { commonName: 'SN-1', fingerprint: '', sourceAddress: '10.0.0.7:1', time: 0 }
  const client = redis.client()
  await client.xadd(openAsksKey(uid), '*', ...encodeAsk({ id: '1', ask: { kind: 'Provision', request } }))
  await client.publish(asksChannel(uid), '')
  await untilReady(space, DEVICES, [provisionedDeviceName('SN-1')])
  await space.delete(DEVICES, provisionedDeviceName('SN-1'))
  await vi.waitFor(async () => expect(await space.list(DEVICES)).toHaveLength(1), waiting)
  await space.delete(HUBS, 'plant')
}

type Right = `${string} ${string}/${string}`

const granted = (rules: readonly PolicyRule[]): Right[] =>
  rules.flatMap(({ apiGroups, resources, verbs }) =>
    apiGroups.flatMap((group) =>
      resources.flatMap((resource) => verbs.map((verb): Right => `${verb} ${group}/${resource}`)),
    ),
  )

const routeCrd = (kind: 'TLSRoute' | 'HTTPRoute') => ({
  apiVersion: 'apiextensions.k8s.io/v1',
  kind: 'CustomResourceDefinition',
  metadata: {
    name: `${ROUTE_PLURALS[kind]}.gateway.networking.k8s.io`,
    // The API server keeps this group for those who have their API reviewed.
    annotations: { 'api-approved.kubernetes.io': 'unapproved, for a test' },
  },
  spec: {
    group: 'gateway.networking.k8s.io',
    scope: 'Namespaced',
    names: { kind, plural: ROUTE_PLURALS[kind], singular: kind.toLowerCase() },
    versions: [
      {
        name: 'v1alpha2',
        served: true,
        storage: true,
        subresources: { status: {} },
        schema: {
          openAPIV3Schema: { type: 'object', 'x-kubernetes-preserve-unknown-fields': true },
        },
      },
    ],
  },
})

async function installRoutes(): Promise<void> {
  const path = '/apis/apiextensions.k8s.io/v1/customresourcedefinitions'
  const { client } = stage.space
  for (const kind of ['TLSRoute', 'HTTPRoute'] as const) {
    const crd = routeCrd(kind)
    await client.request({ method: 'POST', path, body: crd })
    cleanUps.push(() => client.request({ method: 'DELETE', path: `${path}/${crd.metadata.name}` }))
    const listPath = `/apis/gateway.networking.k8s.io/v1alpha2/${ROUTE_PLURALS[kind]}`
    await vi.waitFor(() => client.request({ method: 'GET', path: listPath }), waiting)
  }
}

describe('the rights of the operator', () => {
  it.skipIf(auditLog === '')(
    'are enough for all it does, and none of them is unused',
    async () => {
      await installRoutes()
      const objects = rbacObjects(options([stage.space.name], false))
      await apply(objects)
      const audit = new AuditLog(auditLog)
      await audit.next()
      const access = await operatorAccess()
      const operator = stage.start({ access })
      await live()
      await operator.stop()
      const user = `system:serviceaccount:${stage.space.name}:${OPERATOR_ACCOUNT}`
      const entries: AuditEntry[] = []
      const used = new Set<Right>()
      const read = async () => {
        for (const entry of await audit.next()) {
          const { verb, group, resource, subresource } = entry
          if (entry.user !== user || resource === '') continue
          entries.push(entry)
          used.add(`${verb} ${group}/${subresource === '' ? resource : `${resource}/${subresource}`}`)
        }
      }
      const mine = objects.filter(({ metadata }) => !/^hublet-(view|edit)$/.test(metadata.name ?? ''))
      const rights = granted(mine.flatMap(({ rules }) => rules ?? []))
      // Met in a conflict or where a copy lags only: an apply or a status looks at what is there.
      const rare = new Set<Right>(
        [...OWNED_RESOURCES, HUBS, DEVICES, NETWORKS, ROUTES].map(
          ({ apiVersion, plural }): Right => `get ${apiVersion.replace(/\/?v\w+$/, '')}/${plural}`,
        ),
      )
      // An apply of what is not there is logged as the patch that it is, and refused without the right to create.
      const creates = (right: Right) =>
        right.startsWith('create ') && used.has(right.replace('create', 'patch') as Right)
      // A request is in the log once it has ended, watches included.
      await vi.waitFor(async () => {
        await read()
        expect(rights.filter((right) => !used.has(right) && !rare.has(right) && !creates(right))).toEqual([])
      }, waiting)
      expect(entries.filter(({ code }) => code === 403)).toEqual([])
      expect([...used].filter((right) => !rights.includes(right))).toEqual([])
    },
    240_000,
  )

  it('over all namespaces reach Secrets only where somebody has bound them', async () => {
    const bound = await TestNamespace.create('rbac-bound')
    const other = await TestNamespace.create('rbac-other')
    cleanUps.push(
      () => bound.remove(),
      () => other.remove(),
    )
    const objects = rbacObjects(options([bound.name], true))
    await apply(objects)
    stage.start({ access: await operatorAccess(), scope: 'all' })
    const redis = { secretRef: { name: 'redis' } }
    for (const space of [bound, other]) {
      await space.post(SECRETS, 'redis', { stringData: { url: stage.redis.url } })
      await post(HUBS, 'home', { redis }, space)
      await post(DEVICES, 'lamp', { hubRef: { name: 'home' } }, space)
    }
    const { message } = await untilCondition(other, HUBS, 'home', { type: 'Stalled', reason: 'AccessDenied' })
    expect(message).toContain(`bind ClusterRole hublet-workloads`)
    await untilCondition(other, DEVICES, 'lamp', { type: 'Stalled', reason: 'AccessDenied' })
    await untilReady(bound, DEVICES, ['lamp'])
    expect(await other.list(SECRETS)).toHaveLength(1)
    const binding = objects.find(
      ({ kind, metadata }) => kind === 'RoleBinding' && metadata.name === 'hublet-workloads',
    )!
    await apply([{ ...binding, metadata: { ...binding.metadata, namespace: other.name } }])
    await untilReady(other, DEVICES, ['lamp'])
  })
})

it('people who may edit in a namespace may do so with our kinds, and not with their statuses', async () => {
  const [view, edit] = rbacObjects(options([], false)).filter(({ metadata }) =>
    /^hublet-(view|edit)$/.test(metadata.name ?? ''),
  )
  expect(view?.metadata.labels).toMatchObject({ 'rbac.authorization.k8s.io/aggregate-to-view': 'true' })
  expect(edit?.metadata.labels).toMatchObject({ 'rbac.authorization.k8s.io/aggregate-to-edit': 'true' })
  expect(granted(edit?.rules ?? []).filter((right) => right.includes('status'))).toEqual([])
})
