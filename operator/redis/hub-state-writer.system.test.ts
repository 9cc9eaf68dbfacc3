import { inspect } from 'node:util'
import type { Redis } from 'ioredis'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { HUB_STATE_VERSION, type HubState } from '../../contract/hub-state.ts'
import { redisSettings } from '../../contract/redis-access.ts'
import { hubKeyPattern, stateKeys, storePrefix } from '../../contract/redis-keys.ts'
import { device, hub, hubState, network, route } from '../../test-support/hub-state.ts'
import { Random } from '../../test-support/random.ts'
import { type RedisServer, startRedis } from '../../test-support/redis.ts'
import { waitUntil } from '../../test-support/wait.ts'
import { HubStateError } from './hub-state-error.ts'
import { HubStateWriter } from './hub-state-writer.ts'
import { createOperatorRedis } from './operator-redis.ts'
import {
  commandCount,
  dirtyCount,
  expectedContent,
  storedChanges,
  storedContent,
} from './stored-hub.fixture.ts'

const managed = (...fingerprints: string[]) => ({ source: 'Managed' as const, fingerprints })
const lamp = device({ name: 'lamp', certificate: managed('aa', 'ab') })
const pump = device({ name: 'pump', certificate: managed('ba') })

function garden(): HubState {
  return hubState({
    hub: hub({ name: 'garden' }),
    devices: [lamp, pump],
    networks: [network({ name: 'web', token: 'secret' })],
    routes: [route({ id: 'r', name: 'archive' })],
  })
}

