import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { DEVICES, HUBS, NETWORK_POLICIES } from '../../operator/api/resources.ts'
import type { KubeObject } from '../../operator/runtime/resource.ts'
import { mosquittoPub } from '../../test-support/mosquitto.ts'
import { Site } from './site.fixture.ts'
import { persistentClient } from './traffic.ts'

const NAMES = ['one', 'two'] as const

let sites: Site[]
beforeAll(async () => {
  sites = await Promise.all(NAMES.map((name) => Site.install(`isolation-${name}`)))
  for (const site of sites) {
    // The same names in both: nothing but the namespace tells them apart.
    await site.apply('Hub', 'home', {})
    await site.apply('Device', 'lamp', { hubRef: { name: 'home' } })
    await site.apply('Device', 'watch', { hubRef: { name: 'home' } })
  }
  for (const site of sites) {
    await site.untilReady(HUBS, ['home'])
    await site.untilReady(DEVICES, ['lamp', 'watch'])
  }
})
afterAll(async () => {
  for (const site of sites ?? []) await site.close()
})

describe('two hubs of the same name in two namespaces', () => {
  it('do not let in devices of each other', async () => {
    const [one, two] = sites as [Site, Site]
    const lamp = await one.deviceFiles('lamp')
    const cafile = two.file('server-ca.crt', await two.serverCa('home'))
    const message = { topic: 't', payload: 'x', qos: 1 } as const
    const own = await mosquittoPub({ host: one.host('hub-home'), port: 8883, ...lamp, ...message })
    expect(own.code).toBe(0)
    const foreign = { host: two.host('hub-home'), port: 8883, ...lamp, cafile, ...message }
    expect((await mosquittoPub(foreign)).code).not.toBe(0)
  })

  it('do not see messages of each other', async () => {
    const seen: string[][] = [[], []]
    const watches = await Promise.all(
      sites.map(async (site, index) => {
        const watch = await persistentClient(site.host('hub-home'), await site.deviceFiles('watch'), 'watch')
        watch.on('message', (topic) => seen[index]!.push(topic))
        await watch.subscribeAsync('#', { qos: 1 })
        return watch
      }),
    )
    for (const [index, site] of sites.entries()) {
      const lamp = await persistentClient(site.host('hub-home'), await site.deviceFiles('lamp'), 'lamp')
      await lamp.publishAsync(`from-${NAMES[index]}`, 'x', { qos: 1 })
      await lamp.endAsync()
    }
    await expect.poll(() => seen, { timeout: 30_000 }).toEqual([['from-one'], ['from-two']])
    for (const watch of watches) await watch.endAsync(true)
  })

  it('have operators that may not touch the namespace of the other', async () => {
    const [one, two] = sites as [Site, Site]
    const account = `system:serviceaccount:${one.space.name}:hublet`
    const may = (verb: string, what: string) =>
      two.kubectl.run('auth', 'can-i', verb, what, '--as', account).catch(() => 'no')
    for (const [verb, what] of [
      ['get', 'secrets'],
      ['list', 'hubs.iot.hublet.dev'],
      ['patch', 'deployments.apps'],
    ] as const)
      expect((await may(verb, what)).trim(), `${verb} ${what}`).toBe('no')
  })

  // The CNI of the node that `make cluster-up` makes enforces no policy, so they are read and not tried.
  it('have policies that let nobody but their own brokers and operator at their Redis', async () => {
    for (const site of sites) {
      const { spec } = await site.space.get<KubeObject & { spec: Policy }>(NETWORK_POLICIES, 'hub-home-redis')
      const namespaces = spec.ingress.flatMap(({ from }) =>
        from.map(
          ({ namespaceSelector }) => namespaceSelector?.matchLabels['kubernetes.io/metadata.name'] ?? 'own',
        ),
      )
      expect(namespaces.sort()).toEqual([site.space.name, 'own'].sort())
      expect(spec.policyTypes).toEqual(['Ingress', 'Egress'])
    }
  })
})

interface Policy {
  policyTypes: string[]
  ingress: Array<{ from: Array<{ namespaceSelector?: { matchLabels: Record<string, string> } }> }>
}
