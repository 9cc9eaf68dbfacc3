import { inspect } from 'node:util'
import type { Redis } from 'ioredis'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { DeviceRecord, HubState } from '../../contract/hub-state.ts'
import { redisSettings } from '../../contract/redis-access.ts'
import { stateKeys } from '../../contract/redis-keys.ts'
import { HubStateWriter } from '../../operator/redis/hub-state-writer.ts'
import { device, hub, hubState, network, route } from '../../test-support/hub-state.ts'
import { type RedisServer, startRedis } from '../../test-support/redis.ts'
import { TcpProxy } from '../../test-support/tcp-proxy.ts'
import { waitUntil } from '../../test-support/wait.ts'
import { RedisStateSource, type RedisStateSourceOptions } from './redis-state-source.ts'
import type { StateChange } from './state-source.ts'
import { StateUnavailable } from './state-unavailable.ts'

const managed = (...fingerprints: string[]) => ({ source: 'Managed' as const, fingerprints })

/** A Redis with a hub in it, a proxy before it, and a source on the far side. */
class Scene {
  readonly server: RedisServer
  readonly proxy: TcpProxy
  readonly redis: Redis
  readonly writer: HubStateWriter
  state: HubState
  readonly changes: StateChange[] = []
  readonly health: (boolean | string)[] = []
  readonly live = new Set<string>()
  #source: RedisStateSource | undefined

  private constructor(server: RedisServer, proxy: TcpProxy, state: HubState) {
    this.server = server
    this.proxy = proxy
    this.redis = server.client()
    this.writer = new HubStateWriter({ redis: this.redis })
    this.state = state
  }

  static async set(password?: string): Promise<Scene> {
    const server = await startRedis(password === undefined ? {} : { password })
    const proxy = await new TcpProxy(server.port).start()
    const state = hubState({
      hub: hub({ name: 'garden' }),
      devices: [
        device({ name: 'lamp', certificate: managed('aa', 'ab') }),
        device({ name: 'pump', certificate: managed('ba') }),
      ],
      networks: [network({ name: 'web', token: 'secret' })],
      routes: [route({ id: 'r', name: 'archive' })],
    })
    return new Scene(server, proxy, state)
  }

  get source(): RedisStateSource {
    if (this.#source === undefined) throw new Error('no source yet')
    return this.#source
  }

  get lamp(): DeviceRecord {
    return this.state.devices[0]!
  }

  get pump(): DeviceRecord {
    return this.state.devices[1]!
  }

  make(options: Partial<RedisStateSourceOptions> = {}): RedisStateSource {
    this.#source = new RedisStateSource({
      hubUid: this.state.hub.uid,
      settings: redisSettings({ url: `redis://127.0.0.1:${this.proxy.port}` }),
      onHealth: (healthy, reason) => this.health.push(reason?.code ?? healthy),
      startTimeoutMs: 60_000,
      // A machine that is busy is no Redis that is silent.
      timeoutMs: 10_000,
      ...options,
    })
    return this.#source
  }

  async started(options?: Partial<RedisStateSourceOptions>): Promise<RedisStateSource> {
    await this.writer.write(this.state)
    const source = this.make(options)
    await source.start(
      (change) => this.changes.push(change),
      () => this.live,
    )
    return source
  }

  async write(edit: (state: HubState) => HubState): Promise<void> {
    this.state = edit(this.state)
    await this.writer.write(this.state)
  }

  changeLamp = (edit: Partial<DeviceRecord>): Promise<void> =>
    this.write((it) => ({ ...it, devices: [{ ...this.lamp, ...edit }, ...it.devices.slice(1)] }))

  async nextChange(count = 1): Promise<StateChange> {
    await waitUntil('a change is told', () => this.changes.length >= count)
    return this.changes[count - 1]!
  }

  async end(): Promise<void> {
    await this.#source?.stop()
    await this.proxy.stop()
    await this.server.stop()
  }
}

