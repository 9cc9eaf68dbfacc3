import { randomUUID } from 'node:crypto'
import { afterAll, beforeAll } from 'vitest'
import { redisSettings } from '../../contract/redis-access.ts'
import { type RedisServer, startRedis } from '../../test-support/redis.ts'
import { RedisStore } from './redis-store.ts'
import { storeContract } from './store.contract.ts'

let server: RedisServer

beforeAll(async () => {
  server = await startRedis()
})
afterAll(() => server.stop())

storeContract(
  'the Redis store',
  async () => {
    const settings = redisSettings({ url: server.url })
    const hubUid = randomUUID()
    let store = new RedisStore({ hubUid, settings })
    return {
      store,
      reopen: async () => {
        await store.close()
        store = new RedisStore({ hubUid, settings })
        return store
      },
      cleanup: () => store.close(),
    }
  },
  { durable: true },
)
