import { setTimeout as sleep } from 'node:timers/promises'
import { afterEach, beforeEach, describe, expect, inject, it, vi } from 'vitest'
import { decodeDevice, decodeHub } from '../contract/hub-state-codec.ts'
import { hubAclUser } from '../contract/redis-acl.ts'
import { stateKeys } from '../contract/redis-keys.ts'
import { AuditLog, isWrite } from '../test-support/audit-log.ts'
import {
  CONFIG_MAPS,
  DEPLOYMENTS,
  DEVICES,
  HUBS,
  type Hub,
  NETWORKS,
  SECRETS,
  SERVICES,
  type Secret,
} from './api/resources.ts'
import {
  applyQuickstart,
  type Conditioned,
  Stage,
  type TestOperator,
  textOf,
  untilReady,
} from './operator.fixture.ts'

const auditLog = inject('auditLog')
let stage: Stage

beforeEach(async () => {
  stage = await Stage.create('operator')
})
afterEach(() => stage.close())

describe('the quickstart on a cluster', () => {
  it('becomes Ready, with the objects it asks for and the state in Redis', async () => {
    stage.start()
    const { space, redis } = stage
    await applyQuickstart(space)
    await quickstartIsReady()

    const names = async (resource: typeof SECRETS) =>
      (await space.list(resource)).map(({ metadata }) => metadata.name).sort()
    expect(await names(SECRETS)).toEqual([
      'default-redis',
      'device-dashboard-tls',
      'device-pump-tls',
      'device-thermometer-tls',
      'hub-garden-device-ca',
      'hub-garden-device-trust',
      'hub-garden-redis',
      'hub-garden-routes',
      'hub-garden-server-ca',
      'hub-garden-server-tls',
      'network-sigfox-token',
      'network-web-token',
    ])
    expect(await names(CONFIG_MAPS)).toEqual(['hub-garden-crl', 'hub-garden-server-ca'])
    expect(await names(DEPLOYMENTS)).toEqual(['hub-garden'])
    expect(await names(SERVICES)).toEqual(['hub-garden'])

    const hub = await space.get<Conditioned>(HUBS, 'garden')
    const uid = hub.metadata.uid!
    const access = await space.get<Secret>(SECRETS, 'hub-garden-redis')
    expect(textOf(access, 'username')).toBe(hubAclUser(uid))
    const client = redis.client({ username: hubAclUser(uid), password: textOf(access, 'password') })
    const keys = stateKeys(uid)
    expect(decodeHub((await client.get(keys.hub)) ?? '')).toMatchObject({ uid, name: 'garden' })
    const devices = await client.hgetall(keys.devices)
    const records = Object.values(devices).map((record) => decodeDevice(record)!)
    expect(records.map(({ name }) => name).sort()).toEqual(['dashboard', 'pump', 'thermometer'])
    for (const record of records) {
      expect(record.certificate.source).toBe('Managed')
      expect(record.certificate.fingerprints).toHaveLength(1)
    }
  })

  it.skipIf(auditLog === '')(
    'costs no write when all is done again, or the operator starts again',
    async () => {
      const { space } = stage
      const first = stage.start()
      await applyQuickstart(space)
      await quickstartIsReady()
      const audit = new AuditLog(auditLog)
      await isQuiet(audit)
      const runs = await runsOf(first)
      first.reconcileAll()
      await vi.waitFor(async () => expect(await runsOf(first)).toBeGreaterThanOrEqual(runs + 7), waiting)
      expect(await isQuiet(audit)).toEqual([])
      await first.stop()
      const second = stage.start()
      await vi.waitFor(async () => expect(await runsOf(second)).toBeGreaterThanOrEqual(7), waiting)
      expect(await isQuiet(audit)).toEqual([])
    },
  )
})

const waiting = { timeout: 60_000, interval: 50 }

async function quickstartIsReady(): Promise<void> {
  const { space } = stage
  await untilReady(space, HUBS, ['garden'])
  await untilReady(space, DEVICES, ['thermometer', 'dashboard', 'pump'])
  await untilReady(space, NETWORKS, ['web', 'sigfox'])
  // Counts are written a while after what they count.
  await vi.waitFor(
    async () => expect((await space.get<Hub>(HUBS, 'garden')).status).toMatchObject({ devices: 3 }),
    waiting,
  )
}

const runsOf = async ({ registry }: TestOperator): Promise<number> => {
  const { values } = await registry.getSingleMetric('controller_runtime_reconcile_total')!.get()
  return values.reduce((sum, { value }) => sum + value, 0)
}

/** What the operator wrote since the last look: once nothing more came for a while. */
async function isQuiet(audit: AuditLog): Promise<string[]> {
  const found: string[] = []
  let silentSince = performance.now()
  while (performance.now() - silentSince < 700) {
    const writes = (await audit.next())
      .filter(isWrite)
      .filter(
        ({ namespace, resource }) =>
          namespace === stage.space.name && !['leases', 'events'].includes(resource),
      )
    if (writes.length > 0) silentSince = performance.now()
    found.push(...writes.map(({ verb, uri }) => `${verb} ${uri}`))
    await sleep(50)
  }
  return found
}
