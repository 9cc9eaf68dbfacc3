import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { routeReportKey, routesPrefix } from '../contract/redis-keys.ts'
import { decodeReport, type RouteReport } from '../contract/route-report.ts'
import { HttpDestination } from '../routes/sinks/rest/http-destination.fixture.ts'
import { route } from '../test-support/hub-state.ts'
import { runProgram } from '../test-support/run-program.ts'
import { waitUntil } from '../test-support/wait.ts'
import { Pod } from './pod.fixture.ts'

const TAKEOVER_MS = 60_000

let pod: Pod
let http: HttpDestination

beforeEach(async () => {
  http = new HttpDestination()
  await http.start()
  pod = await Pod.start()
})
afterEach(async () => {
  // Whatever a test did: no process wrote a secret.
  expect(pod.output).not.toContain('sesame')
  await Promise.all([pod.stop(), http.stop()])
})

const toHttp = (name: string, topic: string, rest: object = {}, delivery: object = {}) =>
  route({
    name,
    topic,
    spec: {
      rest: {
        method: 'POST',
        url: `http://127.0.0.1:${http.port}/${name}`,
        headers: [],
        publishReply: true,
        ...rest,
      },
      delivery: { backoff: { initial: '50ms', maximum: '500ms' }, maxAttempts: 1000, ...delivery },
    },
  })

const arrived = (count: number) =>
  waitUntil(`${count} requests`, () => (http.seen.length >= count ? http.take() : undefined))

/** What the operator reads, once it is as `is` says. */
const reported = (routeId: string, is: (report: RouteReport) => boolean) =>
  waitUntil('the report', async () => {
    const text = await pod.redis.client().hget(routeReportKey(pod.state.hub.uid), routeId)
    const report = decodeReport(text ?? '')
    return report !== undefined && is(report) ? report : undefined
  })

