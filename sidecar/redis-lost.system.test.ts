/** What a device was told is stored arrives, in the order of its topic, though Redis dies and hangs on the way. */
import { setTimeout as delay } from 'node:timers/promises'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { routesPrefix } from '../contract/redis-keys.ts'
import { HttpDestination } from '../routes/sinks/rest/http-destination.fixture.ts'
import { route } from '../test-support/hub-state.ts'
import type { MqttClient } from '../test-support/mqtt-client.ts'
import { waitUntil } from '../test-support/wait.ts'
import { LEASE_MS } from './lease.ts'
import { Pod } from './pod.fixture.ts'

const TOPICS = 4
/** Publishes that are not acknowledged yet. */
const WINDOW = 20
/** Messages that have to arrive before and after each blow. */
const FLOW = 200
/** Long enough for every connection to notice. */
const AWAY_MS = 1_500
const WAIT = { timeoutMs: 60_000 }

let pod: Pod
let http: HttpDestination

beforeEach(async () => {
  http = new HttpDestination()
  await http.start()
  pod = await Pod.start()
})
afterEach(async () => {
  await Promise.all([pod.stop(), http.stop()])
})

/** Sends numbered messages until told to stop; tells which of them were acknowledged. */
function flow(lamp: MqttClient): () => Promise<number[]> {
  let isOver = false
  const acknowledged: number[] = []
  const sending = (async () => {
    for (let sent = 0; !isOver; sent += WINDOW) {
      const numbers = Array.from({ length: WINDOW }, (_, n) => sent + n)
      const publish = async (n: number) => {
        await lamp.publish(`n/${n % TOPICS}`, String(n), { qos: 1 })
        acknowledged.push(n)
      }
      // While Redis is away there is no acknowledgement: such a message may arrive, and need not.
      await Promise.allSettled(numbers.map(publish))
    }
  })()
  return async () => {
    isOver = true
    await sending
    return acknowledged
  }
}

const arrived = () => http.seen.map(({ body }) => Number(body.toString())).filter((n) => n >= 0)

const more = async (what: string) => {
  const before = arrived().length
  await waitUntil(`messages arrive ${what}`, () => arrived().length >= before + FLOW, WAIT)
}

it('loses no acknowledged message and no order when Redis is killed, and when it hangs', async () => {
  const rest = {
    method: 'POST' as const,
    url: `http://127.0.0.1:${http.port}/`,
    headers: [],
    publishReply: false,
  }
  const record = route({
    name: 'out',
    topic: 'n/#',
    spec: { rest, delivery: { backoff: { initial: '50ms', maximum: '500ms' } } },
  })
  await pod.setRoutes([record])
  await pod.startRoutes()
  const lamp = await pod.connect()
  await waitUntil(
    'the broker knows the route',
    async () => {
      await lamp.publish('n/0', '-1', { qos: 1 })
      return http.seen.length > 0
    },
    WAIT,
  )
  const stop = flow(lamp)
  await more('before')

  await pod.redis.kill()
  await delay(AWAY_MS)
  await pod.redis.start()
  await more('after it was killed')

  // Longer than the lease: the worker must stop and take it anew.
  process.kill(pod.redis.pid ?? 0, 'SIGSTOP')
  await delay(LEASE_MS)
  process.kill(pod.redis.pid ?? 0, 'SIGCONT')
  await more('after it hung')

  const acknowledged = await stop()
  const left = async () =>
    await pod.redis.client().hget(`${routesPrefix(pod.state.hub.uid)}${record.id}:totals`, 'messages')
  await waitUntil('all is delivered', async () => (await left()) === '0', WAIT)
  const numbers = new Set(arrived())
  expect(acknowledged.filter((n) => !numbers.has(n))).toEqual([])
  for (let topic = 0; topic < TOPICS; topic += 1) {
    const firsts = [...numbers].filter((n) => n % TOPICS === topic)
    expect(firsts).toEqual(firsts.toSorted((a, b) => a - b))
  }
  // The link of the device is the one that it had.
  await lamp.ping()
})
