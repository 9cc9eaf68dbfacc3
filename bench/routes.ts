/**
 * What a route delivers a second, for each kind of destination: a real server on this machine, a backlog of messages
 * in memory, and the worker as it runs in a pod. Worker and server share the cores. Prints a table of medians.
 */
import { writeFileSync } from 'node:fs'
import { availableParallelism, cpus } from 'node:os'
import { parseArgs } from 'node:util'
import { MemoryRouteStream } from '../broker/store/memory-route-stream.ts'
import type { RouteRecord } from '../contract/hub-state.ts'
import { systemClock } from '../operator/runtime/clock.ts'
import { routeAppend } from '../routes/dead-letters.ts'
import { createRouteWorker } from '../routes/worker.ts'
import { ROUTE_TARGETS, type RouteTarget } from './route-targets.ts'
import { median, routesReport } from './routes-report.ts'

const USAGE = `node bench/routes.ts [--rounds 3] [--scale 1] [--targets ${ROUTE_TARGETS.map(({ name }) => name).join(',')}] [--out docs/…]`

const TOPICS = 1_000
const PAYLOAD_BYTES = 128
const TIMEOUT_MS = 300_000
const NETWORK = { allowLoopback: true, allowPrivate: true, denied: [] }

const { values: options } = parseArgs({
  options: {
    rounds: { type: 'string', default: '3' },
    /** Times as many messages. */
    scale: { type: 'string', default: '1' },
    targets: { type: 'string', default: ROUTE_TARGETS.map(({ name }) => name).join(',') },
    out: { type: 'string' },
  },
})

function pickTargets(): RouteTarget[] {
  return options.targets.split(',').map((name) => {
    const found = ROUTE_TARGETS.find((target) => target.name === name)
    if (found === undefined) throw new Error(`--targets: no target ${JSON.stringify(name)}\n${USAGE}`)
    return found
  })
}

/** Sensors with JSON readings, all messages of one size. */
function fill(stream: MemoryRouteStream, record: RouteRecord, messages: number): void {
  const into = [routeAppend(record)]
  for (let n = 0; n < messages; n += 1) {
    const body = JSON.stringify({ celsius: n / 100, note: '' })
    const payload = Buffer.from(
      JSON.stringify({ celsius: n / 100, note: 'x'.repeat(PAYLOAD_BYTES - body.length) }),
    )
    const message = { topic: `sensors/${n % TOPICS}/temperature`, payload, qos: 1, retain: false } as const
    const id = `0197a000-0000-7000-8000-${String(n).padStart(12, '0')}`
    stream.append(message, { into, id, time: Date.now() })
  }
}

interface Measured {
  rate: number
  /** Of this process, a message. */
  cpuUs: number
}

/** From a worker that starts to a stream that is empty: connections are made within. */
async function measure(
  record: RouteRecord,
  values: Record<string, string>,
  messages: number,
): Promise<Measured> {
  const stream = new MemoryRouteStream()
  stream.open()
  fill(stream, record, messages)
  const since = performance.now()
  const cpu = process.cpuUsage()
  const worker = createRouteWorker({
    stream,
    records: () => [record],
    credentials: () => ({ values }),
    publishReply: async () => {},
    onStatus: () => {},
    onFault: (_, error) => console.error(error),
    network: NETWORK,
    clock: systemClock,
    random: Math.random,
  })
  while ((await stream.backlog(record.id)).messages > 0) {
    if (performance.now() - since > TIMEOUT_MS)
      throw new Error(`not delivered in time: ${JSON.stringify(worker.snapshots())}`)
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
  const seconds = (performance.now() - since) / 1000
  const { user, system } = process.cpuUsage(cpu)
  const [report] = worker.snapshots()
  await worker.stop()
  stream.close()
  const { deadLetters } = await stream.backlog(record.id)
  if (deadLetters > 0) throw new Error(`${deadLetters} dead letters: ${JSON.stringify(report)}`)
  return { rate: messages / seconds, cpuUs: (user + system) / messages }
}

const rounds = Number(options.rounds)
const scale = Number(options.scale)
if (!(rounds > 0 && scale > 0)) throw new Error(USAGE)
const rows = []
for (const target of pickTargets()) {
  const messages = Math.ceil(target.messages * scale)
  const place = await target.start()
  try {
    const measured: Measured[] = []
    for (let round = 0; round < rounds; round += 1) {
      const one = await measure(place.record, place.values, messages)
      measured.push(one)
      await place.check(messages)
      console.error(
        `${target.title}, round ${round + 1}/${rounds}: ${Math.round(one.rate)} messages/s, ${one.cpuUs.toFixed(0)} µs`,
      )
    }
    rows.push({
      title: target.title,
      messages,
      rate: median(measured.map(({ rate }) => rate)),
      cpuUs: median(measured.map(({ cpuUs }) => cpuUs)),
      goal: target.goal,
    })
  } finally {
    await place.stop()
  }
}
const machine = `${availableParallelism()} × ${cpus()[0]?.model.trim() ?? 'CPU'}, Node ${process.versions.node}`
const report = routesReport(rows, { machine, rounds })
console.log(report)
if (options.out !== undefined) writeFileSync(options.out, report)
