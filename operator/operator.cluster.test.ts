import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { decodeDevice, decodeHub } from '../contract/hub-state-codec.ts'
import { hubAclUser } from '../contract/redis-acl.ts'
import { stateKeys } from '../contract/redis-keys.ts'
import { TestNamespace } from '../test-support/cluster.ts'
import type { RedisServer } from '../test-support/redis.ts'
import {
  CONFIG_MAPS,
  DEPLOYMENTS,
  DEVICES,
  HUBS,
  NETWORKS,
  SECRETS,
  SERVICES,
  type Secret,
} from './api/resources.ts'
import {
  applyQuickstart,
  type Conditioned,
  installKinds,
  offerRedis,
  simulateDeployments,
  startRedis,
  startTestOperator,
  type TestOperator,
  untilReady,
} from './operator.fixture.ts'

let space: TestNamespace
let redis: RedisServer
const stops: Array<() => Promise<unknown>> = []

beforeEach(async () => {
  space = await TestNamespace.create('operator')
  await installKinds(space.client)
  redis = await startRedis()
  await offerRedis(space, redis)
  const { stop } = simulateDeployments(space)
  stops.push(
    stop,
    () => redis.stop(),
    () => space.remove(),
  )
})

afterEach(async () => {
  for (const stop of stops.splice(0)) await stop()
})

function start(): TestOperator {
  const operator = startTestOperator(space)
  stops.unshift(() => operator.stop())
  return operator
}

const text = (secret: Secret, key: string) => Buffer.from(secret.data?.[key] ?? '', 'base64').toString()

describe('the quickstart on a cluster', () => {
  it('becomes Ready, with the objects it asks for and the state in Redis', async () => {
    start()
    await applyQuickstart(space)
    await untilReady(space, HUBS, ['garden'])
    await untilReady(space, DEVICES, ['thermometer', 'dashboard', 'pump'])
    await untilReady(space, NETWORKS, ['web', 'sigfox'])

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
    expect(await names(CONFIG_MAPS)).toEqual(['hub-garden-server-ca'])
    expect(await names(DEPLOYMENTS)).toEqual(['hub-garden'])
    expect(await names(SERVICES)).toEqual(['hub-garden'])

    const hub = await space.get<Conditioned>(HUBS, 'garden')
    const uid = hub.metadata.uid!
    const access = await space.get<Secret>(SECRETS, 'hub-garden-redis')
    expect(text(access, 'username')).toBe(hubAclUser(uid))
    const client = redis.client({ username: hubAclUser(uid), password: text(access, 'password') })
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
})