describe('HubStateWriter on a real Redis', () => {
  let server: RedisServer
  let redis: Redis

  beforeAll(async () => {
    server = await startRedis({ fsync: 'always' })
    redis = server.client()
  })
  afterAll(() => server.stop())

  test('writes a hub with all its indexes and tells of it in one entry', async () => {
    const state = garden()
    const { uid } = state.hub
    const result = await new HubStateWriter({ redis }).write(state)
    expect(await storedContent(redis, uid)).toEqual(expectedContent(state))
    expect(result).toMatchObject({ changes: 1, devicesWritten: 2, devicesRemoved: 0 })
    expect(await storedChanges(redis, uid)).toEqual([
      {
        revision: Number(result.revision),
        previous: 0,
        change: { hub: true, networks: true, routes: true, devices: [lamp.id, pump.id], removed: [] },
      },
    ])
    expect(await redis.get(stateKeys(uid).revision)).toBe(result.revision)
  })

  test.each(['the same writer', 'another writer'])(
    'changes nothing when %s writes the same again',
    async (who) => {
      const state = garden()
      const first = new HubStateWriter({ redis })
      const { revision } = await first.write(state)
      const before = await dirtyCount(redis)
      const writer = who === 'the same writer' ? first : new HubStateWriter({ redis })
      expect(await writer.write(structuredClone(state))).toMatchObject({ changes: 0, revision })
      expect(await dirtyCount(redis)).toBe(before)
    },
  )

  const edits: [string, (state: HubState) => HubState, object][] = [
    [
      'an added device',
      (it) => ({ ...it, devices: [...it.devices, device({ id: 'new' })] }),
      { devices: ['new'] },
    ],
    [
      'an edited device',
      (it) => ({ ...it, devices: [lamp, { ...pump, enabled: false }] }),
      { devices: [pump.id] },
    ],
    ['a removed device', (it) => ({ ...it, devices: [pump] }), { removed: [lamp.id] }],
    [
      'a device that was replaced by one of the same name and certificate',
      (it) => ({ ...it, devices: [{ ...lamp, id: 'other' }, pump] }),
      { devices: ['other'], removed: [lamp.id] },
    ],
    [
      'a renewed certificate',
      (it) => ({ ...it, devices: [{ ...lamp, certificate: managed('ab', 'ac') }, pump] }),
      { devices: [lamp.id] },
    ],
    [
      'certificates that two devices have swapped',
      (it) => ({
        ...it,
        devices: [
          { ...lamp, certificate: pump.certificate },
          { ...pump, certificate: lamp.certificate },
        ],
      }),
      { devices: [lamp.id, pump.id] },
    ],
    ['an edited hub', (it) => ({ ...it, hub: { ...it.hub, enabled: false } }), { hub: true }],
    ['a removed network', (it) => ({ ...it, networks: [] }), { networks: true }],
    [
      'an edited route',
      (it) => ({ ...it, routes: [{ ...it.routes[0]!, enabled: false }] }),
      { routes: true },
    ],
  ]
  test.each(edits)('writes %s alone, in one entry', async (_, edit, expected) => {
    const state = garden()
    const writer = new HubStateWriter({ redis })
    const first = await writer.write(state)
    const next = edit(state)
    const { revision, changes } = await writer.write(next)
    expect(await storedContent(redis, state.hub.uid)).toEqual(expectedContent(next))
    expect(changes).toBe(1)
    const nothing = { hub: false, networks: false, routes: false, devices: [], removed: [] }
    expect((await storedChanges(redis, state.hub.uid)).slice(1)).toEqual([
      {
        revision: Number(revision),
        previous: Number(first.revision),
        change: { ...nothing, ...expected },
      },
    ])
    expect(Number(revision)).toBe(Number(first.revision) + 1)
  })

  test('holds just what it was told after any sequence of states, in batches of any size', async () => {
    const random = new Random(20_260_901)
    const base = garden()
    const { uid } = base.hub
    const known = new Map<string, string>()
    let seen = 0
    for (let round = 0; round < 150; round += 1) {
      const bounds = { devices: 1 + random.below(4), bytes: random.pick([1, 1000, 1e6]) }
      // Sometimes a writer that has to read what is there.
      const writer = new HubStateWriter({ redis, batch: bounds, changesKept: 100_000 })
      for (let write = 0; write <= random.below(3); write += 1) {
        const state = { ...base, devices: randomDevices(random) }
        await writer.write(state)
        expect(await storedContent(redis, uid)).toEqual(expectedContent(state))
        // Whoever follows the stream knows of every device that differs.
        const stored = await redis.hgetall(stateKeys(uid).devices)
        for (const { change } of (await storedChanges(redis, uid)).slice(seen)) {
          seen += 1
          for (const id of change.removed) known.delete(id)
          for (const id of change.devices) if (stored[id] !== undefined) known.set(id, stored[id])
        }
        expect(Object.fromEntries(known)).toEqual(stored)
      }
    }
    const revisions = await storedChanges(redis, uid)
    expect(revisions.length).toBeGreaterThan(300)
    for (const [i, { revision, previous }] of revisions.entries()) {
      if (i > 0) expect([previous, revision]).toEqual([revisions[i - 1]!.revision, previous + 1])
    }
  })

  test('writes the hub last the first time, so that no broker takes a device for deleted that is still to come', async () => {
    const devices = Array.from({ length: 10 }, () => device())
    const state = { ...garden(), devices }
    await new HubStateWriter({ redis, batch: { devices: 3 } }).write(state)
    const first = await storedChanges(redis, state.hub.uid)
    expect(first.map(({ change }) => change.hub)).toEqual([false, false, false, true])
    // Later changes of the hub must not wait for devices.
    const next = {
      ...state,
      hub: { ...state.hub, enabled: false },
      devices: devices.map((it) => ({ ...it, enabled: false })),
    }
    await new HubStateWriter({ redis, batch: { devices: 3 } }).write(next)
    const second = (await storedChanges(redis, state.hub.uid)).slice(first.length)
    expect(second.map(({ change }) => change.hub)).toEqual([true, false, false, false])
  })

  test('keeps the change stream short', async () => {
    const state = garden()
    const writer = new HubStateWriter({ redis, changesKept: 50 })
    for (let i = 0; i < 400; i += 1) {
      await writer.write({ ...state, hub: { ...state.hub, enabled: i % 2 === 0 } })
    }
    // Redis trims whole nodes of a hundred entries.
    expect(await redis.xlen(stateKeys(state.hub.uid).changes)).toBeLessThanOrEqual(150)
  })

  test('sees what another writer has written in between', async () => {
    const state = garden()
    const [one, two] = [new HubStateWriter({ redis }), new HubStateWriter({ redis })]
    await one.write(state)
    await two.write({ ...state, devices: [pump] })
    await one.write(state)
    expect(await storedContent(redis, state.hub.uid)).toEqual(expectedContent(state))
  })

  test('leaves one whole state when two write at the same time', async () => {
    const state = garden()
    const other = { ...state, devices: [{ ...lamp, id: 'other' }], networks: [] }
    const writers = [state, other].map((it) => ({
      it,
      writer: new HubStateWriter({ redis: server.client(), batch: { devices: 1 } }),
    }))
    for (let round = 0; round < 20; round += 1) {
      const done = await Promise.allSettled(writers.map(({ it, writer }) => writer.write(it)))
      for (const result of done) {
        if (result.status === 'rejected') expect(result.reason).toMatchObject({ code: 'HUB_STATE_CONFLICT' })
      }
    }
    await writers[0]!.writer.write(state)
    expect(await storedContent(redis, state.hub.uid)).toEqual(expectedContent(state))
  })

  test('starts above every earlier revision when Redis has lost everything', async () => {
    await using lossy = await startRedis()
    const client = lossy.client()
    const state = garden()
    const writer = new HubStateWriter({ redis: client })
    await writer.write(state)
    const { revision } = await writer.write({ ...state, devices: [] })
    await client.flushall()
    const again = await writer.write(state)
    expect(Number(again.revision)).toBeGreaterThan(Number(revision))
    expect((await storedChanges(client, state.hub.uid)).map(({ previous }) => previous)).toEqual([0])
    expect(await storedContent(client, state.hub.uid)).toEqual(expectedContent(state))
  })

  test('replaces what an earlier version has written, and leaves a later one alone', async () => {
    const state = garden()
    const keys = stateKeys(state.hub.uid)
    await new HubStateWriter({ redis }).write(state)
    await redis.set(keys.version, '0')
    await redis.hset(keys.devices, 'strange', '{"of":"an earlier version"}')
    await new HubStateWriter({ redis }).write(state)
    expect(await storedContent(redis, state.hub.uid)).toEqual(expectedContent(state))

    await redis.set(keys.version, String(HUB_STATE_VERSION + 1))
    const before = await dirtyCount(redis)
    const refused = new HubStateWriter({ redis }).write({ ...state, devices: [] })
    await expect(refused).rejects.toMatchObject({ code: 'HUB_STATE_TOO_NEW' })
    expect(await dirtyCount(redis)).toBe(before)
  })

  test('refuses a state of another version and a uid that could name other keys', async () => {
    const writer = new HubStateWriter({ redis })
    const state = garden()
    const other = { ...state, version: 99 as typeof HUB_STATE_VERSION }
    await expect(writer.write(other)).rejects.toThrow('state.version: expected 1, got 99')
    await expect(writer.write({ ...state, hub: { ...state.hub, uid: '*' } })).rejects.toThrow(
      'hub.uid: expected',
    )
  })

  test('stops between batches once it may not write', async () => {
    let batches = 0
    const mayWrite = () => {
      batches += 1
      return batches <= 2
    }
    const state = { ...garden(), devices: Array.from({ length: 10 }, () => device()) }
    const writer = new HubStateWriter({ redis, batch: { devices: 2 }, mayWrite })
    await expect(writer.write(state)).rejects.toMatchObject({ code: 'NOT_LEADER' })
    expect(await redis.hlen(stateKeys(state.hub.uid).devices)).toBe(4)
    await new HubStateWriter({ redis }).write(state)
    expect(await storedContent(redis, state.hub.uid)).toEqual(expectedContent(state))
  })

  test('deletes everything of a hub, what brokers wrote included, and nothing of another', async () => {
    const [one, two] = [garden(), garden()]
    const writer = new HubStateWriter({ redis })
    await writer.write(one)
    await writer.write(two)
    const store = storePrefix(one.hub.uid)
    await redis.set(`${store}owner`, 'x')
    for (let i = 0; i < 2000; i += 1) await redis.xadd(`${store}queue:d/${i}`, '0-1', 'm', 'x')
    expect(await writer.delete(one.hub.uid)).toBe(2011)
    expect(await redis.keys(hubKeyPattern(one.hub.uid))).toEqual([])
    expect(await storedContent(redis, two.hub.uid)).toEqual(expectedContent(two))
    expect(await writer.delete(one.hub.uid)).toBe(0)
    await writer.write(one)
    expect(await storedContent(redis, one.hub.uid)).toEqual(expectedContent(one))
  })

  test('brings one changed device of 5,000 to Redis with two commands', async () => {
    const devices = Array.from({ length: 5000 }, (_, i) =>
      device({ name: `d${i}`, certificate: managed(i.toString(16).padStart(64, '0')) }),
    )
    const state = { ...garden(), devices }
    const writer = new HubStateWriter({ redis })
    const { changes } = await writer.write(state)
    expect(changes).toBeGreaterThan(9)
    const before = await commandCount(redis)
    const next = { ...state, devices: devices.with(4711, { ...devices[4711]!, enabled: false }) }
    const started = performance.now()
    expect(await writer.write(next)).toMatchObject({ changes: 1, devicesWritten: 1 })
    expect(performance.now() - started).toBeLessThan(5_000)
    // Scripts count with each command they run: reading, EVALSHA, ten inside it, and the counting itself.
    expect((await commandCount(redis)) - before).toBeLessThan(20)
    expect(await storedContent(redis, state.hub.uid)).toEqual(expectedContent(next))
  })

  test('lets no field into Redis that hub-state.ts does not name', async () => {
    const state = garden()
    const leaky = { ...lamp, password: 'sesame-1', certificate: { ...lamp.certificate, key: 'sesame-2' } }
    await new HubStateWriter({ redis }).write({ ...state, devices: [leaky] })
    const disk = server.diskContent()
    expect(disk.includes(lamp.id)).toBe(true)
    expect(disk.includes('sesame')).toBe(false)
  })
})

