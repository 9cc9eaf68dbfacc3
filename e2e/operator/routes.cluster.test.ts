import { afterEach, beforeEach, expect, it, vi } from 'vitest'
import type { RouteStatus } from '../../crds/route.ts'
import { DEPLOYMENTS, DEVICES, HUBS, ROUTES, SECRETS } from '../../operator/api/resources.ts'
import { type Conditioned, Stage, untilCondition, untilReady } from '../../operator/operator.fixture.ts'
import { findCondition } from '../../operator/runtime/conditions.ts'
import { HttpDestination } from '../../routes/sinks/rest/http-destination.fixture.ts'
import { Kubectl } from '../../test-support/kubectl.ts'
import { type MqttClient, openMqtt } from '../../test-support/mqtt-client.ts'
import { waitUntil } from '../../test-support/wait.ts'
import { PodOfDeployment } from './pod-of-deployment.fixture.ts'

const waiting = { timeout: 60_000, interval: 100 }

let stage: Stage
let pod: PodOfDeployment
let kubectl: Kubectl
let http: HttpDestination
let lamp: MqttClient

beforeEach(async () => {
  http = new HttpDestination()
  await http.start()
  stage = await Stage.create('delivers')
  kubectl = await Kubectl.create(stage.space.name)
  stage.start({ activityEveryMs: 200 })
  await stage.space.post(HUBS, 'home', { spec: { listeners: { mqtt: { port: 1883 } } } })
  await stage.space.post(DEVICES, 'lamp', { spec: { hubRef: { name: 'home' }, allowInsecure: true } })
  await untilReady(stage.space, HUBS, ['home'])
  await untilReady(stage.space, DEVICES, ['lamp'])
  pod = await PodOfDeployment.start(stage.space, await stage.space.get(DEPLOYMENTS, 'hub-home'))
  await pod.startRoutes()
  const { status } = await stage.space.get<Conditioned & { status?: { id?: string } }>(DEVICES, 'lamp')
  lamp = await openMqtt({ port: pod.port('mqtt') })
  await lamp.connect({ clientId: status?.id ?? '' })
})
afterEach(async () => {
  expect(pod?.output).not.toContain('sesame')
  await pod?.stop()
  kubectl.close()
  await stage.close()
  await http.stop()
})

const restTo = (path: string, more: object = {}) => ({
  hubRef: { name: 'home' },
  topic: `${path}/#`,
  rest: { url: `http://127.0.0.1:${http.port}/${path}`, ...more },
  delivery: { backoff: { initial: '100ms', maximum: '500ms' } },
})

const statusOf = async (name: string): Promise<RouteStatus> => {
  const { status = {} } = await stage.space.get<{ metadata: object; status?: RouteStatus }>(ROUTES, name)
  return status
}

const arrived = (path: string, count: number) =>
  waitUntil(
    `${count} requests to ${path}`,
    () => http.seen.filter((one) => one.path === path).length >= count,
    {
      timeoutMs: 60_000,
    },
  )

it('a route says whether it is fine, by what its worker reports', async () => {
  const { space } = stage
  http.answer = ({ headers }, response) =>
    response.writeHead(headers.authorization === 'sesame-2' ? 204 : 503).end()
  const headers = [{ name: 'Authorization', secretKeyRef: { name: 'token' } }]
  await space.post(SECRETS, 'token', { stringData: { value: 'sesame-1' } })
  await space.post(ROUTES, 'out', { spec: restTo('out', { headers }) })
  // Known to the broker and its worker, with nothing to deliver.
  await vi.waitFor(async () => {
    await pod.mount()
    expect(findCondition((await statusOf('out')).conditions, 'Ready')).toMatchObject({ status: 'True' })
  }, waiting)
  await untilCondition(space, ROUTES, 'out', { type: 'SinkReachable', status: 'Unknown' })

  await lamp.publish('out/1', 'a', { qos: 1 })
  const down = { status: 'False', reason: 'DeliveryFailing' } as const
  const { message } = await untilCondition(space, ROUTES, 'out', { type: 'Ready', ...down })
  expect(message).toContain('HTTP_503')
  await untilCondition(space, ROUTES, 'out', { type: 'SinkReachable', ...down })
  await untilCondition(space, ROUTES, 'out', { type: 'Degraded', status: 'True' })
  // It is tried again by itself: not a matter for people.
  await untilCondition(space, ROUTES, 'out', { type: 'Reconciling', status: 'True' })
  await vi.waitFor(async () => {
    expect(await statusOf('out')).toMatchObject({ lag: 1, delivered: 0, lastError: { code: 'HTTP_503' } })
    expect(await kubectl.row('routes', 'out')).toMatchObject({
      hub: 'home',
      topic: 'out/#',
      ready: 'False',
      reason: 'DeliveryFailing',
      sink: 'False',
      lag: '1',
    })
  }, waiting)

  await space.merge(SECRETS, 'token', { stringData: { value: 'sesame-2' } })
  await vi.waitFor(async () => {
    await pod.mount()
    expect(await kubectl.row('routes', 'out')).toMatchObject({
      ready: 'True',
      sink: 'True',
      delivered: '1',
      lag: '0',
    })
  }, waiting)
  const { conditions } = await statusOf('out')
  expect(conditions?.map(({ type, status }) => `${type} ${status}`)).toEqual([
    'Ready True',
    'SinkReachable True',
    'Degraded False',
  ])
  expect(JSON.stringify(await statusOf('out'))).not.toContain('sesame')
})

it('routes come, change and go without touching the pods or the connections', async () => {
  const { space } = stage
  const before = await space.get(DEPLOYMENTS, 'hub-home')
  await space.post(ROUTES, 'stays', { spec: restTo('stays') })
  await untilCondition(space, ROUTES, 'stays', { type: 'Ready', status: 'True' })
  let published = 0
  const publish = async () => {
    await lamp.publish('stays/1', String(published), { qos: 1 })
    published += 1
  }
  await publish()
  await space.post(ROUTES, 'other', { spec: restTo('other') })
  await publish()
  await untilCondition(space, ROUTES, 'other', { type: 'Ready', status: 'True' })
  await space.merge(ROUTES, 'other', { spec: { topic: 'changed/#' } })
  await vi.waitFor(async () => {
    await publish()
    await lamp.publish('changed/1', 'x', { qos: 1 })
    expect(http.seen.some(({ path }) => path === '/other')).toBe(true)
  }, waiting)
  await space.delete(ROUTES, 'other')
  await vi.waitFor(async () => {
    await publish()
    expect(await space.list(ROUTES)).toHaveLength(1)
  }, waiting)
  await arrived('/stays', published)
  const bodies = http.seen.filter(({ path }) => path === '/stays').map(({ body }) => Number(body.toString()))
  expect(bodies).toEqual(Array.from({ length: published }, (_, n) => n))
  await lamp.ping()
  const after = await space.get(DEPLOYMENTS, 'hub-home')
  expect(after.metadata.generation).toBe(before.metadata.generation)
})
