import { randomUUID } from 'node:crypto'
import type { Redis } from 'ioredis'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type DeviceDigest, DIGEST_TTL_SECONDS, decodeDigest } from '../../contract/activity-digest.ts'
import { redisSettings } from '../../contract/redis-access.ts'
import { hubAclUser } from '../../contract/redis-acl.ts'
import { deviceDigestKey } from '../../contract/redis-keys.ts'
import { HubAclWriter } from '../../operator/redis/hub-acl-writer.ts'
import { readDeviceDigests } from '../../operator/redis/read-device-digests.ts'
import { type RedisServer, startRedis } from '../../test-support/redis.ts'
import { closeRedis, openRedis } from '../redis/open-redis.ts'
import { ActivityReport } from './activity-report.ts'

let server: RedisServer
let admin: Redis

beforeAll(async () => {
  server = await startRedis()
  admin = server.client()
})
afterAll(() => server.stop())

/** A report by the user of a hub, and the devices it tells of. */
async function reporting() {
  const hubUid = randomUUID()
  await new HubAclWriter(admin).ensure(hubUid, 'sesame')
  const settings = redisSettings({ url: server.url, username: hubAclUser(hubUid), password: 'sesame' })
  const devices = new Map<string, DeviceDigest>()
  const report = new ActivityReport({
    hubUid,
    open: () => openRedis({ settings, name: 'test', timeoutMs: 20_000 }),
    close: closeRedis,
    activity: () => Array.from(devices, ([deviceId, digest]) => ({ deviceId, ...digest })),
  })
  return { hubUid, devices, report }
}

test('The operator reads what the broker has reported, changes and departures included', async () => {
  const { hubUid, devices, report } = await reporting()
  for (let i = 0; i < 2500; i += 1)
    devices.set(`d${i}`, { connections: i % 3, lastActivityAt: 1_790_000_000_000 + i })
  await report.send()
  expect(await readDeviceDigests(admin, hubUid)).toEqual(devices)
  devices.set('d7', { connections: 9, lastActivityAt: 1 })
  devices.delete('d8')
  await report.send()
  expect(await readDeviceDigests(admin, hubUid)).toEqual(devices)
})

test('A report writes what has changed and nothing else', async () => {
  const { hubUid, devices, report } = await reporting()
  for (const id of ['a', 'b']) devices.set(id, { connections: 1, lastActivityAt: 1 })
  await report.send()
  await admin.hset(deviceDigestKey(hubUid), 'a', 'untouched')
  devices.set('b', { connections: 2, lastActivityAt: 2 })
  await report.send()
  expect(await admin.hgetall(deviceDigestKey(hubUid))).toEqual({ a: 'untouched', b: '2 2' })
})

test('A digest expires when nobody renews it, and is told in full when it had expired', async () => {
  const { hubUid, devices, report } = await reporting()
  devices.set('a', { connections: 1, lastActivityAt: 1 })
  await report.send()
  const key = deviceDigestKey(hubUid)
  await admin.expire(key, 1)
  await report.send()
  expect(await admin.ttl(key)).toBeGreaterThan(DIGEST_TTL_SECONDS - 5)
  await admin.del(key)
  devices.set('b', { connections: 1, lastActivityAt: 1 })
  await report.send()
  expect(await readDeviceDigests(admin, hubUid)).toEqual(devices)
})

test('A broker that starts anew forgets what the one before had told', async () => {
  const { hubUid, devices, report } = await reporting()
  await admin.hset(deviceDigestKey(hubUid), 'old', '1 1')
  devices.set('a', { connections: 1, lastActivityAt: 1 })
  await report.send()
  expect(await readDeviceDigests(admin, hubUid)).toEqual(devices)
})

test.each(['', '1', '-1 2', '1 2 3', 'x y', '1 99999999999999999'])('"%s" is no digest', (text) => {
  expect(decodeDigest(text)).toBeUndefined()
})
