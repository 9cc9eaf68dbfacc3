import type { Redis } from 'ioredis'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { hubAclUser } from '../../contract/redis-acl.ts'
import {
  busChannel,
  hubPrefix,
  routesPrefix,
  stateKeys,
  statusPrefix,
  storePrefix,
} from '../../contract/redis-keys.ts'
import { hub, hubState } from '../../test-support/hub-state.ts'
import { type RedisServer, startRedis } from '../../test-support/redis.ts'
import { HubAclWriter } from './hub-acl-writer.ts'
import { HubStateWriter } from './hub-state-writer.ts'

const [ONE, TWO] = ['0b1e2c3d-0000-4000-8000-000000000001', '0b1e2c3d-0000-4000-8000-000000000002']

describe('HubAclWriter on a real Redis', () => {
  let server: RedisServer
  let admin: Redis

  beforeAll(async () => {
    server = await startRedis({ password: 'root', aclFile: true, fsync: 'always' })
    admin = server.client()
  })
  afterAll(() => server.stop())

  const as = (uid: string, password: string) => server.client({ username: hubAclUser(uid), password })

  test('makes a user, and changes nothing the second time', async () => {
    const writer = new HubAclWriter(admin)
    expect(await writer.ensure(ONE, 'sesame-one')).toEqual({ changed: true, persisted: true })
    expect(await writer.ensure(ONE, 'sesame-one')).toEqual({ changed: false, persisted: true })
    expect(await as(ONE, 'sesame-one').set(`${storePrefix(ONE)}x`, '1')).toBe('OK')
    expect(await writer.uids()).toEqual([ONE])
    expect(server.diskContent().includes('sesame-one')).toBe(false)
  })

  test('repairs a user whose rules were widened, without cutting its connections', async () => {
    const writer = new HubAclWriter(admin)
    await writer.ensure(ONE, 'sesame-one')
    const live = as(ONE, 'sesame-one')
    await live.ping()
    await admin.acl('SETUSER', hubAclUser(ONE), '~*', '+@all', '>back-door')
    expect(await writer.ensure(ONE, 'sesame-one')).toMatchObject({ changed: true })
    await expect(live.get('anything')).rejects.toThrow('NOPERM')
    await expect(as(ONE, 'back-door').ping()).rejects.toThrow()
    expect(await live.ping()).toBe('PONG')
  })

  test('takes a new password in the place of the old one', async () => {
    const writer = new HubAclWriter(admin)
    await writer.ensure(TWO, 'old')
    expect(await writer.ensure(TWO, 'new')).toMatchObject({ changed: true })
    await expect(as(TWO, 'old').ping()).rejects.toThrow()
    expect(await as(TWO, 'new').ping()).toBe('PONG')
  })

  test('keeps users over a restart where there is an ACL file, and says so where there is none', async () => {
    await new HubAclWriter(admin).ensure(ONE, 'sesame-one')
    await server.kill()
    await server.start()
    admin = server.client()
    expect(await as(ONE, 'sesame-one').ping()).toBe('PONG')
    await using plain = await startRedis()
    expect(await new HubAclWriter(plain.client()).ensure(ONE, 'x')).toEqual({
      changed: true,
      persisted: false,
    })
  })

  test('removes a user with its connections', async () => {
    const writer = new HubAclWriter(admin)
    await writer.ensure(TWO, 'new')
    const live = as(TWO, 'new')
    await live.ping()
    expect(await writer.remove(TWO)).toBe(true)
    expect(await writer.remove(TWO)).toBe(false)
    await expect(live.ping()).rejects.toThrow()
  })

  test('gives no user a password of nothing', async () => {
    await expect(new HubAclWriter(admin).ensure(ONE, '')).rejects.toThrow('password: expected at least 1')
  })

  describe('lets the user of a hub', () => {
    let one: Redis

    beforeAll(async () => {
      const writer = new HubAclWriter(admin)
      await writer.ensure(ONE, 'sesame-one')
      await writer.ensure(TWO, 'sesame-two')
      for (const uid of [ONE, TWO]) {
        await new HubStateWriter({ redis: admin }).write(hubState({ hub: hub({ uid }) }))
        await admin.set(`${storePrefix(uid)}owner`, 'x')
        await admin.xadd(`${routesPrefix(uid)}r:0`, '*', 'm', 'x')
      }
      one = as(ONE, 'sesame-one')
    })

    test.each<[string, (redis: Redis) => Promise<unknown>]>([
      ['read its state', (it) => it.get(stateKeys(ONE).hub)],
      ['follow its changes', (it) => it.xread('STREAMS', stateKeys(ONE).changes, '0')],
      ['write its store', (it) => it.set(`${storePrefix(ONE)}x`, '1')],
      ['append to its routes', (it) => it.xadd(`${routesPrefix(ONE)}r:0`, '*', 'm', 'x')],
      ['report its status', (it) => it.hset(`${statusPrefix(ONE)}devices`, 'd', '1')],
      ['tell its brokers', (it) => it.publish(busChannel(ONE, 'wake'), 'x')],
      [
        'run a script on its keys',
        (it) => it.eval("return redis.call('SET', KEYS[1], 1)", 1, `${storePrefix(ONE)}y`),
      ],
    ])('%s', async (_, run) => {
      await expect(run(one)).resolves.not.toThrow()
    })

    test.each<[string, (redis: Redis) => Promise<unknown>]>([
      ['write its own state', (it) => it.set(stateKeys(ONE).hub, '{}')],
      ['tell a change of its own state', (it) => it.xadd(stateKeys(ONE).changes, '*', 'change', '{}')],
      ['read the state of another', (it) => it.get(stateKeys(TWO).hub)],
      ['read devices of another', (it) => it.hgetall(stateKeys(TWO).devices)],
      ['follow the changes of another', (it) => it.xread('STREAMS', stateKeys(TWO).changes, '0')],
      ['read a route stream of another', (it) => it.xrange(`${routesPrefix(TWO)}r:0`, '-', '+')],
      ['write the store of another', (it) => it.set(`${storePrefix(TWO)}owner`, 'me')],
      ['rename a key of another', (it) => it.rename(`${storePrefix(TWO)}owner`, `${storePrefix(ONE)}owner`)],
      [
        'reach a key of another in a script',
        (it) => it.eval(`return redis.call('GET', '${storePrefix(TWO)}owner')`, 0),
      ],
      ['hear another', (it) => it.subscribe(busChannel(TWO, 'wake'))],
      ['hear all', (it) => it.psubscribe('*')],
      ['speak to another', (it) => it.publish(busChannel(TWO, 'wake'), 'x')],
      ['list keys', (it) => it.keys('*')],
      ['scan keys', (it) => it.scan('0')],
      ['draw a key', (it) => it.randomkey()],
      ['list channels', (it) => it.pubsub('CHANNELS')],
      ['see other connections', (it) => it.client('LIST')],
      ['watch commands of others', (it) => it.call('MONITOR')],
      ['change its own rights', (it) => it.acl('SETUSER', hubAclUser(ONE), '~*')],
      ['see the users', (it) => it.acl('LIST')],
      ['change the configuration', (it) => it.config('SET', 'appendonly', 'no')],
      ['delete everything', (it) => it.flushall()],
      ['forget the scripts of all', (it) => it.script('FLUSH')],
    ])('not %s', async (_, run) => {
      await expect(run(as(ONE, 'sesame-one'))).rejects.toThrow(/NOPERM|can't access at least one of the keys/)
    })

    test('and every key of a hub starts with its prefix', async () => {
      for (const key of await admin.keys('*')) {
        expect([ONE, TWO].some((uid) => key.startsWith(hubPrefix(uid)))).toBe(true)
      }
    })
  })
})
