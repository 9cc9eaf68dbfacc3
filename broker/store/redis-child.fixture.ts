/**
 * The other process of the crash tests of the Redis store: `node redis-child.fixture.ts <url> <hub uid> <first id>`.
 * It accepts messages for two sessions until it is killed, several at a time, each under a packet id of its own,
 * and writes the number of each to descriptor 1 without a buffer as soon as it is acknowledged.
 */
import { writeSync } from 'node:fs'
import { redisSettings } from '../../contract/redis-access.ts'
import { RedisStore } from './redis-store.ts'

const KEYS = ['s/0', 's/1']
const [url = '', hubUid = '', first = '1'] = process.argv.slice(2)
const store = new RedisStore({ hubUid, settings: redisSettings({ url }) })
await store.open({ queueMessages: 1e6, queueBytes: 1e9, queueOverflow: 'DropNewest' })
for (const key of KEYS) await store.putSession({ key, deviceId: 'd', clientId: key, subscriptions: [] })

let next = Number(first)
const loop = async () => {
  for (;;) {
    const id = next
    next += 1
    const payload = Buffer.alloc(300)
    payload.write(String(id))
    await store.accept({
      message: { topic: 't', payload, qos: 2, retain: false },
      targets: KEYS.map((sessionKey) => ({ sessionKey, qos: 1, retain: false })),
      incoming: { sessionKey: 's/0', packetId: id },
    })
    writeSync(1, `${id}\n`)
    // Leaves the turn, so that batches differ in size.
    if (id % 7 === 0) await new Promise(setImmediate)
  }
}
await Promise.all(Array.from({ length: 8 }, loop))
