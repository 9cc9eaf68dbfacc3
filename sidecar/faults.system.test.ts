/**
 * docs/routes-faults.md, row by row, through the whole of a pod: a message that the broker acknowledged, its stream in
 * Redis, the route worker, a real destination, and what operator, subscribers and dead letters then tell.
 */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { RouteRecord } from '../contract/hub-state.ts'
import { routeReportKey } from '../contract/redis-keys.ts'
import { decodeReport, type RouteReport } from '../contract/route-report.ts'
import { routeFindings } from '../operator/reconcile/route-status.ts'
import { CONTROL_FILE, callControl } from '../routes/control/control-client.ts'
import type { DeadLetterEnvelope } from '../routes/dead-letters.ts'
import { route } from '../test-support/hub-state.ts'
import type { MqttClient } from '../test-support/mqtt-client.ts'
import { waitUntil } from '../test-support/wait.ts'
import { CASES, type FaultCase, type Made, RIGHT } from './fault-cases.fixture.ts'
import { FaultServers } from './fault-servers.fixture.ts'
import { Pod } from './pod.fixture.ts'

const SINKS = Object.keys(RIGHT)
const WAIT = { timeoutMs: 60_000, intervalMs: 200 }
/** All routes meet their faults at the same time: from the last message on, this is for all of them together. */
const OUTCOMES_MS = 75_000
const LAST_LOOK_MS = 1_000
const DELIVERY = { backoff: { initial: '500ms', maximum: '3s' }, maxAttempts: 1_000, partitions: 1 }

/** They cost so much that nothing else would be in time: each has a test with its sink, in routes/sinks. */
const ELSEWHERE = new Set(['a server that talks without end, in no protocol', 'rows without end'])

interface Row {
  fault: string
  sink: string
  becomes: string
  condition: string
  event: string
  code: string
}

const text = readFileSync(join(import.meta.dirname, '../docs/routes-faults.md'), 'utf8')
const plain = (cell: string) => cell.replaceAll('`', '')
const ROWS: Row[] = text
  .split('\n')
  .filter((line) => line.startsWith('| ') && !/^\| (fault|---)/.test(line))
  .flatMap((line) => {
    const [fault = '', sinks = '', becomes = '', condition = '', event = '', code = ''] = line
      .slice(2, -2)
      .split(' | ')
    const rest = { fault, becomes, condition: plain(condition), event: plain(event), code: plain(code) }
    if (ELSEWHERE.has(fault)) return []
    return (sinks === 'any' ? SINKS : sinks.split(', ')).map((sink) => ({ ...rest, sink }))
  })

interface Tried {
  row: Row
  made: FaultCase
  record: RouteRecord
  topic: string
}

const isHeld = ({ becomes }: Row) => becomes === 'all wait' || becomes === 'retried'

const servers = new FaultServers()
let pod: Pod
let lamp: MqttClient
let redis: ReturnType<Pod['redis']['client']> | undefined
let tried: Tried[]
let deadline = 0
/** Routes that were seen to give messages up: it is shown for a minute, and the last rows are looked at later. */
const gaveUp = new Set<string>()
const watching = new AbortController()

const recordOf = (name: string, { spec }: Made, id?: string) =>
  route({
    name,
    topic: `${name}/#`,
    spec: { ...spec, delivery: { ...DELIVERY, ...spec.delivery } },
    ...(id === undefined ? {} : { id }),
  })

const sentinel = () => recordOf('sentinel', RIGHT['REST']?.(servers) ?? { spec: {} })

async function setRoutes(made: readonly { record: RouteRecord; values: Made['values'] }[]): Promise<void> {
  const credentials = Object.fromEntries(made.map(({ record, values = {} }) => [record.id, values]))
  await pod.setRoutes([...made.map(({ record }) => record), sentinel()], credentials)
}

