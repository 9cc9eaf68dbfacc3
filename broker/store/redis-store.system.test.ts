import { randomUUID } from 'node:crypto'
import type { Redis } from 'ioredis'
import { afterAll, beforeAll } from 'vitest'
import { redisSettings } from '../../contract/redis-access.ts'
import { hubAclUser } from '../../contract/redis-acl.ts'
import { HubAclWriter } from '../../operator/redis/hub-acl-writer.ts'
import { type RedisServer, startRedis } from '../../test-support/redis.ts'
import { RedisStore } from './redis-store.ts'
import { routeStreamContract } from './route-stream.contract.ts'
import { storeContract } from './store.contract.ts'

let server: RedisServer
let admin: Redis

beforeAll(async () => {
  server = await startRedis()
  admin = server.client()
})
afterAll(() => server.stop())

async function makeStore() {
  const hubUid = randomUUID()
  // With the rights that a hub has, no more.
  await new HubAclWriter(admin).ensure(hubUid, 'sesame')
  const settings = redisSettings({ url: server.url, username: hubAclUser(hubUid), password: 'sesame' })
  let store = new RedisStore({ hubUid, settings })
  return {
    store,
    reopen: async () => {
      await store.close()
      store = new RedisStore({ hubUid, settings })
      return store
    },
    cleanup: async () => {
      await store.close()
      await admin.acl('DELUSER', hubAclUser(hubUid))
    },
  }
}

storeContract('the Redis store', makeStore, { durable: true })
routeStreamContract('the Redis store', makeStore, { durable: true })
