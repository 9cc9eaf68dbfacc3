import { expect, test } from 'vitest'
import { createMemoryStore } from './memory-store.ts'
import { routeStreamContract } from './route-stream.contract.ts'
import { storeContract } from './store.contract.ts'
import type { AcceptRequest } from './store.ts'

async function makeStore() {
  const store = createMemoryStore()
  const reopen = async () => {
    await store.close()
    return store
  }
  return { store, reopen, cleanup: () => store.close() }
}

storeContract('the memory store', makeStore, { durable: false })
routeStreamContract('the memory store', makeStore, { durable: false })

const LIMITS = { queueMessages: 10, queueBytes: 10_000, queueOverflow: 'DropOldest' } as const

async function storeWithSession() {
  const store = createMemoryStore()
  await store.open(LIMITS)
  await store.putSession({ key: 's', deviceId: 'd', clientId: 'c', subscriptions: [] })
  return store
}

function request(payload: Buffer): AcceptRequest {
  const message = { topic: 't', payload, qos: 1 as const, retain: false }
  return { message, targets: [{ sessionKey: 's', qos: 1, retain: false }], retained: 'Set' }
}

test('The memory store answers accept synchronously', async () => {
  const store = await storeWithSession()
  expect(store.accept(request(Buffer.from('m')))).toEqual({ duplicate: false, seqs: [1], dropped: [] })
})

test.each([0, 1, 10, 1000, 1025, 30_000])(
  'The memory store does not keep the read buffer of a payload of %i bytes alive',
  async (length) => {
    const store = await storeWithSession()
    const payload = Buffer.alloc(65_536, 'abc').subarray(100, 100 + length)
    store.setLimits({ ...LIMITS, queueBytes: 100_000 })
    store.accept(request(payload))
    const [entry] = await store.readQueue('s', 0, 1, 0)
    expect(entry?.message.payload).toEqual(payload)
    expect(entry?.message.payload.buffer.byteLength).toBeLessThanOrEqual(Math.max(4096, length))
  },
)

test('The memory store shares a payload that owns its buffer instead of copying it', async () => {
  const store = await storeWithSession()
  const payload = Buffer.alloc(20_000)
  store.setLimits({ ...LIMITS, queueBytes: 100_000 })
  store.accept(request(payload))
  const [entry] = await store.readQueue('s', 0, 1, 0)
  expect(entry?.message.payload).toBe(payload)
})