beforeAll(async () => {
  ;[pod] = await Promise.all([Pod.start({ lifeMs: 280_000 }), servers.start()])
  tried = ROWS.map((row, index) => {
    const name = `f${String(index).padStart(3, '0')}`
    const make = CASES[row.fault]?.[row.sink]
    if (make === undefined) throw new Error(`no case of ${row.fault} with ${row.sink}`)
    const made = make(servers)
    return { row, made, record: recordOf(name, made), topic: `${name}/${made.level ?? 'bad'}` }
  })
  const others = tried.filter(({ row }) => row.fault === 'a topic that makes no Kafka topic')
  for (const { record } of others) await servers.kafka.createTopic(`per.topic.${record.name}.good`)
  await setRoutes(tried.map(({ record, made }) => ({ record, values: made.values })))
  await pod.startRoutes()
  lamp = await pod.connect()
  await lamp.subscribe('$hub/events/+/route/#')
  await waitUntil(
    'the broker knows the routes',
    async () => {
      await lamp.publish('sentinel/1', 'x', { qos: 1 })
      return (await servers.arrivals('REST')).has('sentinel/1')
    },
    { timeoutMs: 60_000, intervalMs: 200 },
  )
  for (const { made, topic, record } of tried) {
    await lamp.publish(topic, made.payload ?? '1', { qos: 1 })
    await lamp.publish(`${record.name}/good`, made.good ?? '1', { qos: 1 })
  }
  deadline = performance.now() + OUTCOMES_MS
  void watchGivenUp()
}, 280_000)
afterAll(async () => {
  watching.abort()
  // Whatever went wrong: no process wrote a secret or a payload.
  expect(pod?.output ?? '').not.toMatch(/sesame|GOOD/)
  await Promise.all([pod?.stop(), servers.stop()])
})

const all = async (): Promise<Map<string, RouteReport>> => {
  redis ??= pod.redis.client()
  const found = await redis.hgetall(routeReportKey(pod.state.hub.uid))
  return new Map(
    Object.entries(found).flatMap(([id, report]) => {
      const decoded = decodeReport(report)
      return decoded === undefined ? [] : [[id, decoded] as const]
    }),
  )
}

const isGivingUp = (report: RouteReport) =>
  routeFindings(report).some(({ type, reason }) => type === 'Degraded' && reason === 'MessagesGivenUp')

async function watchGivenUp(): Promise<void> {
  while (!watching.signal.aborted) {
    for (const [id, report] of await all().catch(() => [])) if (isGivingUp(report)) gaveUp.add(id)
    await delay(500)
  }
}

const lettersOf = async ({ record }: Tried): Promise<DeadLetterEnvelope[]> => {
  const answer = await callControl(join(pod.folder, CONTROL_FILE), {
    call: 'list',
    route: record.name,
    limit: 10,
  })
  return 'letters' in answer ? answer.letters : []
}

const eventsOf = ({ record }: Tried) =>
  lamp.messages
    .filter(({ topic }) => topic.endsWith(`/route/${record.id}`))
    .map(({ text: body }) => JSON.parse(body) as { code: string; msg: string })

describe('a table of faults', () => {
  it('has a case here for every row, and a row for every case', () => {
    const cases = Object.entries(CASES).flatMap(([fault, sinks]) =>
      Object.keys(sinks).map((sink) => `${fault}: ${sink}`),
    )
    expect(ROWS.map(({ fault, sink }) => `${fault}: ${sink}`).toSorted()).toEqual(cases.toSorted())
  })
})

