import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest'
import { DEVICES, HUBS, ROUTES, SERVICES } from '../../operator/api/resources.ts'
import type { Conditioned } from '../../operator/operator.fixture.ts'
import { waitUntil } from '../../test-support/wait.ts'
import { PODS, RESTRICTED_POD, Site } from './site.fixture.ts'
import { persistentClient } from './traffic.ts'

const DELIVERED_MS = 60_000
const hubRef = { name: 'home' }
/** Answers every POST and prints what it brought. */
const SINK = `
  import { createServer } from 'node:http'
  createServer(async (request, response) => {
    let body = ''
    for await (const chunk of request) body += chunk
    console.log(request.headers['x-key'] + ' ' + body)
    response.end()
  }).listen(8000)
`

let site: Site
beforeAll(async () => {
  site = await Site.install('routes', { routesAllowPrivate: true })
  await startSink()
  await site.space.post(SERVICES, 'sink', {
    spec: { selector: { app: 'sink' }, ports: [{ port: 80, targetPort: 8000 }] },
  })
  await site.kubectl.run('create', 'secret', 'generic', 'sink-key', '--from-literal=value=k1')
  await site.apply('Hub', 'home', {})
  await site.apply('Device', 'lamp', { hubRef })
  await site.untilReady(HUBS, ['home'])
  await site.untilReady(DEVICES, ['lamp'])
  await site.untilOnePod('app=sink')
})
afterAll(() => site.close())

async function startSink(): Promise<void> {
  await site.space.post(PODS, 'sink', {
    metadata: { labels: { app: 'sink' } },
    spec: {
      ...RESTRICTED_POD.pod,
      containers: [
        {
          ...RESTRICTED_POD.container,
          name: 'sink',
          image: inject('image'),
          command: ['node', '--input-type=module', '-e', SINK],
        },
      ],
    },
  })
}

/** Ready, or said to wait for the first report on what it delivers. */
async function isKnown(): Promise<boolean> {
  const { status } = await site.space.get<Conditioned>(ROUTES, 'out')
  const ready = status?.conditions?.find(({ type }) => type === 'Ready')
  return ready?.status === 'True' || /brokers know/.test(ready?.message ?? '')
}

const received = async () => (await site.kubectl.run('logs', 'sink')).trim().split('\n')

describe('a route of an installed hub', () => {
  it('is made, delivers to a Service of the cluster with its credentials, and restarts nothing', async () => {
    const before = await site.untilBroker('home')
    const headers = [{ name: 'X-Key', secretKeyRef: { name: 'sink-key', key: 'value' } }]
    await site.apply('Route', 'out', {
      hubRef,
      topic: 'lamp/#',
      rest: { url: `http://${site.host('sink')}`, headers },
      // As it is, the next attempt could come minutes after the destination has.
      delivery: { backoff: { maximum: '5s' } },
    })
    await waitUntil('brokers know the route', isKnown, { timeoutMs: DELIVERED_MS, intervalMs: 100 })
    const lamp = await persistentClient(site.host('hub-home'), await site.deviceFiles('lamp'), 'lamp')
    for (const payload of ['one', 'two', 'three']) await lamp.publishAsync('lamp/on', payload, { qos: 1 })
    await lamp.publishAsync('elsewhere', 'four', { qos: 1 })
    await lamp.endAsync()
    await expect.poll(received, { timeout: DELIVERED_MS }).toEqual(['k1 one', 'k1 two', 'k1 three'])
    expect((await site.untilBroker('home')).metadata.uid).toBe(before.metadata.uid)
  })

  it('delivers after its pod was killed what the destination was not there for', async () => {
    const pod = await site.untilBroker('home')
    // Not by force: its container would run on for a moment, and take what nobody then sees.
    await site.kubectl.run('delete', 'pod', 'sink', '--grace-period=1')
    const lamp = await persistentClient(site.host('hub-home'), await site.deviceFiles('lamp'), 'lamp')
    for (const payload of ['five', 'six']) await lamp.publishAsync('lamp/on', payload, { qos: 1 })
    await lamp.endAsync()
    await site.kubectl.run('delete', 'pod', pod.metadata.name!, '--grace-period=0', '--force')
    await site.untilBroker('home', [pod])
    await startSink()
    await site.untilOnePod('app=sink')
    // At least once: a kill between delivery and its note repeats it.
    await expect
      .poll(async () => new Set(await received()), { timeout: DELIVERED_MS * 2 })
      .toEqual(new Set(['k1 five', 'k1 six']))
  })
})
