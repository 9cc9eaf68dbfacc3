import { setTimeout as delay } from 'node:timers/promises'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { DEVICES, HUBS, SECRETS } from '../../operator/api/resources.ts'
import { Stage, type TestOperator, untilReady } from '../../operator/operator.fixture.ts'
import { adminConfig } from '../../test-support/cluster.ts'
import { FaultProxy } from '../../test-support/fault-proxy.ts'

/** A stall as long as the issue asks for in the full run; in the quick one long enough for the watchdog. */
const STALL_MS = process.env['HUBLET_TEST_SCALE'] === 'full' ? 30_000 : 6_000
const DEVICE_COUNT = 24

let stage: Stage
let proxies: FaultProxy[]
beforeEach(async () => {
  stage = await Stage.create('trouble')
  proxies = [new FaultProxy(adminConfig()), new FaultProxy(adminConfig())]
})
afterEach(async () => {
  await stage.close()
  for (const proxy of proxies) await proxy.stop()
})

const isLeader = async ({ registry }: TestOperator): Promise<boolean> => {
  const metric = await registry.getSingleMetric('leader_election_master_status')?.get()
  return (metric?.values[0]?.value ?? 0) === 1
}

/** Every so many requests another fault; the lease is left alone, so that leadership moves when the test says so. */
function trouble(proxy: FaultProxy): void {
  let turn = 0
  proxy.rule = ({ url, watch }) => {
    if (url.pathname.includes('/leases/')) return undefined
    turn += 1
    if (turn % 12 === 0) return { kind: 'answer', status: 503 }
    if (turn % 15 === 0) return { kind: 'answer', status: 429, headers: { 'retry-after': '0' } }
    if (turn % 20 === 0) return { kind: 'cut' }
    if (watch && turn % 3 === 0) return { kind: 'rewrite', query: { resourceVersion: '1' } }
    return undefined
  }
}

const names = (from: number, to: number) => Array.from({ length: to - from }, (_, i) => `device-${from + i}`)

async function makeDevices(from: number, to: number): Promise<string[]> {
  const made = names(from, to)
  for (const name of made) await stage.space.post(DEVICES, name, { spec: { hubRef: { name: 'garden' } } })
  return made
}

describe('the operator on an API server in trouble', () => {
  it('converges through 503s, 429s, cut watches, stale versions and a stall, and hands over in the middle', async () => {
    const first = stage.start({ access: await proxies[0]!.start() })
    await expect.poll(() => isLeader(first), { timeout: 20_000 }).toBe(true)
    const second = stage.start({ access: await proxies[1]!.start() })
    for (const proxy of proxies) trouble(proxy)
    const cutter = setInterval(() => {
      for (const proxy of proxies) proxy.cutWatches()
    }, 900)
    await stage.space.post(HUBS, 'garden', { spec: {} })
    const early = await makeDevices(0, DEVICE_COUNT / 2)
    await untilReady(stage.space, DEVICES, early, 60_000)

    // The leader is cut off entirely: it must give up by itself, and the other take over.
    proxies[0]!.silence()
    const late = await makeDevices(DEVICE_COUNT / 2, DEVICE_COUNT)
    expect(await first.ended).toBe('leadership-lost')
    await untilReady(stage.space, DEVICES, [...early, ...late], 60_000)
    expect(await isLeader(second)).toBe(true)

    // Nothing comes through for a while; what happened meanwhile is done afterwards.
    clearInterval(cutter)
    proxies[1]!.rule = ({ url }) => (url.pathname.includes('/leases/') ? undefined : { kind: 'stall' })
    proxies[1]!.cutWatches()
    await stage.space.delete(DEVICES, 'device-0')
    const meanwhile = await makeDevices(DEVICE_COUNT, DEVICE_COUNT + 2)
    await delay(STALL_MS)
    proxies[1]!.rule = () => undefined
    await untilReady(stage.space, DEVICES, meanwhile, 60_000)
    await expect
      .poll(async () => (await stage.space.list(SECRETS)).map(({ metadata }) => metadata.name), {
        timeout: 30_000,
      })
      .not.toContain('device-device-0-tls')
    await expect
      .poll(async () => Object.keys((await stage.state('garden')).devices).length, { timeout: 30_000 })
      .toBe(DEVICE_COUNT + 1)
  })
})