describe('the route worker of a pod', () => {
  it('delivers what a device was told is stored, and brings the answer back into the hub', async () => {
    http.answer = (_, response) => response.writeHead(200, { 'X-Mqtt-Topic': 'answers' }).end('done')
    const record = toHttp('function', 'ask/#')
    await pod.setRoutes([record])
    const lamp = await pod.connect()
    await lamp.subscribe('answers')
    // There is no worker yet: what is acknowledged waits.
    await waitUntil('the route is known to the broker', async () => {
      await lamp.publish('ask/1', 'early', { qos: 1 })
      return (await pod.redis.client().exists(`${routesPrefix(pod.state.hub.uid)}ids`)) === 1
    })
    const worker = await pod.startRoutes()
    const early = await arrived(1)
    expect(early[0]).toMatchObject({ path: '/function', headers: { 'x-mqtt-topic': 'ask/1' } })
    expect(early[0]?.body.toString()).toBe('early')
    expect((await lamp.waitForMessages(1))[0]).toMatchObject({ topic: 'answers', text: 'done' })

    const report = await reported(record.id, ({ delivered, lag }) => delivered > 0 && lag === 0)
    expect(report).toMatchObject({ routeId: record.id, health: 'Ready', lag: 0, failed: 0 })
    const counted = /^hublet_route_delivered_total{route="function",[^}]*hub="garden"} [1-9]/m
    await waitUntil('the metric', async () => counted.test(await worker.metrics()))
  })

  it('tells the hub of a destination that fails, and follows a secret value that is exchanged', async () => {
    http.answer = ({ headers }, response) =>
      response.writeHead(headers.authorization === 'sesame-new' ? 204 : 401).end()
    const header = { name: 'Authorization', secretKeyRef: { name: 'x', key: 'y' } }
    const record = toHttp('guarded', 'data', { headers: [header] })
    const values = (value: string) => ({ [record.id]: { 'rest.headers[Authorization].secretKeyRef': value } })
    await pod.setRoutes([record], values('sesame-old'))
    await pod.startRoutes()
    const lamp = await pod.connect()
    expect(await lamp.subscribe(`$hub/events/+/route/${record.id}`)).toEqual([0])
    await lamp.publish('data', '1', { qos: 1 })
    const [failed] = await lamp.waitForMessages(1)
    expect(JSON.parse(failed?.text ?? '')).toMatchObject({
      code: 'ROUTE_DELIVERY_FAILED',
      'object-type': 'route',
      msg: expect.stringContaining('HTTP_401'),
    })
    await pod.setRoutes([record], values('sesame-new'))
    await waitUntil(
      'the new value',
      () => http.seen.find(({ headers }) => headers.authorization === 'sesame-new'),
      {
        timeoutMs: 30_000,
      },
    )
    const isOver = ({ text }: { text: string }) => text.includes('ROUTE_RECOVERED')
    const [over] = await lamp.waitForMessages(1, isOver)
    expect(over?.topic).toBe(`$hub/events/info/route/${record.id}`)
  })

  it('is one at a time, and the next one goes on when it dies or ends', async () => {
    const record = toHttp('one', 'n')
    await pod.setRoutes([record])
    const first = await pod.startRoutes()
    await first.said('this worker delivers')
    const second = await pod.startRoutes('pod-2')
    const lamp = await pod.connect()
    for (let n = 0; n < 20; n += 1) await lamp.publish('n', String(n), { qos: 1 })
    expect((await arrived(20)).map(({ body }) => Number(body.toString()))).toEqual(
      Array.from({ length: 20 }, (_, n) => n),
    )
    await first.kill()
    await lamp.publish('n', 'after', { qos: 1 })
    // What the dead one had delivered and not yet told the stream comes twice.
    const seen = () => http.seen.map(({ body }) => body.toString())
    await waitUntil('the other one', () => seen().at(-1) === 'after', { timeoutMs: TAKEOVER_MS })
    http.take()
    // One that ends in order hands over at once.
    const third = await pod.startRoutes('pod-3')
    expect((await second.program.stop('SIGTERM')).code).toBe(0)
    await third.said('this worker delivers')
    await lamp.publish('n', 'again', { qos: 1 })
    expect((await arrived(1))[0]?.body.toString()).toBe('again')
  })

  it('keeps the order when a worker that was stopped wakes up and another has gone on', async () => {
    http.answer = (_, response) => void setTimeout(() => response.writeHead(204).end(), 5)
    await pod.setRoutes([toHttp('ordered', 'n/+')])
    const first = await pod.startRoutes()
    await first.said('this worker delivers')
    const second = await pod.startRoutes('pod-2')
    const lamp = await pod.connect()
    let published = 0
    const publish = async (count: number) => {
      for (const end = published + count; published < end; published += 1)
        await lamp.publish(`n/${published % 2}`, String(published), { qos: 1 })
    }
    await publish(50)
    // More waits than it has delivered when it is stopped, in its memory too.
    http.answer = (_, response) => void setTimeout(() => response.writeHead(204).end(), 100)
    await publish(50)
    process.kill(first.program.child.pid ?? 0, 'SIGSTOP')
    await second.said('this worker delivers')
    http.answer = (_, response) => response.writeHead(204).end()
    await publish(50)
    const bodies = () => http.seen.map(({ body }) => Number(body.toString()))
    const hasGoneOn = () => bodies().includes(148) && bodies().includes(149)
    await waitUntil('the second goes on', hasGoneOn, { timeoutMs: TAKEOVER_MS })
    const before = http.seen.length
    process.kill(first.program.child.pid ?? 0, 'SIGCONT')
    await first.said('this worker does not deliver')
    await publish(50)
    await waitUntil('everything', () => new Set(bodies()).size === 200, { timeoutMs: TAKEOVER_MS })
    for (const topic of [0, 1]) {
      const order = [...new Set(bodies().filter((n) => n % 2 === topic))]
      expect(order).toEqual(order.toSorted((a, b) => a - b))
    }
    // The one that woke up sent nothing of what it still had in memory.
    expect(
      bodies()
        .slice(before)
        .filter((n) => n < 150),
    ).toEqual([])
  })

  it('tells in report, metric and event what a full buffer loses, and delivers what it kept', async () => {
    http.answer = (_, response) => response.writeHead(503).end()
    const record = toHttp(
      'small',
      'n',
      {},
      { buffer: { messages: 50, bytes: 1_000_000, overflow: 'DropOldest' } },
    )
    await pod.setRoutes([record])
    const worker = await pod.startRoutes()
    const lamp = await pod.connect()
    await lamp.subscribe(`$hub/events/warn/route/${record.id}`)
    const publish = (n: number) => lamp.publish('n', String(n), { qos: 1 })
    await publish(0)
    // A worker that has just come takes what was lost before it for history.
    await reported(record.id, ({ lag }) => lag === 1)
    await Promise.all(Array.from({ length: 199 }, (_, n) => publish(n + 1)))
    const report = await reported(record.id, ({ dropped }) => dropped === 150)
    expect(report).toMatchObject({
      health: 'BufferFull',
      lag: 50,
      isDown: true,
      lastError: { code: 'HTTP_503' },
    })
    const counted = /^hublet_route_dropped_total{route="small",[^}]*} 150/m
    await waitUntil('the metric', async () => counted.test(await worker.metrics()))
    const told = () =>
      lamp.messages
        .map(({ text }) => JSON.parse(text) as { code: string; msg: string })
        .filter(({ code }) => code === 'ROUTE_OVERFLOW')
        .reduce((sum, { msg }) => sum + Number(/\d+/.exec(msg)?.[0]), 0)
    await waitUntil('events of all that was lost', () => told() === 150)
    http.take()
    http.answer = (_, response) => response.writeHead(204).end()
    await reported(record.id, ({ lag }) => lag === 0)
    // What the worker had in its hands already comes as well.
    const numbers = http.seen.map(({ body }) => Number(body.toString()))
    expect(numbers.slice(-50)).toEqual(Array.from({ length: 50 }, (_, n) => 150 + n))
  })

  it('shows its dead letters to the command line in the same container, and takes them back from it', async () => {
    http.answer = (_, response) => response.writeHead(400).end()
    const record = toHttp('picky', 'n')
    await pod.setRoutes([record])
    await pod.startRoutes()
    const lamp = await pod.connect()
    await lamp.publish('n', 'unloved', { qos: 1 })
    await reported(record.id, ({ deadLettered }) => deadLettered === 1)
    // As `kubectl exec` runs it.
    const hublet = (...args: string[]) =>
      runProgram(process.execPath, ['cli/main.ts', ...args, '--data', pod.folder], { timeoutMs: 60_000 })
    const listed = await hublet('dlq', 'list', 'picky', '--json')
    expect(JSON.parse(listed.stdout.toString())).toMatchObject([
      { topic: 'n', lastError: { code: 'HTTP_400' } },
    ])
    const routes = await hublet('route', 'list', '--json')
    expect(JSON.parse(routes.stdout.toString())).toMatchObject([{ hub: 'garden', route: 'picky' }])
    http.answer = (_, response) => response.writeHead(204).end()
    http.take()
    expect((await hublet('dlq', 'replay', 'picky', '--all')).code).toBe(0)
    expect((await arrived(1))[0]?.body.toString()).toBe('unloved')
    expect(JSON.parse((await hublet('dlq', 'list', 'picky', '--json')).stdout.toString())).toEqual([])
  })

  it('removes what waited for a route that is gone', async () => {
    await http.stop()
    const record = toHttp('gone', 'n')
    await pod.setRoutes([record])
    await pod.startRoutes()
    const lamp = await pod.connect()
    const keys = async () => await pod.redis.client().keys(`${routesPrefix(pod.state.hub.uid)}${record.id}*`)
    await waitUntil('something waits', async () => {
      await lamp.publish('n', 'x', { qos: 1 })
      return (await keys()).length > 0
    })
    await pod.setRoutes([])
    await waitUntil('nothing is left', async () => (await keys()).length === 0)
    await waitUntil(
      'nor a report',
      async () => {
        const report = await pod.redis.client().hgetall(routeReportKey(pod.state.hub.uid))
        return Object.keys(report).length === 0
      },
      { timeoutMs: 30_000 },
    )
  })
})
