import { setTimeout as delay } from 'node:timers/promises'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { DEVICES, HUBS, SECRETS } from '../../operator/api/resources.ts'
import { Stage, untilReady } from '../../operator/operator.fixture.ts'
import { adminConfig } from '../../test-support/cluster.ts'
import { FaultProxy } from '../../test-support/fault-proxy.ts'

/** As long as promised in the full run; in the quick one longer than the watchdog waits. */
const STALL_MS = process.env['HUBLET_TEST_SCALE'] === 'full' ? 30_000 : 7_000

let stage: Stage
let proxy: FaultProxy
beforeEach(async () => {
  stage = await Stage.create('stall')
  proxy = new FaultProxy(adminConfig())
})
afterEach(async () => {
  await stage.close()
  await proxy.stop()
})

const makeDevice = (name: string) => stage.space.post(DEVICES, name, { spec: { hubRef: { name: 'garden' } } })

it('requests and watches that hang for a while delay the work and lose none of it', async () => {
  stage.start({ access: await proxy.start() })
  await stage.space.post(HUBS, 'garden', { spec: {} })
  for (const name of ['lamp', 'fan']) await makeDevice(name)
  await untilReady(stage.space, DEVICES, ['lamp', 'fan'])

  // The lease still gets through: an operator that can renew it must not be replaced, it must recover.
  proxy.rule = ({ url }) => (url.pathname.includes('/leases/') ? undefined : { kind: 'stall' })
  proxy.cutWatches()
  await stage.space.delete(DEVICES, 'lamp')
  await makeDevice('pump')
  await delay(STALL_MS)
  proxy.rule = () => undefined

  await untilReady(stage.space, DEVICES, ['fan', 'pump'], 60_000)
  const secrets = async () => (await stage.space.list(SECRETS)).map(({ metadata }) => metadata.name)
  await expect.poll(secrets, { timeout: 60_000 }).not.toContain('device-lamp-tls')
  const known = async () => Object.keys((await stage.state('garden')).devices).sort()
  await expect.poll(known, { timeout: 60_000 }).toEqual(['fan', 'pump'])
})
