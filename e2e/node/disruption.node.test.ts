import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { DEVICES, HUBS } from '../../operator/api/resources.ts'
import { waitUntil } from '../../test-support/wait.ts'
import { POD_MS, type Pod, Site } from './site.fixture.ts'
import { QUEUE_FOR_TRAFFIC, Traffic } from './traffic.ts'

const REDIS = 'iot.hublet.dev/hub=home,app.kubernetes.io/component=redis'

let site: Site
let traffic: Traffic

beforeAll(async () => {
  site = await Site.install('disruption')
  await site.apply('Hub', 'home', {
    redis: { managed: { storageSize: '1Gi' } },
    limits: QUEUE_FOR_TRAFFIC,
  })
  for (const name of ['sender', 'receiver']) await site.apply('Device', name, { hubRef: { name: 'home' } })
  await site.untilReady(HUBS, ['home'])
  await site.untilReady(DEVICES, ['sender', 'receiver'])
})
afterAll(async () => {
  await uncordon()
  await site.close()
})

beforeEach(async () => {
  const [sender, receiver] = [await site.deviceFiles('sender'), await site.deviceFiles('receiver')]
  traffic = await Traffic.start({ host: site.host('hub-home'), sender, receiver })
})
afterEach(async () => {
  await traffic.stop()
})

async function nodeOf(pod: Pod): Promise<string> {
  return (await site.kubectl.run('get', 'pod', pod.metadata.name!, '-o', 'jsonpath={.spec.nodeName}')).trim()
}

async function uncordon(): Promise<void> {
  const names = (await site.kubectl.run('get', 'nodes', '-o', 'name')).trim().split('\n')
  for (const name of names) await site.kubectl.run('uncordon', name)
}

/** No message that was acknowledged is missing; how many came twice, and how long the pause was, is told. */
async function expectNothingLost(what: string): Promise<void> {
  await traffic.untilFlowing()
  const report = await traffic.stop()
  console.info(`${what}: ${JSON.stringify(report)}`)
  expect(report.acknowledged).toBeGreaterThan(50)
  expect(report.sessionsLost).toEqual([])
  expect(report.lost).toEqual([])
}

describe('persistent clients lose no acknowledged message of QoS 1', () => {
  it('while the broker pod is deleted', async () => {
    const pod = await site.untilBroker('home')
    await site.kubectl.run('delete', 'pod', pod.metadata.name!, '--wait=false')
    await site.untilBroker('home', [pod])
    await expectNothingLost('broker pod deleted')
  })

  it('while the broker pod is killed without a warning', async () => {
    const pod = await site.untilBroker('home')
    await site.kubectl.run('delete', 'pod', pod.metadata.name!, '--grace-period=0', '--force')
    await site.untilBroker('home', [pod])
    await expectNothingLost('broker pod killed')
  })

  it.each([
    ['deleted', ['--wait=false']],
    ['killed without a warning', ['--grace-period=0', '--force']],
  ])('while the pod of managed Redis is %s', async (what, how) => {
    const pod = await site.untilOnePod(REDIS)
    await site.kubectl.run('delete', 'pod', pod.metadata.name!, ...how)
    await site.untilOnePod(REDIS, [pod])
    await expectNothingLost(`Redis pod ${what}`)
  })

  it('while the Deployment is rolled out anew, without a moment of no ready pod', async () => {
    const pod = await site.untilBroker('home')
    const hub = { spec: { pod: { annotations: { 'example.com/rollout': String(Date.now()) } } } }
    await site.space.merge(HUBS, 'home', hub)
    await site.untilBroker('home', [pod])
    await site.untilReady(HUBS, ['home'])
    await expectNothingLost('rolled out')
  })

  it('while the node is drained and comes back', async () => {
    const pod = await site.untilBroker('home')
    const node = await nodeOf(pod)
    const selector = `iot.hublet.dev/hub=home`
    // The disruption budget lets the only pod go: a node can always be drained.
    await site.kubectl.run(
      ...['drain', node, '--pod-selector', selector, '--ignore-daemonsets', '--delete-emptydir-data'],
      '--timeout=80s',
    )
    await waitUntil(
      'the pods wait for a node',
      async () => {
        const pods = await site.pods(selector)
        return pods.length > 0 && pods.every(({ status }) => status?.phase === 'Pending')
      },
      { timeoutMs: POD_MS, intervalMs: 250 },
    )
    await uncordon()
    await site.untilBroker('home', [pod])
    await expectNothingLost('node drained')
  })
})
