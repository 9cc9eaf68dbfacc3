/** Routes that come, change and go in a running `hublet dev`, while messages flow. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { HttpDestination } from '../routes/sinks/rest/http-destination.fixture.ts'
import type { MqttClient } from '../test-support/mqtt-client.ts'
import { waitUntil } from '../test-support/wait.ts'
import { secretYaml, yaml } from './dev/manifests.fixture.ts'
import { DevProcess, Workspace } from './dev-process.fixture.ts'

let workspace: Workspace
let dev: DevProcess
let steady: HttpDestination
let other: HttpDestination
let sender: MqttClient
let listener: MqttClient

const routeYaml = (name: string, { port }: HttpDestination, fields = '', rest = '') =>
  yaml(
    'Route',
    name,
    `{ hubRef: { name: garden }, topic: 'load/#', rest: { url: 'http://127.0.0.1:${port}/'${rest} }${fields} }`,
  )

const TOKEN = ', headers: [{ name: Authorization, secretKeyRef: { name: other, key: token } }]'

beforeEach(async () => {
  steady = new HttpDestination()
  other = new HttpDestination()
  await Promise.all([steady.start(), other.start()])
  workspace = await Workspace.make()
  workspace.write('steady.yaml', routeYaml('steady', steady))
  dev = await DevProcess.start(workspace)
  sender = await dev.connectById('dashboard')
  listener = await dev.connectByCertificate('thermometer')
  await listener.subscribe('load/#')
})
afterEach(async () => {
  expect(await dev.stop()).toBe(0)
  await Promise.all([steady.stop(), other.stop()])
})

/** Sends numbered messages, four topics in turn, until told to stop; tells how many the hub acknowledged. */
function flow(): () => Promise<number> {
  let isOver = false
  const sent = (async () => {
    let count = 0
    for (; !isOver; count += 1) await sender.publish(`load/${count % 4}`, String(count), { qos: 1 })
    return count
  })()
  return () => {
    isOver = true
    return sent
  }
}

const bodies = ({ seen }: HttpDestination) => seen.map(({ body }) => Number(body.toString()))
const arrived = async (destination: HttpDestination, from: number) =>
  await waitUntil('more messages', () => (destination.seen.length > from ? true : undefined))

/** Every number once and, within each of the four topics, in order. */
function expectAllInOrder(numbers: readonly number[], count: number): void {
  expect(numbers.toSorted((a, b) => a - b)).toEqual(Array.from({ length: count }, (_, n) => n))
  for (let topic = 0; topic < 4; topic += 1) {
    const ofTopic = numbers.filter((number) => number % 4 === topic)
    expect(ofTopic).toEqual(ofTopic.toSorted((a, b) => a - b))
  }
}

describe('routes under load', () => {
  it('come, change and go without a link or a message of another route being lost', async () => {
    const stop = flow()
    await arrived(steady, 50)
    workspace.write('other.yaml', routeYaml('other', other))
    await arrived(other, 50)
    // A change of one route: another header, another concurrency.
    workspace.write(
      'other.yaml',
      routeYaml('other', other, ', delivery: { concurrency: 2 }', ', headers: [{ name: X-New, value: "1" }]'),
    )
    await waitUntil('the new header', () => (other.seen.at(-1)?.headers['x-new'] === '1' ? true : undefined))
    workspace.remove('other.yaml')
    await dev.waitForLog(
      /manifests applied: routes\b[\s\S]*manifests applied: routes\b[\s\S]*manifests applied: routes\b/,
    )
    await arrived(steady, steady.seen.length + 50)
    const count = await stop()
    await waitUntil('all at the steady route', () => (steady.seen.length >= count ? true : undefined))
    expectAllInOrder(bodies(steady), count)
    // From the moment it was there until it was gone, the other one got everything too.
    const got = bodies(other)
    const first = Math.min(...got)
    expect(new Set(got).size).toBe(got.length)
    expect(got.toSorted((a, b) => a - b)).toEqual(Array.from(got, (_, n) => first + n))
    expect((await listener.waitForMessages(count)).length).toBe(count)
    expect(sender.isClosed || listener.isClosed).toBe(false)
  })

  it('follow their Secrets within seconds, and nothing is lost meanwhile', async () => {
    other.answer = ({ headers }, response) =>
      response.writeHead(headers.authorization === 'new' ? 204 : 401).end()
    workspace.write('secret.yaml', secretYaml('other', { token: 'old' }))
    workspace.write(
      'other.yaml',
      routeYaml(
        'other',
        other,
        ', delivery: { backoff: { initial: 100ms, maximum: 1s }, maxAttempts: 1000 }',
        TOKEN,
      ),
    )
    await dev.waitForLog(/manifests applied: routes/)
    await sender.publish('load/0', '0', { qos: 1 })
    await dev.waitForLog(/delivery failed, it will be tried again: HTTP_401/)
    workspace.write('secret.yaml', secretYaml('other', { token: 'new' }))
    await waitUntil('the message with the new token', () =>
      other.seen.find(({ headers }) => headers.authorization === 'new'),
    )
    await dev.waitForLog(/messages of the route are delivered again/)
    expect(dev.log).not.toMatch(/"(old|new)"/)
  })

  it('wait for a destination over a restart, and go with their manifest', async () => {
    await other.stop()
    workspace.write(
      'other.yaml',
      routeYaml(
        'other',
        other,
        ', delivery: { backoff: { initial: 100ms, maximum: 500ms }, maxAttempts: 1000 }',
      ),
    )
    await dev.waitForLog(/manifests applied: routes/)
    for (let n = 0; n < 20; n += 1) await sender.publish(`load/${n % 4}`, String(n), { qos: 1 })
    await dev.waitForLog(/delivery failed, it will be tried again/)
    expect(await dev.stop()).toBe(0)
    dev = await DevProcess.start(workspace)
    sender = await dev.connectById('dashboard')
    const lag = async () => {
      const port = /Metrics on http:\/\/localhost:(\d+)/.exec(dev.stdout)?.[1]
      const text = await (await fetch(`http://127.0.0.1:${port}/metrics`)).text()
      return Number(/^hublet_route_lag_messages{route="other",[^}]*} (\S+)$/m.exec(text)?.[1])
    }
    await waitUntil('the backlog', async () => ((await lag()) === 20 ? true : undefined))
    workspace.remove('other.yaml')
    await dev.waitForLog(/manifests applied: routes/)
    workspace.write('other.yaml', routeYaml('other', other))
    await waitUntil('the route is there anew, and empty', async () =>
      (await lag()) === 0 ? true : undefined,
    )
  })
})
