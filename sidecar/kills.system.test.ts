/** At least once and in order, whatever is killed: the worker of a pod and destinations of four kinds, by kill -9. */
import { setTimeout as delay } from 'node:timers/promises'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { routesPrefix } from '../contract/redis-keys.ts'
import type { MqttClient } from '../test-support/mqtt-client.ts'
import { Random } from '../test-support/random.ts'
import { waitUntil } from '../test-support/wait.ts'
import {
  type Arrived,
  type KilledSink,
  mariadbSink,
  postgresqlSink,
  restSink,
  s3Sink,
} from './killed-sinks.fixture.ts'
import { Pod, type RoutesUnderTest } from './pod.fixture.ts'

const SEED = 20_261_128
const IS_FULL = process.env['HUBLET_TEST_SCALE'] === 'full'
const [KILLS, MESSAGES] = IS_FULL ? [100, 100_000] : [6, 3_000]
const TOPICS = 20
/** Publishes that are not acknowledged yet. */
const WINDOW = 50
const LIFE_MS = IS_FULL ? 1_800_000 : 240_000

let pod: Pod
let sinks: KilledSink[]

beforeAll(async () => {
  sinks = await Promise.all([postgresqlSink(), mariadbSink(), restSink(), s3Sink()])
  pod = await Pod.start({ lifeMs: LIFE_MS })
})
afterAll(async () => {
  await Promise.all([pod?.stop(), ...(sinks ?? []).map((sink) => sink.stop())])
})

/** Numbers from `first` on, each acknowledged by the hub before this resolves. */
async function publish(lamp: MqttClient, first: number, count: number): Promise<void> {
  for (let at = first; at < first + count; at += WINDOW)
    await Promise.all(
      Array.from({ length: Math.min(WINDOW, first + count - at) }, (_, n) =>
        lamp.publish(`t/${(at + n) % TOPICS}`, String(at + n), { qos: 1 }),
      ),
    )
}

/** What came first of each message, by topic. */
function firsts(run: readonly Arrived[]): Map<string, number[]> {
  const topics = Map.groupBy(run, ({ topic }) => topic)
  return new Map([...topics].map(([topic, all]) => [topic, [...new Set(all.map(({ number }) => number))]]))
}

async function killAndStart(sink: KilledSink | undefined, worker: RoutesUnderTest): Promise<RoutesUnderTest> {
  if (sink === undefined) {
    await worker.kill()
    return await pod.startRoutes()
  }
  await sink.kill()
  await sink.start()
  return worker
}

const outcomes = () => sinks.flatMap(({ routes }) => routes)

async function untilAllIsDelivered(): Promise<void> {
  const keys = outcomes().map(({ route: { id } }) => `${routesPrefix(pod.state.hub.uid)}${id}:totals`)
  await waitUntil(
    'all is delivered',
    async () => {
      const left = await Promise.all(keys.map((key) => pod.redis.client().hget(key, 'messages')))
      return left.every((count) => count === '0')
    },
    { timeoutMs: IS_FULL ? 600_000 : 60_000, intervalMs: 200 },
  )
}

it(
  'stores what a device was told is stored at least once, in the order of its topic, and once by message id',
  async () => {
    const random = new Random(SEED)
    const routes = outcomes().map((outcome) => outcome.route)
    await pod.setRoutes(routes, Object.assign({}, ...sinks.map(({ credentials }) => credentials)))
    let worker = await pod.startRoutes()
    const lamp = await pod.connect()
    await waitUntil('the broker knows the routes', async () => {
      await lamp.publish('t/probe', '-1', { qos: 1 })
      return (await pod.redis.client().scard(`${routesPrefix(pod.state.hub.uid)}ids`)) === routes.length
    })
    const chunk = MESSAGES / KILLS
    // The worker every second time, the destinations in turn.
    for (let kill = 0; kill < KILLS; kill += 1) {
      const publishing = publish(lamp, kill * chunk, chunk)
      await delay(random.next() * 400)
      const sink = kill % 2 === 0 ? undefined : sinks[((kill - 1) / 2) % sinks.length]
      worker = await killAndStart(sink, worker)
      await publishing
    }
    await untilAllIsDelivered()
    for (const outcome of outcomes()) {
      const runs = (await outcome.runs()).map((run) => run.filter(({ number }) => number >= 0))
      const all = runs.flat().map(({ number }) => number)
      const { name } = outcome.route
      expect(new Set(all).size, `messages that ${name} has`).toBe(MESSAGES)
      for (const numbers of runs.flatMap((run) => [...firsts(run).values()]))
        expect(numbers, `the order of ${name}`).toEqual(numbers.toSorted((a, b) => a - b))
      if (name.endsWith('keyed')) expect(all, name).toHaveLength(MESSAGES)
      // The size of the window that a kill may repeat, for docs/routes-delivery.md.
      if (IS_FULL) process.stdout.write(`${name}: ${all.length - MESSAGES} repeated of ${MESSAGES}\n`)
    }
  },
  LIFE_MS,
)
