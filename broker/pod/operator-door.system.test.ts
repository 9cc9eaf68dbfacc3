import { randomUUID } from 'node:crypto'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { ASK_EXPIRES_MS, type Ask, encodeAsk, MAX_OPEN_ASKS } from '../../contract/asks.ts'
import { redisSettings } from '../../contract/redis-access.ts'
import { hubAclUser } from '../../contract/redis-acl.ts'
import { asksChannel, openAsksKey } from '../../contract/redis-keys.ts'
import { AskInbox } from '../../operator/redis/ask-inbox.ts'
import { HubAclWriter } from '../../operator/redis/hub-acl-writer.ts'
import { createOperatorRedis } from '../../operator/redis/operator-redis.ts'
import { type RedisServer, startRedis } from '../../test-support/redis.ts'
import { TcpProxy } from '../../test-support/tcp-proxy.ts'
import { waitUntil } from '../../test-support/wait.ts'
import { OperatorDoor } from './operator-door.ts'

const PASSWORD = 'sesame'
const WAIT_MS = 20_000

const nameIn = (ask: Ask) => (ask.kind === 'Provision' ? ask.request.commonName : '')

const provision = (commonName: string): Ask => ({
  kind: 'Provision',
  request: { commonName, fingerprint: 'a'.repeat(64), sourceAddress: '10.0.0.7:1', time: 0 },
})

let redis: RedisServer
let uid: string
const stops: Array<() => unknown> = []

beforeEach(async () => {
  redis = await startRedis()
  uid = randomUUID()
  await new HubAclWriter(redis.client()).ensure(uid, PASSWORD)
})
afterEach(async () => {
  for (const stop of stops.splice(0).reverse()) await stop()
  await redis.stop()
})

function openDoor(): OperatorDoor {
  const settings = redisSettings({ url: redis.url, username: hubAclUser(uid), password: PASSWORD })
  const door = new OperatorDoor({ hubUid: uid, settings, random: () => 0.5, onFault: () => {} })
  stops.push(() => door.stop())
  return door
}

async function openInbox(): Promise<{ inbox: AskInbox; heard: string[] }> {
  const settings = redisSettings({ url: redis.url })
  const commands = createOperatorRedis(settings, { random: () => 0.5 })
  await commands.connect()
  const heard: string[] = []
  const inbox = new AskInbox({
    redis: commands,
    listen: () => createOperatorRedis(settings, { random: () => 0.5 }),
    onAsk: (hub) => heard.push(hub),
  })
  stops.push(() => {
    inbox.close()
    commands.disconnect()
  })
  return { inbox, heard }
}

describe('what a broker asks of the operator', () => {
  it('is heard at once, stays until it is answered, and the answer reaches the broker that asked', async () => {
    const { inbox, heard } = await openInbox()
    inbox.follow(uid)
    await waitUntil('it listens', () => heard.length > 0)
    const [one, other] = [openDoor(), openDoor()]
    const answers = [one.ask(provision('SN-1'), WAIT_MS), other.ask(provision('SN-2'), WAIT_MS)]
    await waitUntil('both are heard', () => heard.length >= 3)
    const asks = await inbox.read(uid, 10)
    expect(asks.map(({ ask }) => nameIn(ask)).sort()).toEqual(['SN-1', 'SN-2'])
    for (const { entry, id, ask } of asks) {
      const provisioning = nameIn(ask) === 'SN-1' ? 'Created' : 'QuotaReached'
      await inbox.answer(uid, entry, { id, provisioning })
    }
    expect((await Promise.all(answers)).map((answer) => answer?.provisioning)).toEqual([
      'Created',
      'QuotaReached',
    ])
    expect(await inbox.read(uid, 10)).toEqual([])
  })

  it('is found by an operator that comes later', async () => {
    const answer = openDoor().ask(provision('SN-1'), WAIT_MS)
    const { inbox } = await openInbox()
    const [ask] = await waitUntil('it is there', async () => {
      const asks = await inbox.read(uid, 10)
      return asks.length > 0 ? asks : undefined
    })
    await inbox.answer(uid, ask!.entry, { id: ask!.id, provisioning: 'Existed' })
    expect((await answer)?.provisioning).toBe('Existed')
  })

  it('has no answer when its time is up, whether Redis is there or not', async () => {
    const door = openDoor()
    expect(await door.ask(provision('SN-1'), 200)).toBeUndefined()
    await redis.stop()
    expect(await door.ask(provision('SN-1'), 200)).toBeUndefined()
  })

  it('goes through a restart of Redis', async () => {
    const { inbox, heard } = await openInbox()
    inbox.follow(uid)
    const door = openDoor()
    void door.ask(provision('SN-1'), WAIT_MS)
    await waitUntil('it is heard', () => heard.length >= 2)
    const client = redis.client()
    await client.call('CLIENT', 'KILL', 'TYPE', 'pubsub')
    await waitUntil('the next is heard', async () => {
      const before = heard.length
      void door.ask(provision('SN-2'), WAIT_MS)
      return await waitUntil('heard', () => heard.length > before, { timeoutMs: 1_000 }).catch(() => false)
    })
  })

  it('ends no operator whose connection is lost again as soon as it is back', async () => {
    const strays: unknown[] = []
    const note = (error: unknown) => strays.push(error)
    process.on('unhandledRejection', note)
    stops.push(() => process.off('unhandledRejection', note))
    await using path = await new TcpProxy(redis.port).start()
    const settings = redisSettings({ url: `redis://127.0.0.1:${path.port}` })
    const commands = createOperatorRedis(redisSettings({ url: redis.url }), { random: () => 0.5 })
    await commands.connect()
    let ready = 0
    const inbox = new AskInbox({
      redis: commands,
      listen: () => createOperatorRedis(settings, { random: () => 0.5 }),
      onAsk() {
        ready += 1
        // What it has just sent on its second connection will have no answer.
        if (ready === 2) path.cut()
      },
    })
    stops.push(() => {
      inbox.close()
      commands.disconnect()
    })
    inbox.follow(uid)
    await waitUntil('it listens', () => ready === 1)
    const client = redis.client()
    const subscribers = async () => (await client.pubsub('NUMSUB', asksChannel(uid)))[1]
    const listens = async () => (await subscribers()) === 1
    await waitUntil('it is subscribed', listens)
    path.cut()
    await waitUntil('it comes back a second time', () => ready >= 3)
    await waitUntil('it is subscribed again', listens)
    expect(strays).toEqual([])
  })

  it('is bounded: the oldest make room, and what nobody can wait for any more is dropped', async () => {
    const { inbox } = await openInbox()
    const client = redis.client()
    const key = openAsksKey(uid)
    const old = `${Date.now() - ASK_EXPIRES_MS - 5_000}-0`
    await client.xadd(key, old, ...encodeAsk({ id: 'old', ask: provision('SN-0') }))
    await client.xadd(key, '*', 'id', 'strange', 'ask', '{"kind":"Dance"}')
    expect(await inbox.read(uid, 10)).toEqual([])
    expect(await client.xlen(key)).toBe(0)
    const filling = client.pipeline()
    for (let n = 0; n < MAX_OPEN_ASKS; n += 1) filling.xadd(key, '*', 'n', n)
    await filling.exec()
    void openDoor().ask(provision('SN-1'), WAIT_MS)
    await waitUntil('the newest is in', async () => {
      const [last] = await client.xrevrange(key, '+', '-', 'COUNT', 1)
      return last?.[1].includes('ask')
    })
    expect(await client.xlen(key)).toBe(MAX_OPEN_ASKS)
  })
})
