/** Routes that come, change and go in a pod with its streams in Redis, while messages flow. */
import { afterEach, beforeEach, expect, it } from 'vitest'
import type { RouteRecord } from '../contract/hub-state.ts'
import { HttpDestination } from '../routes/sinks/rest/http-destination.fixture.ts'
import { route } from '../test-support/hub-state.ts'
import type { MqttClient } from '../test-support/mqtt-client.ts'
import { waitUntil } from '../test-support/wait.ts'
import { Pod } from './pod.fixture.ts'

const TOPICS = 4
const CHANGES = 5
const WAIT = { timeoutMs: 60_000 }

let pod: Pod
let steady: HttpDestination
let other: HttpDestination

beforeEach(async () => {
  steady = new HttpDestination()
  other = new HttpDestination()
  await Promise.all([steady.start(), other.start()])
  pod = await Pod.start()
})
afterEach(async () => {
  await Promise.all([pod.stop(), steady.stop(), other.stop()])
})

function to({ port }: HttpDestination, name: string, header = ''): RouteRecord {
  const headers = header === '' ? [] : [{ name: 'X-Version', value: header }]
  const rest = { method: 'POST' as const, url: `http://127.0.0.1:${port}/`, headers, publishReply: false }
  return route({ name, topic: 'load/#', spec: { rest } })
}

/** Sends numbered messages, the topics in turn, until told to stop; tells how many the hub acknowledged. */
function flow(sender: MqttClient): () => Promise<number> {
  let isOver = false
  const sent = (async () => {
    let count = 0
    for (; !isOver; count += 1) await sender.publish(`load/${count % TOPICS}`, String(count), { qos: 1 })
    return count
  })()
  return () => {
    isOver = true
    return sent
  }
}

const bodies = ({ seen }: HttpDestination) => seen.map(({ body }) => Number(body.toString()))

it('takes, changes and lets go of routes without losing a link or a message of another', async () => {
  const kept = to(steady, 'steady')
  await pod.setRoutes([kept])
  await pod.startRoutes()
  const sender = await pod.connect()
  await waitUntil('the first message', async () => {
    await sender.publish('load/0', '-1', { qos: 1 })
    return steady.seen.length > 0
  })
  const stop = flow(sender)
  const added = to(other, 'other')
  for (let change = 1; change <= CHANGES; change += 1) {
    // The same route with another header each time, so that its runner is a new one.
    const changed = { ...to(other, 'other', String(change)), id: added.id }
    await pod.setRoutes([kept, changed])
    const hasCome = () => other.seen.at(-1)?.headers['x-version'] === String(change)
    await waitUntil(`change ${change}`, hasCome, WAIT)
  }
  // What still waits when a route goes is gone with it; everything before that is at its destination.
  const mark = Math.max(...bodies(steady))
  const upToMark = () => bodies(other).filter((number) => number <= mark)
  const first = Math.min(...bodies(other))
  await waitUntil('everything until then', () => upToMark().length === mark - first + 1, WAIT)
  await pod.setRoutes([kept])
  const before = steady.seen.length
  await waitUntil('more messages', () => steady.seen.length > before + 20, WAIT)
  const count = await stop()
  const all = () => bodies(steady).filter((number) => number >= 0)
  await waitUntil('everything at the steady route', () => all().length >= count, WAIT)
  expect(all().toSorted((a, b) => a - b)).toEqual(Array.from({ length: count }, (_, n) => n))
  // The changed route too: each message once, topic by topic in order.
  const got = bodies(other)
  expect(new Set(got).size).toBe(got.length)
  for (const numbers of [all(), got])
    for (let topic = 0; topic < TOPICS; topic += 1) {
      const ofTopic = numbers.filter((number) => number % TOPICS === topic)
      expect(ofTopic).toEqual(ofTopic.toSorted((a, b) => a - b))
    }
  await sender.ping()
})
