import { afterEach, beforeEach, expect, it, vi } from 'vitest'
import { DEVICES, HUBS } from './api/resources.ts'
import { type Conditioned, Stage, type TestOperator, untilReady } from './operator.fixture.ts'
import { findCondition } from './runtime/conditions.ts'

const DEVICE_COUNT = 1_000
const CREATORS = 8
let stage: Stage

beforeEach(async () => {
  stage = await Stage.create('scale')
})
afterEach(() => stage.close())

async function createDevices(): Promise<void> {
  const names = Array.from({ length: DEVICE_COUNT }, (_, n) => `d-${n}`)
  const create = async () => {
    for (let name = names.pop(); name !== undefined; name = names.pop())
      await stage.space.post(DEVICES, name, { spec: { hubRef: { name: 'home' } } })
  }
  await Promise.all(Array.from({ length: CREATORS }, create))
}

interface Sample {
  value: number
  labels: Partial<Record<string, string | number>>
}

async function samples({ registry }: TestOperator, name: string): Promise<Sample[]> {
  return (await registry.getSingleMetric(name)!.get()).values
}

/** Requests so far by method. Renewals of the lease are the only PUTs, watches are among the GETs. */
async function requests(operator: TestOperator): Promise<Record<string, number>> {
  const counts: Record<string, number> = {}
  for (const { labels, value } of await samples(operator, 'rest_client_requests_total')) {
    const method = String(labels['method'])
    counts[method] = (counts[method] ?? 0) + value
  }
  return counts
}

const runs = async (operator: TestOperator, controller: string): Promise<number> =>
  (await samples(operator, 'controller_runtime_reconcile_total'))
    .filter(({ labels }) => labels['controller'] === controller)
    .reduce((sum, { value }) => sum + value, 0)

/** Counts in the status of the hub are written a while after what they count. */
async function quiet(operator: TestOperator): Promise<void> {
  let last = -1
  await vi.waitFor(
    async () => {
      const { PATCH = 0 } = await requests(operator)
      const isQuiet = PATCH === last
      last = PATCH
      expect(isQuiet).toBe(true)
    },
    { timeout: 60_000, interval: 3_000 },
  )
}

const readyCount = async (): Promise<number> =>
  (await stage.space.list<Conditioned>(DEVICES)).filter(
    ({ status }) => findCondition(status?.conditions, 'Ready')?.status === 'True',
  ).length

it('a thousand devices cost four requests each and few runs of their hub; one edit costs one', async () => {
  await stage.space.post(HUBS, 'home', { spec: {} })
  await createDevices()
  const operator = stage.start()
  await vi.waitFor(async () => expect(await readyCount()).toBe(DEVICE_COUNT), {
    timeout: 110_000,
    interval: 1_000,
  })
  const total = await requests(operator)
  // Finalizer, Secret, status; and the look whether there is a Secret. The rest is the hub's.
  expect(total['PATCH']).toBeLessThan(3 * DEVICE_COUNT + 150)
  expect(total['GET']).toBeLessThan(DEVICE_COUNT + 150)
  expect(total['POST'] ?? 0).toBeLessThan(50)
  // Were each device published on its own, the work would grow with the square of their number.
  expect(await runs(operator, 'hubstate')).toBeLessThan(DEVICE_COUNT / 2)
  expect(await runs(operator, 'device')).toBeLessThan(6 * DEVICE_COUNT)
  await untilReady(stage.space, HUBS, ['home'])

  await quiet(operator)
  const before = await requests(operator)
  await stage.space.merge(DEVICES, 'd-7', { spec: { allowInsecure: true } })
  await untilReady(stage.space, DEVICES, ['d-7'])
  const after = await requests(operator)
  expect((await stage.state('home')).devices['d-7']?.allowInsecure).toBe(true)
  // Reads are not compared: the watches of a test are opened anew all the time.
  for (const method of ['POST', 'DELETE']) expect(after[method] ?? 0).toBe(before[method] ?? 0)
  expect((after['PATCH'] ?? 0) - (before['PATCH'] ?? 0)).toBe(1)
})
