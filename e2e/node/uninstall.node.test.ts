import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest'
import { DEPLOYMENTS, DEVICES, HUBS, NETWORKS, SECRETS, type Secret } from '../../operator/api/resources.ts'
import type { KubeObject } from '../../operator/runtime/resource.ts'
import { mosquittoPub } from '../../test-support/mosquitto.ts'
import { helm, installKinds, KINDS_RELEASE } from './release.ts'
import { Site } from './site.fixture.ts'

const CRDS = '/apis/apiextensions.k8s.io/v1/customresourcedefinitions'
const hubRef = { name: 'home' }

let site: Site
beforeAll(async () => {
  site = await Site.install('uninstall')
  await site.apply('Hub', 'home', {})
  await site.apply('Device', 'lamp', { hubRef })
  await site.apply('Network', 'web', { hubRef, type: 'REST' })
  await site.untilReady(HUBS, ['home'])
  await site.untilReady(DEVICES, ['lamp'])
  await site.untilReady(NETWORKS, ['web'])
})
afterAll(() => site.close())

const publish = async () => {
  const lamp = await site.deviceFiles('lamp')
  const message = { topic: 't', payload: 'x', qos: 1 } as const
  return await mosquittoPub({ host: site.host('hub-home'), port: 8883, ...lamp, ...message })
}

/** Whatever may change by itself is left out. */
async function everything(): Promise<string[]> {
  const objects: string[] = []
  for (const resource of [HUBS, DEVICES, NETWORKS, DEPLOYMENTS])
    for (const { metadata } of await site.space.list<KubeObject>(resource))
      if (metadata.name !== 'hublet') objects.push(`${resource.kind} ${metadata.name} ${metadata.uid}`)
  for (const { metadata, data } of await site.space.list<Secret>(SECRETS))
    if (!metadata.name?.startsWith('sh.helm.'))
      objects.push(`Secret ${metadata.name} ${JSON.stringify(data)}`)
  return objects.sort()
}

describe('helm uninstall', () => {
  it('of the operator leaves hubs, devices, keys and pods as they are, and hubs go on', async () => {
    const before = await everything()
    const pod = await site.untilBroker('home')
    await site.uninstall()
    expect(await everything()).toEqual(before)
    expect((await site.untilBroker('home')).metadata.uid).toBe(pod.metadata.uid)
    expect((await publish()).code).toBe(0)
  })

  it('leaves nothing of the operator itself', async () => {
    const left = await site.kubectl.run(
      ...['get', 'deployment,service,serviceaccount,role,rolebinding,networkpolicy,poddisruptionbudget'],
      ...['-l', 'app.kubernetes.io/component=operator', '-o', 'name'],
    )
    expect(left.trim()).toBe('')
    const roles = await site.kubectl.run('get', 'clusterroles', '-o', 'name')
    expect(roles).not.toContain(`hublet-${site.space.name}`)
  })

  it('of the kinds keeps the kinds, and with them every hub', async () => {
    const { release, namespace } = KINDS_RELEASE
    await helm(inject('kubeConfigFile'), ['uninstall', release, '--namespace', namespace])
    const { body } = await site.space.client.request<{ items: KubeObject[] }>({ method: 'GET', path: CRDS })
    const ours = body.items
      .map(({ metadata }) => metadata.name)
      .filter((name) => name?.endsWith('.iot.hublet.dev'))
    expect(ours).toHaveLength(4)
    expect(await site.space.list(HUBS)).toHaveLength(1)
  })

  it('is undone by another install, which takes all of it over again', async () => {
    const before = await everything()
    await installKinds(inject('kubeConfigFile'))
    await site.helm('install')
    await site.untilReady(HUBS, ['home'])
    await site.untilReady(DEVICES, ['lamp'])
    expect(await everything()).toEqual(before)
    await site.apply('Device', 'new', { hubRef })
    await site.untilReady(DEVICES, ['new'])
  })
})