/** The refusal of a look-up that changes overtook again and again; any other failure is one of the test. */
function refusal(error: unknown): StateUnavailable {
  if (error instanceof StateUnavailable && error.fault === 'CHANGING') return error
  throw error
}

const NOTHING: StateChange = {
  hub: false,
  networks: false,
  routes: false,
  devices: new Set(),
  removedDevices: new Set(),
}

describe('RedisStateSource on a real Redis', () => {
  let on: Scene

  beforeEach(async () => {
    on = await Scene.set()
  })
  afterEach(() => on.end())

  test('finds a device by id, by name and by each of its fingerprints', async () => {
    const source = await on.started()
    expect(await source.deviceById(on.lamp.id)).toEqual(on.lamp)
    expect(await source.deviceByName('pump')).toEqual(on.pump)
    expect(await source.deviceByFingerprint('aa')).toEqual(on.lamp)
    expect(await source.deviceByFingerprint('ab')).toEqual(on.lamp)
    expect(source.hub()).toEqual(on.state.hub)
    expect(source.networkByName('web')).toEqual(on.state.networks[0])
    expect(source.routes()).toEqual(on.state.routes)
    expect(source.healthy()).toBe(true)
  })

  test('knows nothing of an id, a name or a fingerprint that no device has', async () => {
    const source = await on.started()
    expect(await source.deviceById('lamp')).toBeUndefined()
    expect(await source.deviceByName(on.lamp.id)).toBeUndefined()
    expect(await source.deviceByFingerprint('__proto__')).toBeUndefined()
    expect(source.networkByName('constructor')).toBeUndefined()
  })

  test('asks Redis once for a device, and once for one that is not there', async () => {
    const source = await on.started()
    const asked = async () =>
      Number(/cmdstat_hget:calls=(\d+)/.exec(await on.redis.info('commandstats'))?.[1])
    await Promise.all(Array.from({ length: 50 }, () => source.deviceById('nobody')))
    await Promise.all(Array.from({ length: 50 }, () => source.deviceById(on.pump.id)))
    const before = await asked()
    for (let i = 0; i < 50; i += 1) {
      expect(await source.deviceById('nobody')).toBeUndefined()
      expect(await source.deviceByName('pump')).toEqual(on.pump)
      expect(await source.deviceByFingerprint('ba')).toEqual(on.pump)
    }
    expect(await asked()).toBe(before)
  })

  const edits: [string, (it: HubState) => HubState, (on: Scene) => Partial<StateChange>][] = [
    [
      'an added device',
      (it) => ({ ...it, devices: [...it.devices, device({ id: 'n' })] }),
      () => ({ devices: new Set(['n']) }),
    ],
    [
      'an edited device',
      (it) => ({ ...it, devices: [{ ...it.devices[0]!, enabled: false }, it.devices[1]!] }),
      ({ lamp }) => ({ devices: new Set([lamp.id]) }),
    ],
    ['an edited hub', (it) => ({ ...it, hub: { ...it.hub, enabled: false } }), () => ({ hub: true })],
    ['a removed network', (it) => ({ ...it, networks: [] }), () => ({ networks: true })],
    ['a removed route', (it) => ({ ...it, routes: [] }), () => ({ routes: true })],
  ]
  test.each(edits)('tells %s once it can be read', async (_, edit, expected) => {
    const source = await on.started()
    await source.deviceById(on.lamp.id)
    await on.write(edit)
    expect(await on.nextChange()).toEqual({ ...NOTHING, ...expected(on) })
    expect(source.hub()).toEqual(on.state.hub)
    expect(source.routes()).toEqual(on.state.routes)
    expect(source.networkByName('web')).toEqual(on.state.networks[0])
    for (const record of on.state.devices) expect(await source.deviceById(record.id)).toEqual(record)
  })

  test('tells a removed device, and forgets its name and fingerprints', async () => {
    const source = await on.started()
    const { lamp } = on
    await source.deviceById(lamp.id)
    await on.write((it) => ({ ...it, devices: [it.devices[1]!] }))
    expect(await on.nextChange()).toEqual({ ...NOTHING, removedDevices: new Set([lamp.id]) })
    expect(await source.deviceById(lamp.id)).toBeUndefined()
    expect(await source.deviceByName('lamp')).toBeUndefined()
    expect(await source.deviceByFingerprint('aa')).toBeUndefined()
  })

  test('shows the new state before it tells of it', async () => {
    await on.writer.write(on.state)
    const source = on.make()
    const seen: unknown[] = []
    await source.start(() => void seen.push(source.hub().enabled))
    await on.write((it) => ({ ...it, hub: { ...it.hub, enabled: false } }))
    await waitUntil('the change is told', () => seen.length > 0)
    expect(seen).toEqual([false])
  })

  test('finds a device that was asked for in vain as soon as it exists', async () => {
    const source = await on.started()
    expect(await source.deviceByName('late')).toBeUndefined()
    await on.write((it) => ({ ...it, devices: [...it.devices, device({ name: 'late' })] }))
    await on.nextChange()
    expect(await source.deviceByName('late')).toMatchObject({ name: 'late' })
  })

  test('never answers with a record from before a change that was told', async () => {
    const source = await on.started({ cachedDevices: 1 })
    let told = 0
    let answers = 0
    const wrong: string[] = []
    const stop = new AbortController()
    const asking = (async () => {
      while (!stop.signal.aborted) {
        const known = told
        const answer = await source.deviceByFingerprint('aa').catch(refusal)
        // One that changes faster than it can be read is refused, which is no wrong answer.
        if (answer instanceof StateUnavailable) continue
        answers += 1
        const version = Number(answer?.templateErrors[0] ?? 0)
        if (version < known) wrong.push(`${version} after ${known}`)
        // Pushes the record out of the cache, so that the next one is read.
        await source.deviceById(on.pump.id)
      }
    })()
    for (let version = 1; version <= 200; version += 1) {
      await on.changeLamp({ templateErrors: [String(version)] })
      if (version % 10 === 0) await on.nextChange(version)
      told = on.changes.length
    }
    stop.abort()
    await asking
    expect(wrong).toEqual([])
    expect(answers).toBeGreaterThan(20)
    expect(await source.deviceById(on.lamp.id)).toEqual(on.lamp)
  })

  test('keeps no more records than it may', async () => {
    await on.write((it) => ({
      ...it,
      devices: Array.from({ length: 200 }, (_, i) => device({ id: `d${i}` })),
    }))
    const source = await on.started({ cachedDevices: 10 })
    for (let round = 0; round < 2; round += 1) {
      for (const record of on.state.devices) expect(await source.deviceById(record.id)).toEqual(record)
    }
    // What is over the bound has to be read again.
    await on.server.kill()
    await waitUntil('the loss is noticed', () => !source.healthy())
    const answers = await Promise.allSettled(on.state.devices.map(({ id }) => source.deviceById(id)))
    expect(answers.filter(({ status }) => status === 'fulfilled')).toHaveLength(10)
  })

  describe('reads everything in use anew', () => {
    test('after a gap in the stream, and tells live and cached devices that differ', async () => {
      const source = await on.started()
      on.live.add(on.lamp.id)
      await source.deviceById(on.pump.id)
      const [lamp, pump] = [on.lamp, on.pump]
      on.proxy.refuse()
      await waitUntil('the loss is noticed', () => !source.healthy())
      await on.write((it) => ({ ...it, devices: [{ ...lamp, enabled: false }] }))
      await on.redis.xtrim(stateKeys(on.state.hub.uid).changes, 'MAXLEN', 0)
      on.proxy.heal()
      expect(await on.nextChange()).toEqual({
        ...NOTHING,
        devices: new Set([lamp.id]),
        removedDevices: new Set([pump.id]),
      })
      expect(await source.deviceById(lamp.id)).toEqual(on.lamp)
      expect(await source.deviceByName('pump')).toBeUndefined()
    })

    test('when the stream lost entries while the connection held', async () => {
      const source = await on.started()
      await source.deviceById(on.lamp.id)
      const keys = stateKeys(on.state.hub.uid)
      // In one step, so that the waiting reader never sees the first.
      await on.redis
        .multi()
        .hset(keys.devices, on.lamp.id, JSON.stringify({ ...on.lamp, enabled: false }))
        .set(keys.revision, '9999999999999999')
        .exec()
      expect(await on.nextChange()).toEqual({ ...NOTHING, devices: new Set([on.lamp.id]) })
      expect(source.healthy()).toBe(true)
    })

    test('when Redis has lost everything and the operator has written it again', async () => {
      const source = await on.started()
      await source.deviceById(on.lamp.id)
      await on.redis.flushall()
      await waitUntil('the loss is noticed', () => !source.healthy())
      expect(on.health).toEqual([true, 'STATE_MISSING'])
      expect(source.hub()).toEqual(on.state.hub)
      await on.write((it) => ({ ...it, hub: { ...it.hub, enabled: false } }))
      expect(await on.nextChange()).toEqual({ ...NOTHING, hub: true })
      expect(on.health).toEqual([true, 'STATE_MISSING', true])
    })

    test('tells a live device as changed even when nothing differs: the broker may have missed it', async () => {
      const source = await on.started()
      on.live.add(on.lamp.id)
      await source.deviceById(on.lamp.id)
      await source.deviceById(on.pump.id)
      on.proxy.cut()
      expect(await on.nextChange()).toEqual({ ...NOTHING, devices: new Set([on.lamp.id]) })
    })

    test('of thousands of devices in bounded steps', async () => {
      await on.write((it) => ({
        ...it,
        devices: Array.from({ length: 3000 }, (_, i) => device({ id: `d${i}` })),
      }))
      const source = await on.started()
      for (const { id } of on.state.devices) on.live.add(id)
      on.proxy.cut()
      expect((await on.nextChange()).devices.size).toBe(3000)
      await on.server.kill()
      expect(await source.deviceById('d2999')).toEqual(on.state.devices[2999])
    })
  })

  describe('with Redis gone', () => {
    test('answers from what it has, refuses the rest with a code, and is back by itself', async () => {
      const source = await on.started()
      await source.deviceById(on.lamp.id)
      await on.server.kill()
      await waitUntil('the loss is noticed', () => !source.healthy())
      expect(source.hub()).toEqual(on.state.hub)
      expect(await source.deviceByFingerprint('ab')).toEqual(on.lamp)
      const refused = await source.deviceByName('pump').catch((error: unknown) => error)
      expect(refused).toBeInstanceOf(StateUnavailable)
      expect(refused).toMatchObject({ code: 'REDIS_UNAVAILABLE' })
      await on.server.start()
      const client = on.server.client()
      await new HubStateWriter({ redis: client }).write(on.state)
      await source.untilHealthy()
      expect(await source.deviceByName('pump')).toEqual(on.pump)
      expect(on.health).toEqual([true, 'REDIS_UNAVAILABLE', true])
    })

    test.each<[string, (proxy: TcpProxy) => void]>([
      ['both connections', (proxy) => proxy.silence()],
      ['the connection for look-ups', (proxy) => proxy.silenceOne(0)],
      ['the connection for changes', (proxy) => proxy.silenceOne(1)],
    ])('notices a dead network path of %s', async (_, silence) => {
      const source = await on.started({ timeoutMs: 500 })
      silence(on.proxy)
      await waitUntil('the silence is noticed', () => !source.healthy())
      on.proxy.heal()
      await waitUntil('the source is back', () => source.healthy())
      await on.changeLamp({ enabled: false })
      await on.nextChange()
    })

    test('says when the grace is over, once an outage, and not when it came back before', async () => {
      let over = 0
      const onGraceOver = () => {
        over += 1
      }
      const source = await on.started({ graceMs: 1_500, onGraceOver })
      on.proxy.cut()
      await waitUntil('the source is back', () => on.health.length === 3)
      on.proxy.refuse()
      await waitUntil('the grace is over', () => over === 1)
      const attempts = on.proxy.accepted
      await waitUntil('two more attempts were made', () => on.proxy.accepted > attempts + 1)
      on.proxy.heal()
      await waitUntil('the source is back', () => source.healthy())
      expect(over).toBe(1)
    })

    test('tries again ever more rarely', async () => {
      const source = await on.started()
      on.proxy.refuse()
      await waitUntil('the loss is noticed', () => !source.healthy())
      const before = on.proxy.accepted
      await new Promise((resolve) => setTimeout(resolve, 1_500))
      // 50, 100, 200, 400, 800 ms, each at least by half.
      expect(on.proxy.accepted - before).toBeLessThan(10)
    })
  })

  describe('at the start', () => {
    test('waits for the operator to write the hub', async () => {
      const source = on.make()
      const started = source.start(() => {})
      await waitUntil('the source has looked', () => on.proxy.accepted > 2)
      await on.writer.write(on.state)
      await started
      expect(source.hub()).toEqual(on.state.hub)
    })

    test.each<[string, string, (on: Scene) => Promise<unknown>]>([
      ['there is no hub', 'STATE_MISSING', async () => {}],
      [
        'the state is of another version',
        'STATE_VERSION',
        (it) => it.redis.set(stateKeys(it.state.hub.uid).version, '99'),
      ],
      ['the hub is no hub', 'STATE_CORRUPT', (it) => it.redis.set(stateKeys(it.state.hub.uid).hub, '{}')],
      ['Redis cannot be reached', 'REDIS_UNAVAILABLE', async (it) => it.proxy.refuse()],
    ])('gives up when %s', async (_, code, prepare) => {
      if (code !== 'STATE_MISSING') await on.writer.write(on.state)
      await prepare(on)
      const source = on.make({ startTimeoutMs: 1_000 })
      await expect(source.start(() => {})).rejects.toMatchObject({ name: 'StateUnavailable', code })
      expect(() => source.hub()).toThrow(StateUnavailable)
    })
  })

  test('tells nobody once it is stopped, and holds no connection', async () => {
    const source = await on.started()
    await source.stop()
    await waitUntil('the connections are closed', () => on.proxy.open === 0)
    await on.changeLamp({ enabled: false })
    await expect(source.deviceById(on.pump.id)).rejects.toMatchObject({ code: 'STOPPED' })
    expect(on.changes).toEqual([])
  })

  test('can be stopped while it waits for a Redis that says nothing', async () => {
    on.proxy.silence()
    const source = on.make()
    const started = source.start(() => {}).catch((error: StateUnavailable) => error.code)
    await waitUntil('it has connected', () => on.proxy.accepted > 0)
    const before = performance.now()
    await source.stop()
    expect(performance.now() - before).toBeLessThan(5_000)
    expect(await started).toBe('STOPPED')
  })
})

describe('the password of Redis', () => {
  test('is in no error, no health report and no fault', async () => {
    const on = await Scene.set('sesame-right')
    try {
      const said: unknown[] = []
      const source = on.make({
        settings: redisSettings({ url: `redis://127.0.0.1:${on.proxy.port}`, password: 'sesame-wrong' }),
        startTimeoutMs: 1_000,
        onFault: (reason) => said.push(reason),
      })
      const error = await source.start(() => {}).catch((it: unknown) => it)
      expect(error).toMatchObject({ code: 'REDIS_UNAVAILABLE', fault: 'WRONGPASS' })
      expect(said.length).toBeGreaterThan(0)
      expect(inspect([error, ...said], { depth: 20, showHidden: true })).not.toContain('sesame')
    } finally {
      await on.end()
    }
  })
})
