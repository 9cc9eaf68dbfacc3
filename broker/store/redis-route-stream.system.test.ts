import { randomUUID } from 'node:crypto'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { redisSettings } from '../../contract/redis-access.ts'
import { hubAclUser } from '../../contract/redis-acl.ts'
import { routesPrefix } from '../../contract/redis-keys.ts'
import { HubAclWriter } from '../../operator/redis/hub-acl-writer.ts'
import { HubStateWriter } from '../../operator/redis/hub-state-writer.ts'
import { hubState, route } from '../../test-support/hub-state.ts'
import { type RedisServer, startRedis } from '../../test-support/redis.ts'
import { RedisRouteStream } from './redis-route-stream.ts'
import { RedisStore } from './redis-store.ts'
import { into, letter, NEVER } from './route-stream.fixture.ts'
import { message, ROOMY } from './store.fixture.ts'

let server: RedisServer
beforeAll(async () => {
  server = await startRedis()
})
afterAll(() => server.stop())

async function openHub(fence?: string) {
  const state = hubState({ routes: [route({ name: 'old' })] })
  const { uid } = state.hub
  await new HubAclWriter(server.client()).ensure(uid, 'sesame')
  const settings = redisSettings({ url: server.url, username: hubAclUser(uid), password: 'sesame' })
  const store = new RedisStore({ hubUid: uid, settings })
  await store.open(ROOMY)
  const stream = new RedisRouteStream({ hubUid: uid, settings, ...(fence === undefined ? {} : { fence }) })
  const append = async (routeId: string) =>
    await store.accept({
      message: message('kept?'),
      targets: [],
      routes: { into: [into(routeId)], id: randomUUID(), time: 1 },
    })
  const read = async (routeId: string) =>
    await stream.read({ routeId, partition: 0 }, { limit: 10, waitMs: 0, signal: NEVER })
  const close = async () => void (await Promise.all([stream.close(), store.close()]))
  return { state, stream, append, read, [Symbol.asyncDispose]: close }
}

it('removes what waits for routes that the stored hub does not have, and only that', async () => {
  await using it = await openHub()
  const { state, stream } = it
  const gone = randomUUID()
  const fresh = route({ name: 'fresh' })
  for (const routeId of [gone, fresh.id]) await it.append(routeId)
  // Nobody has written the hub (yet, or again): that says nothing about routes.
  expect(await stream.removeGone(new Set())).toEqual([])
  // The operator has stored a new route, of which the worker that asks does not know.
  await new HubStateWriter({ redis: server.client() }).write({ ...state, routes: [...state.routes, fresh] })
  expect(await stream.removeGone(new Set([state.routes[0]?.id ?? '']))).toEqual([gone])
  expect(await stream.routeIds()).toEqual([fresh.id])
  expect(await it.read(fresh.id)).toHaveLength(1)
})

it('hears about messages only from the worker that owns the routes', async () => {
  await using it = await openHub('pod-1/a')
  const { stream, state } = it
  const owner = `${routesPrefix(state.hub.uid)}owner`
  const routeId = state.routes[0]?.id ?? ''
  const place = { routeId, partition: 0 }
  for (let n = 0; n < 3; n += 1) await it.append(routeId)
  await server.client().set(owner, 'pod-1/a')
  const [first, second, third] = await it.read(routeId)
  await stream.settle(place, [first?.position ?? ''])
  for (const other of ['pod-2/b', undefined]) {
    if (other === undefined) await server.client().del(owner)
    else await server.client().set(owner, other)
    await expect(stream.settle(place, [second?.position ?? ''])).rejects.toThrow('another worker')
    await expect(stream.bury(place, [letter(third!)], { maxMessages: 10 })).rejects.toThrow('another worker')
  }
  expect((await it.read(routeId)).map(({ position }) => position)).toEqual(
    [second, third].map((e) => e?.position),
  )
  expect(await stream.deadLetters(routeId, { limit: 10 })).toEqual([])
})
