import path from 'node:path'
import type { MqttClient } from 'mqtt'
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest'
import { DEVICES, HUBS, NETWORKS, ROUTES, SECRETS, type Secret } from '../../operator/api/resources.ts'
import type { KubeObject } from '../../operator/runtime/resource.ts'
import { installKinds } from './release.ts'
import { POD_MS, PODS, type Pod, Site } from './site.fixture.ts'
import { persistentClient, QUEUE_FOR_TRAFFIC, Traffic } from './traffic.ts'

/** The charts as they stood before, with the image of their commit: nothing has been released yet. */
const PREVIOUS = path.resolve(import.meta.dirname, '../fixtures')
const CRDS = '/apis/apiextensions.k8s.io/v1/customresourcedefinitions'
const hubRef = { name: 'home' }
const NAMES = ['sender', 'receiver', 'sleeper', 'keeper']

let site: Site
let traffic: Traffic

beforeAll(async () => {
  await installKinds(inject('kubeConfigFile'), path.join(PREVIOUS, 'hublet-crds-previous.tgz'))
  const image = inject('previousImage')
  const colon = image.lastIndexOf(':')
  const values = { image: { repository: image.slice(0, colon), tag: image.slice(colon + 1) } }
  site = await Site.install('upgrade', values, path.join(PREVIOUS, 'hublet-previous.tgz'))
  await site.apply('Hub', 'home', { limits: QUEUE_FOR_TRAFFIC })
  for (const name of NAMES) await site.apply('Device', name, { hubRef })
  await site.apply('Network', 'web', { hubRef, type: 'REST' })
  await site.apply('Route', 'out', { hubRef, topic: 'nothing/#', rest: { url: 'https://sink.invalid' } })
  await site.untilReady(HUBS, ['home'])
  await site.untilReady(DEVICES, NAMES)
  await site.untilReady(NETWORKS, ['web'])
})
afterAll(async () => {
  await traffic?.stop()
  await installKinds(inject('kubeConfigFile'))
  await site.close()
})

async function schemas(): Promise<string[]> {
  const { body } = await site.space.client.request<{ items: Array<KubeObject & { spec: object }> }>({
    method: 'GET',
    path: CRDS,
  })
  const ours = body.items.filter(({ metadata }) => metadata.name?.endsWith('.iot.hublet.dev'))
  return ours.map(({ metadata, spec }) => `${metadata.name} ${JSON.stringify(spec)}`).sort()
}

/** Objects by their uid, and all keys. */
async function kept(): Promise<string[]> {
  const objects: string[] = []
  for (const resource of [HUBS, DEVICES, NETWORKS, ROUTES])
    for (const { metadata } of await site.space.list<KubeObject>(resource))
      objects.push(`${resource.kind} ${metadata.name} ${metadata.uid}`)
  for (const { metadata, data } of await site.space.list<Secret>(SECRETS))
    if (/-(tls|ca|token|redis)$/.test(metadata.name ?? ''))
      objects.push(`Secret ${metadata.name} ${JSON.stringify(data)}`)
  return objects.sort()
}

/** Of operator, brokers and routes, each once. */
async function imagesOfHublet(): Promise<string[]> {
  const pods = await site.space.list<Pod>(PODS, {
    labelSelector: 'app.kubernetes.io/component in (operator, broker)',
  })
  const containers = pods.flatMap(({ spec }) => spec.containers as Array<{ image: string }>)
  return [...new Set(containers.map(({ image }) => image))]
}

const client = async (
  device: string,
  onMessage?: (topic: string, payload: Buffer) => void,
): Promise<MqttClient> =>
  persistentClient(site.host('hub-home'), await site.deviceFiles(device), device, onMessage)

describe('helm upgrade from the chart before, with its kinds, under traffic', () => {
  it('loses no object, key, session, retained message or acknowledged message', async () => {
    const sleeper = await client('sleeper')
    await sleeper.subscribeAsync('to/sleeper', { qos: 1 })
    await sleeper.endAsync()
    const keeper = await client('keeper')
    await keeper.publishAsync('kept/1', 'still here', { qos: 1, retain: true })
    await keeper.publishAsync('to/sleeper', 'good morning', { qos: 1 })
    await keeper.endAsync()
    const [sender, receiver] = [await site.deviceFiles('sender'), await site.deviceFiles('receiver')]
    traffic = await Traffic.start({ host: site.host('hub-home'), sender, receiver })
    const [before, oldSchemas, pod] = [await kept(), await schemas(), await site.untilBroker('home')]
    const oldImages = await imagesOfHublet()

    await installKinds(inject('kubeConfigFile'))
    await site.helm('upgrade')
    await site.untilBroker('home', [pod])
    await site.untilReady(HUBS, ['home'])
    await site.untilReady(DEVICES, NAMES)
    await traffic.untilFlowing()
    const report = await traffic.stop()
    console.info(`upgraded: ${JSON.stringify(report)}`)

    expect(await schemas()).not.toEqual(oldSchemas)
    expect(await kept()).toEqual(before)
    expect(report.sessionsLost).toEqual([])
    expect(report.lost).toEqual([])
    expect(oldImages).toEqual([inject('previousImage')])
    // A pod of before may still be on its way out.
    await expect.poll(imagesOfHublet, { timeout: POD_MS }).toEqual([inject('image')])
    const seen: string[] = []
    const again = await client('sleeper', (topic, payload) => seen.push(`${topic} ${payload}`))
    await again.subscribeAsync('kept/#', { qos: 1 })
    await expect
      .poll(() => [...seen].sort(), { timeout: 30_000 })
      .toEqual(['kept/1 still here', 'to/sleeper good morning'])
    await again.endAsync(true)
  })
})
