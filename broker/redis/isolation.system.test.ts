import { randomBytes } from 'node:crypto'
import type { Redis } from 'ioredis'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { DeviceRecord } from '../../contract/hub-state.ts'
import { redisSettings } from '../../contract/redis-access.ts'
import { hubAclUser } from '../../contract/redis-acl.ts'
import { hubKeyPattern, hubPrefix } from '../../contract/redis-keys.ts'
import { HubAclWriter } from '../../operator/redis/hub-acl-writer.ts'
import { HubStateWriter } from '../../operator/redis/hub-state-writer.ts'
import { device, hub, hubState } from '../../test-support/hub-state.ts'
import { type RedisServer, startRedis } from '../../test-support/redis.ts'
import { waitUntil } from '../../test-support/wait.ts'
import { RedisStateSource } from '../state/redis-state-source.ts'
import type { StateChange } from '../state/state-source.ts'
import { StateUnavailable } from '../state/state-unavailable.ts'
import { RedisStore } from '../store/redis-store.ts'
import { message, session, texts, to } from '../store/store.fixture.ts'

const LIMITS = { queueMessages: 100, queueBytes: 1e6, queueOverflow: 'DropNewest' } as const

/** Everything that one hub has on the shared Redis, reached with the user of that hub alone. */
class HubOnRedis {
  readonly uid: string
  readonly state: ReturnType<typeof hubState>
  readonly source: RedisStateSource
  readonly store: RedisStore
  readonly changes: StateChange[] = []

  constructor(uid: string, access: { url: string; password: string }) {
    this.uid = uid
    // The same names, ids and certificates as the other hub: only the prefix tells them apart.
    const lamp: DeviceRecord = device({
      id: 'lamp',
      name: 'lamp',
      certificate: { source: 'Managed', fingerprints: ['aa'] },
      templateErrors: [uid],
    })
    this.state = hubState({ hub: hub({ uid, name: 'same' }), devices: [lamp] })
    const settings = redisSettings({ ...access, username: hubAclUser(uid) })
    this.source = new RedisStateSource({ hubUid: uid, settings, startTimeoutMs: 60_000 })
    this.store = new RedisStore({ hubUid: uid, settings })
  }

  async start(): Promise<void> {
    await this.source.start((change) => this.changes.push(change))
    await this.store.open(LIMITS)
    await this.store.putSession(session('lamp/c'))
  }
}

describe('two hubs on one Redis, each with its own user', () => {
  let server: RedisServer
  let admin: Redis
  let writer: HubStateWriter
  const hubs: HubOnRedis[] = []

  beforeAll(async () => {
    server = await startRedis({ password: 'root', aclFile: true, fsync: 'always' })
    admin = server.client()
    writer = new HubStateWriter({ redis: admin })
    for (const uid of ['5f0e8a1c-1111-4aaa-8bbb-000000000001', '5f0e8a1c-1111-4aaa-8bbb-000000000002']) {
      const password = randomBytes(24).toString('base64url')
      await new HubAclWriter(admin).ensure(uid, password)
      const it = new HubOnRedis(uid, { url: server.url, password })
      hubs.push(it)
      await writer.write(it.state)
      await it.start()
    }
  })
  afterAll(async () => {
    for (const { source, store } of hubs) {
      await source.stop()
      await store.close()
    }
    await server.stop()
  })

  test('see their own devices under the same id, name and certificate', async () => {
    for (const { source, uid } of hubs) {
      expect(await source.deviceById('lamp')).toHaveProperty('templateErrors', [uid])
      expect(await source.deviceByName('lamp')).toHaveProperty('templateErrors', [uid])
      expect(await source.deviceByFingerprint('aa')).toHaveProperty('templateErrors', [uid])
    }
  })

  test('hear of their own changes only', async () => {
    const [one, two] = hubs as [HubOnRedis, HubOnRedis]
    await writer.write({ ...one.state, devices: [] })
    await waitUntil('the change is told', () => one.changes.length > 0)
    expect(await one.source.deviceById('lamp')).toBeUndefined()
    expect(two.changes).toEqual([])
    expect(await two.source.deviceById('lamp')).toBeDefined()
    await writer.write(one.state)
  })

  test('keep their own queues, retained messages and packet ids under the same names', async () => {
    for (const { store, uid } of hubs) {
      const incoming = { sessionKey: 'lamp/c', packetId: 7 }
      const result = await store.accept({
        message: message(uid),
        targets: [to('lamp/c')],
        retained: 'Set',
        incoming,
      })
      expect(result).toEqual({ duplicate: false, seqs: [1], dropped: [] })
    }
    for (const { store, uid } of hubs) expect(await texts(store, 'lamp/c')).toEqual([uid])
  })

  test('have no key that is not under the prefix of one of them', async () => {
    for (const key of await admin.keys('*')) {
      expect(hubs.some(({ uid }) => key.startsWith(hubPrefix(uid)))).toBe(true)
    }
  })

  test('go without the other: deleting one leaves every key of the other as it was', async () => {
    const [one, two] = hubs as [HubOnRedis, HubOnRedis]
    const dump = async () => {
      const keys = (await admin.keys(hubKeyPattern(two.uid))).toSorted()
      return await Promise.all(
        keys.map(async (key) => [key, (await admin.dumpBuffer(key))?.toString('base64')]),
      )
    }
    const before = await dump()
    await new HubAclWriter(admin).remove(one.uid)
    await writer.delete(one.uid)
    expect(await admin.keys(hubKeyPattern(one.uid))).toEqual([])
    await waitUntil('its broker has noticed', () => !one.source.healthy())
    expect(await dump()).toEqual(before)
    expect(two.source.healthy()).toBe(true)
    expect((await two.store.accept({ message: message('on'), targets: [to('lamp/c')] })).seqs).toEqual([2])
    await waitUntil('its user is refused', async () => {
      const refused = await one.source.deviceById('pump').catch((error: unknown) => error)
      return refused instanceof StateUnavailable && refused.fault === 'WRONGPASS'
    })
  })
})
