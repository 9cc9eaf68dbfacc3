import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { DEVICES, HUBS, NETWORKS } from '../../operator/api/resources.ts'
import { runProgram } from '../../test-support/run-program.ts'
import { waitUntil, within } from '../../test-support/wait.ts'
import { type Pod, Site } from './site.fixture.ts'
import { persistentClient } from './traffic.ts'

/** Design §3: 2 s from when brokers can know; API server, operator and a busy node come on top. */
const CUT_MS = 20_000
const hubRef = { name: 'home' }

let site: Site
let before: Pod

beforeAll(async () => {
  site = await Site.install('changes')
  await site.apply('Hub', 'home', {})
  await site.apply('Device', 'lamp', { hubRef })
  await site.apply('Device', 'watch', { hubRef })
  await site.untilReady(HUBS, ['home'])
  await site.untilReady(DEVICES, ['lamp', 'watch'])
  before = await site.untilBroker('home')
})
afterAll(() => site.close())

const restarts = ({ status }: Pod): number =>
  [...(status?.containerStatuses ?? []), ...(status?.initContainerStatuses ?? [])].reduce(
    (sum, { restartCount }) => sum + restartCount,
    0,
  )

describe('a change takes effect without a restart of the pod', () => {
  it('of a device: revoked, it is cut off, and the others stay', async () => {
    const host = site.host('hub-home')
    const watch = await persistentClient(host, await site.deviceFiles('watch'), 'watch')
    const lamp = await persistentClient(host, await site.deviceFiles('lamp'), 'lamp')
    let cuts = 0
    watch.on('close', () => (cuts += 1))
    const cut = new Promise<void>((resolve) => lamp.once('close', () => resolve()))
    await site.space.merge(DEVICES, 'lamp', { spec: { revoked: true } })
    await within('the revoked device is cut off', CUT_MS, cut)
    expect(watch.connected).toBe(true)
    expect(cuts).toBe(0)
    await Promise.all([watch.endAsync(true), lamp.endAsync(true)])
  })

  it('of devices and networks: new ones are let in', async () => {
    await site.apply('Device', 'new', { hubRef })
    await site.apply('Network', 'web', { hubRef, type: 'REST', topicPrefix: 'web' })
    await site.untilReady(DEVICES, ['new'])
    await site.untilReady(NETWORKS, ['web'])
    const client = await persistentClient(site.host('hub-home'), await site.deviceFiles('new'), 'new')
    await client.endAsync(true)
    const cafile = site.file('server-ca.crt', await site.serverCa('home'))
    const token = await site.secret('network-web-token', 'token')
    const { stdout } = await runProgram('curl', [
      ...['-sS', '-w', '%{http_code}', '--cacert', cafile, '-H', `X-Secret: ${token}`],
      ...['-H', 'X-Topic: t', '-d', 'x', `https://${site.host('hub-home')}:8443/networks/web`],
    ])
    expect(stdout.toString()).toBe('204')
  })

  it('of the hub: switched off it lets in nobody, switched on it does', async () => {
    const host = site.host('hub-home')
    const watch = await persistentClient(host, await site.deviceFiles('watch'), 'watch')
    const cut = new Promise<void>((resolve) => watch.once('close', () => resolve()))
    await site.space.merge(HUBS, 'home', { spec: { enabled: false } })
    await within('everyone is cut off', CUT_MS, cut)
    await site.space.merge(HUBS, 'home', { spec: { enabled: true } })
    await waitUntil('it is let in again', () => watch.connected, { timeoutMs: CUT_MS })
    await watch.endAsync(true)
  })

  it('and the pod is the one that it was', async () => {
    const after = await site.untilBroker('home')
    expect(after.metadata.uid).toBe(before.metadata.uid)
    expect(restarts(after)).toBe(restarts(before))
    expect(restarts(after)).toBe(0)
  })
})
