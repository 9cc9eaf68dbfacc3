import { afterEach, beforeEach, expect, it, vi } from 'vitest'
import { decodeRouteCredentials } from '../../contract/route-credentials.ts'
import { DEPLOYMENTS, HUBS, ROUTES, type Route, SECRETS, type Secret } from '../api/resources.ts'
import { Stage, textOf, untilCondition, untilReady } from '../operator.fixture.ts'

let stage: Stage

beforeEach(async () => {
  stage = await Stage.create('route')
  // What workers report, or that none does, is looked at every ten seconds otherwise.
  stage.start({ activityEveryMs: 200 })
  await stage.space.post(HUBS, 'home', { spec: {} })
  await untilReady(stage.space, HUBS, ['home'])
})
afterEach(() => stage.close())

const waiting = { timeout: 60_000, interval: 50 }
const credentials = async () => {
  const { data = {} } = await stage.space.get<Secret>(SECRETS, 'hub-home-routes')
  const files = Object.keys(data).map((file) => [
    file,
    decodeRouteCredentials(textOf({ data } as Secret, file)),
  ])
  return Object.fromEntries(files)
}

it('a route reaches brokers as a topic, its worker by a Secret, and no pod is touched', async () => {
  const { space } = stage
  const before = await space.get(DEPLOYMENTS, 'hub-home')
  const headers = [{ name: 'Authorization', secretKeyRef: { name: 'token' } }]
  const { metadata } = await space.post<Route & { metadata: { uid?: string } }>(ROUTES, 'out', {
    spec: { hubRef: { name: 'home' }, topic: 'a/#', rest: { url: 'https://sink', headers } },
  })
  const { message } = await untilCondition(space, ROUTES, 'out', {
    type: 'Reconciling',
    reason: 'SecretNotFound',
  })
  expect(message).toBe('spec.rest.headers[Authorization].secretKeyRef: there is no Secret token')
  await space.post(SECRETS, 'token', { stringData: { value: 'Bearer one' } })
  const file = `${metadata.uid}.json`
  const key = 'rest.headers[Authorization].secretKeyRef'
  await vi.waitFor(
    async () => expect(await credentials()).toEqual({ [file]: { values: { [key]: 'Bearer one' } } }),
    waiting,
  )
  // No worker has said anything, so nobody is told that it delivers.
  await untilCondition(space, ROUTES, 'out', { type: 'Ready', status: 'Unknown', reason: 'Progressing' })
  await vi.waitFor(
    async () =>
      expect((await stage.state('home')).routes).toMatchObject([
        { id: metadata.uid, name: 'out', topic: 'a/#', enabled: true },
      ]),
    waiting,
  )
  await space.merge(SECRETS, 'token', { stringData: { value: 'Bearer two' } })
  await vi.waitFor(
    async () => expect(await credentials()).toEqual({ [file]: { values: { [key]: 'Bearer two' } } }),
    waiting,
  )
  await space.delete(ROUTES, 'out')
  await vi.waitFor(async () => expect(await space.list(ROUTES)).toEqual([]), waiting)
  expect((await stage.state('home')).routes).toEqual([])
  await vi.waitFor(async () => expect(await credentials()).toEqual({}), waiting)
  const after = await space.get(DEPLOYMENTS, 'hub-home')
  expect(after.metadata.generation).toBe(before.metadata.generation)
})

it('a route that takes nothing because its spec says so is as it should be', async () => {
  await stage.space.post(ROUTES, 'out', {
    spec: { hubRef: { name: 'home' }, topic: '#', enabled: false, rest: { url: 'https://sink' } },
  })
  await untilCondition(stage.space, ROUTES, 'out', { type: 'Ready', status: 'True', reason: 'Disabled' })
})