describe('a route', () => {
  it.each(ROWS.map((row, index) => [row.sink, row.fault, row.becomes, index] as const))(
    'to %s that meets %s: %s',
    async (_sink, _fault, _becomes, index) => {
      const one = tried[index] as Tried
      const { row, record } = one
      const [condition, reason] = row.condition.split(' ')
      const shown = async () => {
        const report = (await all()).get(record.id)
        if (report === undefined) return ['no report']
        return [
          ...routeFindings(report).map((finding) => `${finding.type} ${finding.reason}`),
          ...(gaveUp.has(record.id) ? ['Degraded MessagesGivenUp'] : []),
          `code ${report.lastError?.code ?? 'none'}`,
          ...(row.becomes === 'delivered' ? [`delivered ${report.delivered > 0 && report.lag === 0}`] : []),
          ...new Set(
            eventsOf(one)
              .filter(({ msg }) => msg.includes(row.code))
              .map(({ code }) => `event ${code}`),
          ),
        ]
      }
      const expected = [`${condition} ${reason}`]
      // Another error may have followed that of a message which was given up: event and dead letter have it still.
      if (row.becomes !== 'dead letter') expected.push(`code ${row.code}`)
      if (row.event !== 'none') expected.push(`event ${row.event}`)
      if (row.becomes === 'delivered') expected.push('delivered true')
      let last: string[] = []
      await waitUntil(
        'what the table says',
        async () => {
          last = await shown()
          return expected.every((fact) => last.includes(fact))
        },
        { timeoutMs: Math.max(LAST_LOOK_MS, deadline - performance.now()), intervalMs: 200 },
      ).catch(() => {})
      expect(last).toEqual(expect.arrayContaining(expected))
      if (row.event === 'none') expect(eventsOf(one)).toEqual([])
      await checkMessages(one)
    },
    100_000,
  )

  async function checkMessages(one: Tried): Promise<void> {
    const { row, made, topic, record } = one
    const payload = Buffer.from(made.payload ?? '1')
    const letters = await lettersOf(one)
    if (row.becomes !== 'dead letter') {
      expect(letters).toEqual([])
      if (!row.fault.startsWith('a payload of')) return
      const brought = await waitUntil(
        'the payload',
        async () => (await servers.arrivals(row.sink)).get(topic),
        WAIT,
      )
      return expect(brought.equals(payload)).toBe(true)
    }
    expect(letters).toMatchObject([{ topic, lastError: { code: row.code } }])
    expect(Buffer.from(letters[0]?.payloadBase64 ?? '', 'base64').equals(payload)).toBe(true)
    // The one beside it is not held up.
    await waitUntil('the other', async () => (await all()).get(record.id)?.delivered === 1, WAIT)
  }

  it('delivers all that waited once its fault is over, and says so', async () => {
    const held = tried.filter(({ row }) => isHeld(row))
    const cured = tried.map(({ row, record, made }) => {
      const right = isHeld(row) ? RIGHT[row.sink]?.(servers) : undefined
      if (right === undefined) return { record, values: made.values }
      return { record: recordOf(record.name, right, record.id), values: right.values }
    })
    await setRoutes(cured)
    const missing = async () => {
      const arrived = new Map(
        await Promise.all(SINKS.map(async (sink) => [sink, await servers.arrivals(sink)] as const)),
      )
      return held
        .filter(({ row, topic, record }) => {
          const topics = arrived.get(row.sink)
          return topics?.has(topic) !== true || !topics.has(`${record.name}/good`)
        })
        .map(({ row }) => `${row.fault}: ${row.sink}`)
    }
    let left: string[] = []
    await waitUntil(
      'every message',
      async () => {
        left = await missing()
        return left.length === 0
      },
      WAIT,
    ).catch(() => {})
    expect(left).toEqual([])
    const silent = () => held.filter((one) => !eventsOf(one).some(({ code }) => code === 'ROUTE_RECOVERED'))
    await waitUntil('events', () => silent().length === 0, WAIT).catch(() => {})
    expect(silent().map(({ row }) => `${row.fault}: ${row.sink}`)).toEqual([])
  }, 200_000)
})

describe('a message that no destination meets', () => {
  it.each([
    ['a topic that is no UTF-8', Buffer.from([0x30, 5, 0, 2, 0xc3, 0x28, 0x78]), 'INVALID_TOPIC'],
    ['a payload beyond the limit of the hub', Buffer.alloc(0), 'PAYLOAD_TOO_LARGE'],
  ])('%s is refused by the hub, and told', async (_, bytes, code) => {
    await lamp.subscribe('$hub/events/error/device/#')
    const other = await pod.connectOther()
    if (bytes.length > 0) other.sendBytes(bytes)
    else other.sendPublish('sentinel/large', Buffer.alloc(4 * 1024 * 1024 + 1), { qos: 0 })
    await lamp.waitForMessages(1, ({ text: body }) => body.includes(`"code":"${code}"`), 30_000)
    expect((await servers.arrivals('REST')).has('sentinel/large')).toBe(false)
    other.close()
  })
})
