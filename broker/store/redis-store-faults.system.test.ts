import { randomUUID } from 'node:crypto'
import { inspect } from 'node:util'
import type { Redis } from 'ioredis'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { redisSettings } from '../../contract/redis-access.ts'
import { hubKeyPattern, storePrefix } from '../../contract/redis-keys.ts'
import { Random } from '../../test-support/random.ts'
import { type RedisServer, type RedisServerOptions, startRedis } from '../../test-support/redis.ts'
import { TcpProxy } from '../../test-support/tcp-proxy.ts'
import { waitUntil } from '../../test-support/wait.ts'
import { RedisStore, type RedisStoreOptions } from './redis-store.ts'
import { DISTANT, message, session, texts, to } from './store.fixture.ts'
import type { Store } from './store.ts'
import { StoreError } from './store-error.ts'

const LIMITS = { queueMessages: 1e6, queueBytes: 1e9, queueOverflow: 'DropNewest' } as const

describe('the Redis store', () => {
  let server: RedisServer
  let redis: Redis
  let proxy: TcpProxy
  let uid: string
  const opened: Store[] = []

  beforeAll(async () => {
    // Else a replica has to wait for others to come first.
    server = await startRedis({ args: ['--repl-diskless-sync-delay', '0'] })
    redis = server.client()
  })
  afterAll(() => server.stop())
  beforeEach(async () => {
    uid = randomUUID()
    proxy = await new TcpProxy(server.port).start()
  })
  afterEach(async () => {
    await Promise.all(opened.splice(0).map((store) => store.close()))
    await proxy.stop()
  })

  function make(options: Partial<RedisStoreOptions> = {}): RedisStore {
    const settings = redisSettings({ url: `redis://127.0.0.1:${proxy.port}` })
    const store = new RedisStore({
      hubUid: uid,
      settings,
      timeoutMs: 10_000,
      closeTimeoutMs: 300,
      ...options,
    })
    opened.push(store)
    return store
  }
  async function openStore(options: Partial<RedisStoreOptions> = {}): Promise<RedisStore> {
    const store = make(options)
    await store.open(LIMITS)
    for (const key of ['s/1', 's/2']) await store.putSession(session(key))
    return store
  }
  const send = async (store: Store, text: string, ...keys: string[]) =>
    store.accept({ message: message(text), targets: keys.map((key) => to(key)) })

  describe('that another broker has taken over', () => {
    test('refuses every call and changes nothing', async () => {
      let fenced = 0
      const onFenced = () => {
        fenced += 1
      }
      const old = await openStore({ onFenced })
      await send(old, 'before', 's/1')
      const next = make()
      const state = await next.open(LIMITS)
      expect(state.sessions.map(({ key }) => key).toSorted()).toEqual(['s/1', 's/2'])
      // In one turn, so that none profits from what another has found out.
      const calls = [
        send(old, 'after', 's/1'),
        old.putSession(session('s/3')),
        old.deleteSession('s/1'),
        old.readQueue('s/1', 0, 10, 0),
        old.release('s/1', 1),
        old.putWill({ sessionKey: 's/1', deviceId: 'd', message: message('bye') }),
      ]
      for (const result of await Promise.allSettled(calls)) {
        expect(result).toMatchObject({
          status: 'rejected',
          reason: { name: 'StoreError', code: 'STORE_CLOSED' },
        })
      }
      old.acknowledge('s/1', 1)
      await expect(send(old, 'later', 's/1')).rejects.toMatchObject({ code: 'STORE_CLOSED' })
      expect(fenced).toBe(1)
      expect(old.healthy()).toBe(false)
      expect(await texts(next, 's/1')).toEqual(['before'])
      expect(await redis.hlen(`${storePrefix(uid)}sessions`)).toBe(2)
    })

    test('writes nothing more from the very moment, whatever both do at once', async () => {
      for (let round = 0; round < 20; round += 1) {
        uid = randomUUID()
        const old = await openStore()
        const writing = (async () => {
          for (let i = 0; i < 10_000; i += 1) await send(old, `${i}`, 's/1')
        })().catch((error: unknown) => error)
        const next = make()
        await next.open(LIMITS)
        const seen = (await next.readQueue('s/1', 0, 100_000, 0)).length
        expect(await writing).toMatchObject({ code: 'STORE_CLOSED' })
        expect(await next.readQueue('s/1', 0, 100_000, 0)).toHaveLength(seen)
        await Promise.all(opened.splice(0).map((store) => store.close()))
      }
    })

    test('notices it while it is idle', async () => {
      let fenced = false
      await openStore({
        onFenced: () => {
          fenced = true
        },
      })
      await make().open(LIMITS)
      await waitUntil('it is noticed', () => fenced)
    })

    test('stays closed when Redis has lost everything', async () => {
      await using own = await startRedis()
      const store = make({ settings: redisSettings({ url: own.url }) })
      await store.open(LIMITS)
      await own.client().flushall()
      await expect(store.putSession(session('s/1'))).rejects.toMatchObject({ code: 'STORE_CLOSED' })
    })
  })

  describe('with a connection that breaks', () => {
    test('runs every call once and in order, at whatever moment it breaks', {
      timeout: 120_000,
    }, async () => {
      const store = await openStore()
      const random = new Random(20_260_903)
      const seqs: unknown[] = []
      const cutting = new AbortController()
      const cuts = (async () => {
        while (!cutting.signal.aborted) {
          await new Promise((resolve) => setTimeout(resolve, random.below(40)))
          proxy.cut()
          await waitUntil('the store is back', () => store.healthy())
        }
      })()
      for (let sent = 0; proxy.accepted < 40; ) {
        const burst = Array.from({ length: 1 + random.below(100) }, (_, i) => `${sent + i}`)
        sent += burst.length
        const results = await Promise.all(burst.map((text) => send(store, text, 's/1', 's/2')))
        seqs.push(...results.flatMap((result) => result.seqs))
      }
      cutting.abort()
      await cuts
      expect(seqs).toEqual(seqs.map((_, i) => Math.floor(i / 2) + 1))
      for (const key of ['s/1', 's/2']) {
        const entries = await store.readQueue(key, 0, 100_000, 0)
        expect(entries.map((entry) => entry.message.payload.toString())).toEqual(
          seqs.slice(seqs.length / 2).map((_, i) => `${i}`),
        )
      }
    })

    test('holds what is accepted back until Redis is there again', async () => {
      const health: unknown[] = []
      const store = await openStore({ onHealth: (healthy, fault) => health.push(fault ?? healthy) })
      proxy.refuse()
      await waitUntil('the loss is noticed', () => !store.healthy())
      let answered = false
      const accepted = send(store, 'late', 's/1').then((result) => {
        answered = true
        return result
      })
      const read = store.readQueue('s/1', 0, 10, 0)
      await waitUntil('more attempts were made', () => proxy.accepted > 4)
      expect(answered).toBe(false)
      proxy.heal()
      expect(await accepted).toEqual({ duplicate: false, seqs: [1], dropped: [] })
      expect(await read).toHaveLength(1)
      expect(health).toEqual([true, 'CLOSED', true])
    })

    test('stores nothing after a loss before it is let', async () => {
      const gate = Promise.withResolvers<void>()
      let asked = 0
      const beforeResume = () => {
        asked += 1
        return gate.promise
      }
      const store = await openStore({ beforeResume })
      proxy.cut()
      const accepted = send(store, 'late', 's/1')
      await waitUntil('leave is asked for', () => asked === 1)
      // A second loss while it waits must not let anything through either.
      proxy.cut()
      await waitUntil('leave is asked for again', () => asked === 2)
      expect(await redis.xlen(`${storePrefix(uid)}queue:s/1`)).toBe(0)
      gate.resolve()
      expect((await accepted).seqs).toEqual([1])
    })

    test('gives a dead network path up', async () => {
      const store = await openStore({ timeoutMs: 500 })
      proxy.silence()
      const accepted = send(store, 'late', 's/1')
      await waitUntil('the silence is noticed', () => !store.healthy())
      proxy.heal()
      expect((await accepted).seqs).toEqual([1])
    })

    test('notices a dead network path while it is idle', async () => {
      const store = await openStore({ timeoutMs: 500 })
      proxy.silence()
      await waitUntil('the silence is noticed', () => !store.healthy())
    })

    test('lets only so much wait', async () => {
      const store = await openStore({ maxWaiting: 3, maxWaitingBytes: 1000 })
      proxy.refuse()
      await waitUntil('the loss is noticed', () => !store.healthy())
      const waiting = Array.from({ length: 3 }, (_, i) => send(store, `${i}`, 's/1'))
      const refused = await send(store, 'more', 's/1').catch((error: unknown) => error)
      expect(refused).toBeInstanceOf(StoreError)
      expect(refused).toMatchObject({ code: 'STORE_UNAVAILABLE' })
      proxy.heal()
      expect((await Promise.all(waiting)).map(({ seqs }) => seqs)).toEqual([[1], [2], [3]])
    })

    test('counts the bytes that wait', async () => {
      const store = await openStore({ maxWaitingBytes: 1000 })
      proxy.refuse()
      await waitUntil('the loss is noticed', () => !store.healthy())
      const waiting = [send(store, 'x'.repeat(900), 's/1'), send(store, 'y'.repeat(90), 's/1')]
      await expect(send(store, 'z'.repeat(11), 's/1')).rejects.toMatchObject({ code: 'STORE_UNAVAILABLE' })
      proxy.heal()
      expect(await Promise.all(waiting)).toHaveLength(2)
    })

    test('does not wait for Redis for ever when it is closed', async () => {
      const store = await openStore()
      proxy.refuse()
      await waitUntil('the loss is noticed', () => !store.healthy())
      const accepted = send(store, 'never', 's/1')
      const before = performance.now()
      await Promise.all([store.close(), expect(accepted).rejects.toMatchObject({ code: 'STORE_CLOSED' })])
      expect(performance.now() - before).toBeLessThan(4_500)
      await waitUntil('no connection is left', () => proxy.open === 0)
    })
  })

  describe('opening', () => {
    test('gives up after a while without Redis', async () => {
      proxy.refuse()
      const refused = make({ openTimeoutMs: 200 }).open(LIMITS)
      await expect(refused).rejects.toMatchObject({ name: 'StoreError', code: 'STORE_UNAVAILABLE' })
    })

    test('goes on when the connection breaks in the middle', async () => {
      const first = await openStore()
      await Promise.all(Array.from({ length: 3000 }, (_, i) => first.putSession(session(`d/${i}`))))
      await first.close()
      const store = make()
      const opening = store.open(LIMITS)
      for (let i = 0; i < 5; i += 1) {
        await new Promise((resolve) => setTimeout(resolve, 3))
        proxy.cut()
      }
      expect((await opening).sessions).toHaveLength(3002)
      await store.putSession(session('d/new'))
    })

    test('leaves the store of a later version alone, at once', async () => {
      await (await openStore()).close()
      await redis.set(`${storePrefix(uid)}version`, '2')
      const owner = await redis.get(`${storePrefix(uid)}owner`)
      await expect(make().open(LIMITS)).rejects.toMatchObject({ code: 'STORE_TOO_NEW' })
      expect(await redis.get(`${storePrefix(uid)}owner`)).toBe(owner)
    })

    test.each<[string, RedisServerOptions, string[]]>([
      ['one that appends to a file', { fsync: 'always' }, []],
      ['one that keeps all in memory', {}, ['NO_APPEND_ONLY_FILE']],
      ['one that bounds its memory and refuses', { fsync: 'always', args: ['--maxmemory', '64mb'] }, []],
      [
        'one that throws keys away',
        { fsync: 'always', args: ['--maxmemory', '64mb', '--maxmemory-policy', 'allkeys-lru'] },
        ['EVICTION'],
      ],
    ])('tells what %s may lose', async (_, options, expected) => {
      await using other = await startRedis(options)
      const told: string[] = []
      const onDanger = (dangers: readonly string[]) => void told.push(...dangers)
      await make({ settings: redisSettings({ url: other.url }), onDanger }).open(LIMITS)
      expect(told).toEqual(expected)
    })

    test('twice is refused, and so is every call before', async () => {
      const store = make()
      await expect(send(store, 'm', 's/1')).rejects.toMatchObject({ code: 'STORE_CLOSED' })
      await store.open(LIMITS)
      await expect(store.open(LIMITS)).rejects.toMatchObject({ code: 'STORE_IN_USE' })
    })

    test('with a wrong password says so without showing it', async () => {
      await using guarded = await startRedis({ password: 'sesame-right' })
      const settings = redisSettings({ url: guarded.url, password: 'sesame-wrong' })
      const said: unknown[] = []
      const store = make({ settings, openTimeoutMs: 1_000, onHealth: (_, fault) => said.push(fault) })
      const error = await store.open(LIMITS).catch((it: unknown) => it)
      expect(error).toMatchObject({ code: 'STORE_UNAVAILABLE' })
      expect(String(error)).toContain('WRONGPASS')
      expect(inspect([error, said], { depth: 20, showHidden: true })).not.toContain('sesame')
    })
  })

  describe('in Redis', () => {
    const keys = async () =>
      (await redis.keys(hubKeyPattern(uid))).map((key) => key.slice(storePrefix(uid).length))

    test('leaves nothing of deleted sessions, however long their queues and whoever shared them', async () => {
      const store = await openStore()
      for (let round = 0; round < 3; round += 1) {
        await Promise.all(Array.from({ length: 1000 }, (_, i) => send(store, `${i}`, 's/1', 's/2')))
        await Promise.all(Array.from({ length: 30 }, (_, i) => send(store, `own ${i}`, 's/1')))
        await store.release('s/1', 3)
        store.acknowledge('s/2', 5)
        await store.accept({
          message: message('m'),
          targets: [],
          incoming: { sessionKey: 's/1', packetId: 3 },
        })
        await store.putWill({ sessionKey: 's/1', deviceId: 'd', message: message('bye') })
        await store.deleteSession('s/1')
        await store.putSession(session('s/1'))
      }
      await Promise.all(['s/1', 's/2'].map((key) => store.deleteSession(key)))
      await waitUntil(
        'the queues are swept',
        async () => !(await keys()).some((key) => key.startsWith('trash')),
      )
      expect((await keys()).toSorted()).toEqual(['last', 'next-body', 'owner', 'version'])
    })

    test('sweeps what an earlier life had not swept yet', async () => {
      const store = await openStore()
      await Promise.all(Array.from({ length: 2000 }, (_, i) => send(store, `${i}`, 's/1', 's/2')))
      const deleted = Promise.all([store.deleteSession('s/1'), store.deleteSession('s/2')])
      await deleted
      await store.close()
      const next = make()
      await next.open(LIMITS)
      await waitUntil(
        'the queues are swept',
        async () => !(await keys()).some((key) => key.startsWith('trash')),
      )
      expect(await redis.exists(`${storePrefix(uid)}bodies`)).toBe(0)
    })

    test('holds a message once for all sessions that wait for it', async () => {
      const store = await openStore()
      await send(store, 'x'.repeat(100_000), 's/1', 's/2')
      expect(await redis.hlen(`${storePrefix(uid)}bodies`)).toBe(1)
      expect(await redis.memory('USAGE', `${storePrefix(uid)}queue:s/1`)).toBeLessThan(10_000)
    })

    test('reads a long queue and large payloads in pages', async () => {
      const store = await openStore()
      const large = 'x'.repeat(3 * 1024 * 1024)
      await Promise.all(Array.from({ length: 4 }, (_, i) => send(store, `${i}${large}`, 's/2')))
      await Promise.all(Array.from({ length: 3000 }, (_, i) => send(store, `${i + 1}`, 's/1')))
      for (let seq = 2; seq < 3000; seq += 7) await store.release('s/1', seq)
      const entries = await store.readQueue('s/1', 0, 100_000, 0)
      expect(entries.map(({ seq }) => seq)).toEqual(entries.map((_, i) => i + 1))
      for (const { seq, released, message: found } of entries) {
        expect(released).toBe(seq % 7 === 2 && seq < 3000)
        if (!released) expect(found.payload.toString()).toBe(`${seq}`)
      }
      expect((await texts(store, 's/2')).map((text) => [text[0], text.length])).toEqual(
        [0, 1, 2, 3].map((i) => [`${i}`, large.length + 1]),
      )
    })

    test('goes on when the scripts were forgotten', async () => {
      const store = await openStore()
      for (let i = 1; i <= 5; i += 1) {
        await redis.script('FLUSH')
        expect((await send(store, 'm', 's/1')).seqs).toEqual([i])
        await redis.script('FLUSH')
        expect(await store.readQueue('s/1', 0, 10, 0)).toHaveLength(i)
      }
    })

    test('takes a message for thousands of sessions in one step', async () => {
      const store = await openStore()
      const many = Array.from({ length: 20_000 }, (_, i) => `d/${i}`)
      await Promise.all(many.map((key) => store.putSession(session(key))))
      const { seqs } = await send(store, 'all', ...many)
      expect(seqs).toEqual(many.map(() => 1))
      expect(await texts(store, 'd/19999')).toEqual(['all'])
    })

    test('reads thousands of sessions and retained messages back', async () => {
      const store = await openStore()
      const count = 2000
      await Promise.all(
        Array.from({ length: count }, (_, i) => [
          store.putSession(session(`d/${i}`, { expiresAt: i % 2 === 0 ? 1 : DISTANT })),
          store.accept({ message: message(`${i}`, { topic: `t/${i}` }), targets: [], retained: 'Set' }),
        ]).flat(),
      )
      await store.close()
      const state = await make().open(LIMITS)
      expect(state.sessions).toHaveLength(2 + count / 2)
      expect(state.retained.map(({ topic, payload }) => `${topic}=${payload}`).toSorted()).toEqual(
        Array.from({ length: count }, (_, i) => `t/${i}=${i}`).toSorted(),
      )
    })
  })

  test('refuses new messages where Redis has no memory left, while acknowledgements go through', async () => {
    await using small = await startRedis({ args: ['--maxmemory', '8mb', '--maxmemory-policy', 'noeviction'] })
    const store = await openStore({ settings: redisSettings({ url: small.url }) })
    const payload = 'x'.repeat(50_000)
    const results = await Promise.allSettled(Array.from({ length: 300 }, () => send(store, payload, 's/1')))
    const stored = results.filter(({ status }) => status === 'fulfilled').length
    const refused = results.filter((result) => result.status === 'rejected')
    expect(stored).toBeGreaterThan(10)
    expect(refused.length).toBeGreaterThan(10)
    for (const { reason } of refused) expect(reason).toMatchObject({ code: 'STORE_FULL' })

    await small.client().config('SET', 'maxmemory', '1')
    // In one batch: what gives memory back must not fail with what needs some.
    const more = send(store, payload, 's/1')
    for (let seq = 2; seq <= stored; seq += 1) store.acknowledge('s/1', seq)
    const released = store.release('s/1', 1)
    const put = store.putSession(session('s/3'))
    await expect(more).rejects.toMatchObject({ code: 'STORE_FULL' })
    await expect(put).rejects.toMatchObject({ code: 'STORE_FULL' })
    await released
    expect(await store.readQueue('s/1', 0, 1000, 0)).toMatchObject([{ seq: 1, released: true }])
    await store.deleteSession('s/2')

    await small.client().config('SET', 'maxmemory', '8mb')
    expect((await send(store, payload, 's/1', 's/2')).seqs).toEqual([stored + 1, null])
  })

  test('counts a message as stored only once enough replicas have it', async () => {
    await using replica = await startRedis({ args: ['--replicaof', '127.0.0.1', `${server.port}`] })
    await waitUntil('the replica is in step', async () => (await redis.wait(1, 100)) === 1)
    const store = await openStore({ replicas: 1, timeoutMs: 2_000 })
    await send(store, 'one', 's/1')
    expect(await replica.client().xlen(`${storePrefix(uid)}queue:s/1`)).toBe(1)
    await replica.kill()
    let answered = false
    const accepted = send(store, 'two', 's/1').then((result) => {
      answered = true
      return result
    })
    await waitUntil(
      'it is on this side',
      async () => (await redis.xlen(`${storePrefix(uid)}queue:s/1`)) === 2,
    )
    await new Promise((resolve) => setTimeout(resolve, 700))
    expect(answered).toBe(false)
    // The batch goes over another connection, which has written nothing itself.
    proxy.cut()
    await waitUntil('the store is back', () => store.healthy())
    await replica.start()
    expect((await accepted).seqs).toEqual([2])
    expect(await replica.client().xlen(`${storePrefix(uid)}queue:s/1`)).toBe(2)
  })
})
