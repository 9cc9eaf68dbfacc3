import { afterAll, beforeAll, describe, expect, inject, it, vi } from 'vitest'
import { DEVICES, HUBS, NETWORKS, OWNED_RESOURCES, ROUTES, SECRETS } from '../../operator/api/resources.ts'
import { type Conditioned, untilCondition } from '../../operator/operator.fixture.ts'
import type { RbacObject } from '../../operator/rbac.ts'
import type { Resource } from '../../operator/runtime/resource.ts'
import { AuditLog } from '../../test-support/audit-log.ts'
import { POD_MS, Site } from './site.fixture.ts'

const ROLES: Resource = {
  apiVersion: 'rbac.authorization.k8s.io/v1',
  kind: 'Role',
  plural: 'roles',
  namespaced: true,
}
const auditLog = inject('auditLog')
const hubRef = { name: 'home' }
const waiting = { timeout: POD_MS, interval: 250 }

let site: Site
let audit: AuditLog
beforeAll(async () => {
  audit = new AuditLog(auditLog)
  if (auditLog !== '') await audit.next()
  site = await Site.install('rights')
})
afterAll(() => site.close())

/** What operators do in the life of a hub: make, change, delete. */
async function live(): Promise<void> {
  const { space } = site
  await space.post(SECRETS, 'token', { stringData: { value: 'x' } })
  await site.apply('Hub', 'home', { deletionPolicy: 'Cascade' })
  await site.apply('Device', 'lamp', { hubRef })
  await site.apply('Network', 'web', { hubRef, type: 'REST', exposure: { type: 'ClusterIP' } })
  const headers = [{ name: 'X', secretKeyRef: { name: 'token' } }]
  await site.apply('Route', 'out', { hubRef, topic: '#', rest: { url: 'http://sink', headers } })
  await site.untilReady(HUBS, ['home'])
  await site.untilReady(DEVICES, ['lamp'])
  await site.untilReady(NETWORKS, ['web'])
  // Events that come again are patches of a series.
  for (const n of ['1', '2', '3']) {
    await space.merge(DEVICES, 'lamp', { metadata: { annotations: { 'iot.hublet.dev/rotate': n } } })
    await vi.waitFor(async () => {
      const { status } = await space.get<
        Conditioned & { status?: { certificate?: { handledRotation?: string } } }
      >(DEVICES, 'lamp')
      expect(status?.certificate?.handledRotation).toBe(n)
    }, waiting)
  }
  await space.merge(NETWORKS, 'web', { spec: { exposure: { type: 'Hub' } } })
  await site.untilReady(NETWORKS, ['web'])
  // Another Redis, which is not there: what the managed one was is taken away.
  await space.merge(HUBS, 'home', { spec: { redis: { url: 'redis://none:6379', managed: null } } })
  await untilCondition(space, HUBS, 'home', { type: 'Ready', reason: 'RedisUnavailable' })
  await space.merge(HUBS, 'home', { spec: { redis: { url: null, managed: {} } } })
  await site.untilReady(HUBS, ['home'])
  await space.delete(HUBS, 'home')
  for (const resource of [HUBS, DEVICES, NETWORKS, ROUTES])
    await vi.waitFor(async () => expect(await space.list(resource)).toEqual([]), waiting)
}

describe('the account of the operator, bound by the chart', () => {
  it.skipIf(auditLog === '')('may do all that it does, and does all that it may', async () => {
    const roles = await site.space.list<RbacObject>(ROLES)
    const user = `system:serviceaccount:${site.space.name}:hublet`
    const calls = async () =>
      (await audit.next()).filter((entry) => entry.user === user && entry.resource !== '')
    await live()
    const entries = await calls()
    expect(entries.filter(({ code }) => code === 403)).toEqual([])
    const rights = roles.flatMap(({ rules = [] }) =>
      rules.flatMap(({ apiGroups, resources, verbs }) =>
        apiGroups.flatMap((group) =>
          resources.flatMap((resource) => verbs.map((verb) => `${verb} ${group}/${resource}`)),
        ),
      ),
    )
    const rightOf = ({ verb, group, resource, subresource }: (typeof entries)[number]) =>
      `${verb} ${group}/${subresource === '' ? resource : `${resource}/${subresource}`}`
    const used = new Set(entries.map(rightOf))
    // A conflict, or a copy that lags, is met now and then only; the tier without a node makes each of them happen.
    const rare = new Set(
      [...OWNED_RESOURCES, HUBS, DEVICES, NETWORKS, ROUTES].map(
        ({ apiVersion, plural }) => `get ${apiVersion.replace(/\/?v\w+$/, '')}/${plural}`,
      ),
    )
    const isRare = (right: string) =>
      rare.has(right) ||
      // No Gateway API here.
      /\/(tls|http)routes$/.test(right) ||
      // An apply of what is not there is logged as the patch that it is.
      (right.startsWith('create ') && used.has(right.replace('create', 'patch')))
    // Watches are in the log once they have ended. Rights go before the operator does, so it may be refused now.
    await site.uninstall()
    await vi.waitFor(async () => {
      for (const entry of await calls()) used.add(rightOf(entry))
      expect(rights.filter((right) => !used.has(right) && !isRare(right))).toEqual([])
    }, waiting)
    expect([...used].filter((right) => !rights.includes(right))).toEqual([])
  })
})