describe('HubStateWriter when Redis fails', () => {
  const settings = (port: number, password: string) =>
    redisSettings({ url: `redis://127.0.0.1:${port}`, password })

  test('says so in an error without credentials, and goes on when Redis is back', async () => {
    await using server = await startRedis({ fsync: 'always', password: 'sesame' })
    const faults: string[] = []
    const redis = createOperatorRedis(settings(server.port, 'sesame'), {
      random: () => 0,
      onFault: (fault) => faults.push(fault),
    })
    await redis.connect()
    const writer = new HubStateWriter({ redis })
    const state = garden()
    await writer.write(state)
    await server.kill()
    const error = await writer.write({ ...state, devices: [] }).catch((it: unknown) => it)
    expect(error).toBeInstanceOf(HubStateError)
    expect(error).toMatchObject({ code: 'REDIS_UNAVAILABLE' })
    expect(inspect(error, { depth: 10, showHidden: true })).not.toContain('sesame')
    await waitUntil('a refused connection is told', () => faults.includes('ECONNREFUSED'))
    await server.start()
    await waitUntil('the writer goes on', () => writer.write({ ...state, devices: [] }))
    expect(await storedContent(server.client(), state.hub.uid)).toEqual(
      expectedContent({ ...state, devices: [] }),
    )
    redis.disconnect()
  })

  test('tells a wrong password by its word alone', async () => {
    await using server = await startRedis({ password: 'sesame' })
    const faults: string[] = []
    const redis = createOperatorRedis(settings(server.port, 'open-up'), {
      random: () => 0,
      onFault: (fault) => faults.push(fault),
    })
    await expect(redis.connect()).rejects.toThrow()
    expect(faults[0]).toBe('WRONGPASS')
    redis.disconnect()
  })

  test('converges after kill -9 of Redis at any moment of a storm of writes', {
    timeout: 120_000,
  }, async () => {
    await using server = await startRedis({ fsync: 'always' })
    const random = new Random(20_260_902)
    const redis = createOperatorRedis(settings(server.port, ''), { random: () => 0 })
    await redis.connect()
    const base = garden()
    const writer = new HubStateWriter({ redis, batch: { devices: 3 } })
    for (let round = 0; round < 8; round += 1) {
      let state = base
      const killed = new Promise((resolve) => setTimeout(resolve, random.below(60))).then(() => server.kill())
      for (let failed = false; !failed; ) {
        state = { ...base, devices: randomDevices(random) }
        failed = await writer.write(state).then(
          () => false,
          () => true,
        )
      }
      await killed
      await server.start()
      await waitUntil('the writer goes on', () => writer.write(state))
      expect(await storedContent(server.client(), base.hub.uid)).toEqual(expectedContent(state))
    }
    redis.disconnect()
  })
})

/** Up to eight devices out of few ids, names and certificates, so that these move between devices. */
function randomDevices(random: Random): HubState['devices'] {
  const shuffled = (texts: string[]) => texts.toSorted(() => random.next() - 0.5)
  const names = shuffled(['a', 'b', 'c', '__proto__', 'constructor', 'f', 'g', 'h'])
  const prints = shuffled(['1', '2', '3', '4', '5', '6', '7', '8', '9'])
  const ids = shuffled(['i1', 'i2', 'i3', 'i4', 'i5', 'i6', 'i7', 'i8']).slice(0, random.below(9))
  return ids.map((id, i) => ({
    ...lamp,
    id,
    name: names[i]!,
    enabled: random.below(2) === 0,
    certificate: managed(...(random.below(3) === 0 ? [] : prints.splice(0, random.below(3)))),
  }))
}
