import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { RouteRecord } from '../contract/hub-state.ts'
import type { RouteReport } from '../contract/route-report.ts'
import { systemClock } from '../operator/runtime/clock.ts'
import { route } from '../test-support/hub-state.ts'
import { waitUntil } from '../test-support/wait.ts'
import { MemoryRouteStream } from './run/memory-route-stream.fixture.ts'
import { HttpDestination } from './sinks/rest/http-destination.fixture.ts'
import { LOOPBACK_ALLOWED } from './sinks/sink.contract.ts'
import { createRouteWorker, type RouteWorker } from './worker.ts'

const destination = new HttpDestination()
beforeAll(async () => await destination.start())
afterAll(async () => await destination.stop())

const restRoute = (id: string, path: string, more: Parameters<typeof route>[0] = {}) => {
  const url = `http://127.0.0.1:${destination.port}${path}`
  const rest = { method: 'POST' as const, url, headers: [], publishReply: true }
  return route({ ...more, id, spec: { rest, ...more.spec } })
}

function setting(initial: RouteRecord[]) {
  const stream = new MemoryRouteStream()
  const statuses: RouteReport[] = []
  const replies: unknown[] = []
  const state = { records: initial, values: {} as Record<string, string> }
  const worker: RouteWorker = createRouteWorker({
    stream,
    records: () => state.records,
    credentials: () => ({ values: state.values }),
    publishReply: async (routeId, { topic, trail }) => {
      replies.push({ routeId, topic, trail })
    },
    onStatus: (snapshot) => statuses.push(snapshot),
    onFault: () => {},
    network: LOOPBACK_ALLOWED,
    clock: systemClock,
    random: () => 0.5,
  })
  const arrived = async (count: number) =>
    await waitUntil(`${count} requests`, () => destination.seen.length >= count && destination.take())
  return { stream, state, worker, statuses, replies, arrived, [Symbol.asyncDispose]: () => worker.stop() }
}

describe('a worker', () => {
  it('delivers every route to its own destination and publishes the answers', async () => {
    destination.answer = ({ path }, response) =>
      response.writeHead(200, path === '/b' ? { 'X-Mqtt-Topic': 'reply' } : {}).end('x')
    await using it = setting([restRoute('a', '/a'), restRoute('b', '/b')])
    for (const id of ['a', 'b']) it.stream.append(id, 4, { topic: `t/${id}` })
    const seen = await it.arrived(2)
    expect(seen.map(({ path, headers }) => [path, headers['x-mqtt-topic']]).toSorted()).toEqual([
      ['/a', 't/a'],
      ['/b', 't/b'],
    ])
    await waitUntil('the answer', () => it.replies.length > 0)
    expect(it.replies).toEqual([{ routeId: 'b', topic: 'reply', trail: ['b'] }])
    await waitUntil('a status', () => it.statuses.find(({ delivered, lag }) => delivered === 1 && lag === 0))
  })

  it('takes up new routes, changed ones and new secrets, and lets go of others, without a pause', async () => {
    destination.answer = (_, response) => response.writeHead(204).end()
    await using it = setting([restRoute('a', '/a')])
    it.stream.append('a', 4, { topic: 't' })
    await it.arrived(1)

    it.state.records = [restRoute('a', '/changed'), restRoute('b', '/b')]
    it.worker.refresh()
    for (const id of ['a', 'b']) it.stream.append(id, 4, { topic: 't' })
    expect((await it.arrived(2)).map(({ path }) => path).toSorted()).toEqual(['/b', '/changed'])

    const headers = [{ name: 'X-Token', secretKeyRef: { name: 's', key: 'value' } }]
    const url = `http://127.0.0.1:${destination.port}/secret`
    const rest = { method: 'POST' as const, url, headers, publishReply: false }
    it.state.records = [route({ id: 'a', spec: { rest } })]
    it.worker.refresh()
    it.stream.append('a', 4, { topic: 't' })
    const unable = await waitUntil('the failure', () =>
      it.worker.snapshots().find(({ lastError }) => lastError?.code === 'CREDENTIALS_MISSING'),
    )
    expect(unable).toMatchObject({ health: 'DeliveryFailing', delivered: 2 })
    expect(destination.take()).toEqual([])
    it.state.values = { 'rest.headers[X-Token].secretKeyRef': 'sesame' }
    it.worker.refresh()
    expect((await it.arrived(1))[0]?.headers['x-token']).toBe('sesame')
    expect(it.worker.snapshots().map(({ routeId, health }) => [routeId, health])).toEqual([['a', 'Ready']])
  })

  it('keeps what waits while a route is not enabled', async () => {
    destination.answer = (_, response) => response.writeHead(204).end()
    await using it = setting([restRoute('a', '/a', { enabled: false })])
    it.stream.append('a', 4, { topic: 't' })
    await new Promise((resolve) => setImmediate(resolve))
    expect([destination.take(), (await it.stream.backlog('a')).messages]).toEqual([[], 1])
    it.state.records = [restRoute('a', '/a')]
    it.worker.refresh()
    await it.arrived(1)
  })

  it('does not disturb a route whose record is equal', async () => {
    let open = 0
    destination.answer = (_, response) => {
      open += 1
      setTimeout(() => response.writeHead(204).end(), 100)
    }
    await using it = setting([restRoute('a', '/a')])
    it.stream.append('a', 4, { topic: 't' })
    await waitUntil('the request', () => open === 1)
    for (let n = 0; n < 10; n += 1) {
      it.state.records = [restRoute('a', '/a')]
      it.worker.refresh()
    }
    await waitUntil('the delivery', () => it.worker.snapshots()[0]?.delivered === 1)
    expect(open).toBe(1)
    destination.take()
  })

  it('says what is wrong with an expression', async () => {
    await using it = setting([restRoute('a', '/a', { spec: { filter: { expression: '1 +' } } })])
    await waitUntil('the failure', () => it.worker.snapshots()[0]?.lastError)
    expect(it.worker.snapshots()[0]).toMatchObject({
      health: 'DeliveryFailing',
      lastError: { code: 'EXPRESSION_INVALID', message: 'filter.expression: Unexpected token: EOF' },
    })
  })

  it('delivers only the partitions that it owns', async () => {
    destination.answer = (_, response) => response.writeHead(204).end()
    const stream = new MemoryRouteStream()
    const options = {
      stream,
      records: () => [restRoute('a', '/a')],
      credentials: () => undefined,
      publishReply: async () => {},
      onStatus: () => {},
      onFault: () => {},
      network: LOOPBACK_ALLOWED,
      clock: systemClock,
      random: Math.random,
    }
    const topics = Array.from({ length: 40 }, (_, n) => `t/${n}`)
    for (const topic of topics) stream.append('a', 4, { topic })
    const one = createRouteWorker({ ...options, partitions: () => [0, 1] })
    await waitUntil('half', async () => (await stream.backlog('a')).messages === 20 || undefined)
    const other = createRouteWorker({ ...options, partitions: () => [2, 3] })
    await waitUntil('all', async () => (await stream.backlog('a')).messages === 0)
    await Promise.all([one.stop(), other.stop()])
    expect(
      destination
        .take()
        .map(({ headers }) => headers['x-mqtt-topic'])
        .toSorted(),
    ).toEqual(topics.toSorted())
  })
})
