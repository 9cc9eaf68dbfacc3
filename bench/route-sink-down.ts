/**
 * What a destination that is down costs its hub: `node bench/route-sink-down.ts [--seconds 60] [--base 20]
 * [--buffer 20000]`. The processes of a pod beside a real Redis, a route to an HTTP server, a publisher at QoS 1 with a
 * full window. The server is killed for `--seconds` after `--base` seconds of traffic, then comes back. Prints lines of
 * Markdown: the rate of acknowledged messages and the memory of each process, before and while it is down, and what
 * became of the messages.
 */
import { readFileSync } from 'node:fs'
import { setTimeout as delay } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { routeReportKey } from '../contract/redis-keys.ts'
import { decodeReport, type RouteReport } from '../contract/route-report.ts'
import { restSink } from '../sidecar/killed-sinks.fixture.ts'
import { Pod } from '../sidecar/pod.fixture.ts'
import type { MqttClient } from '../test-support/mqtt-client.ts'
import { waitUntil } from '../test-support/wait.ts'
import { probeHeap } from './live-heap.ts'

const { values } = parseArgs({
  options: {
    seconds: { type: 'string', default: '60' },
    base: { type: 'string', default: '20' },
    buffer: { type: 'string', default: '20000' },
  },
})
const [DOWN_S, BASE_S, BUFFER] = [values.seconds, values.base, values.buffer].map(Number) as [
  number,
  number,
  number,
]
const TOPICS = 20
/** Publishes that are not acknowledged yet. */
const WINDOW = 100
const PAYLOAD = 'x'.repeat(128)
const WARM_UP_MS = 5_000
const SLICE_MS = 1_000
/** After each of which the broker's heap is collected and looked at. */
const PARTS = 5

interface Phase {
  /** Messages acknowledged, second by second. */
  rates: number[]
  /** MiB at the end of each second. */
  memory: Record<'broker' | 'worker' | 'redis', number[]>
}

let acknowledged = 0
let isOver = false

async function load(lamp: MqttClient): Promise<void> {
  for (let n = 0; !isOver; n += WINDOW)
    await Promise.all(
      Array.from({ length: WINDOW }, async (_, at) => {
        await lamp.publish(`t/${at % TOPICS}`, `${n + at} ${PAYLOAD}`, { qos: 1 })
        acknowledged += 1
      }),
    )
}

const median = (numbers: readonly number[]) => numbers.toSorted((a, b) => a - b)[numbers.length >> 1] ?? 0

function residentMiB(pid: number | undefined): number {
  const kib = /^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]
  return Math.round(Number(kib) / 1024)
}

const sink = await restSink()
const [outcome] = sink.routes
if (outcome === undefined) throw new Error('the destination has no route')
const { spec } = outcome.route
const buffer = { messages: BUFFER, bytes: 268_435_456, overflow: 'DropOldest' as const }
const record = { ...outcome.route, spec: { ...spec, delivery: { ...spec.delivery, buffer } } }
const pod = await Pod.start({ lifeMs: 3_600_000 })
await pod.setRoutes([record])
const worker = await pod.startRoutes()

async function report(): Promise<RouteReport | undefined> {
  return decodeReport((await pod.redis.client().hget(routeReportKey(pod.state.hub.uid), record.id)) ?? '')
}

async function measure(seconds: number): Promise<Phase> {
  const phase: Phase = { rates: [], memory: { broker: [], worker: [], redis: [] } }
  for (let second = 0; second < seconds; second += 1) {
    const [before, start] = [acknowledged, performance.now()]
    await delay(SLICE_MS)
    phase.rates.push(((acknowledged - before) * 1000) / (performance.now() - start))
    phase.memory.broker.push(residentMiB(pod.broker?.child.pid))
    phase.memory.worker.push(residentMiB(worker.program.child.pid))
    phase.memory.redis.push(residentMiB(pod.redis.pid))
  }
  return phase
}

function joined(phases: readonly Phase[]): Phase {
  const all = (name: keyof Phase['memory']) => phases.flatMap(({ memory }) => memory[name])
  return {
    rates: phases.flatMap(({ rates }) => rates),
    memory: { broker: all('broker'), worker: all('worker'), redis: all('redis') },
  }
}

const loading = load(await pod.connect())
await delay(WARM_UP_MS)
const before = await measure(BASE_S)
await sink.kill()
if (pod.broker === undefined) throw new Error('the broker does not run')
const heaps = [await probeHeap(pod.broker), await probeHeap(worker.program)]
const live = async () => await Promise.all(heaps.map((heap) => heap.liveMiB()))
const lives = [await live()]
const parts: Phase[] = []
for (let part = 0; part < PARTS; part += 1) {
  parts.push(await measure(Math.floor(DOWN_S / PARTS)))
  lives.push(await live())
}
for (const heap of heaps) heap.close()
const during = joined(parts)
const worst = await report()
await sink.start()
isOver = true
await loading
const back = performance.now()
const last = await waitUntil(
  'the backlog is delivered',
  async () => {
    const now = await report()
    return now !== undefined && now.lag === 0 ? now : undefined
  },
  { timeoutMs: 900_000, intervalMs: 250 },
)
const drained = (performance.now() - back) / 1000

const third = Math.floor(during.rates.length / 3)
const row = (name: keyof Phase['memory']) => {
  const all = during.memory[name]
  return `| ${name}, MiB | ${median(before.memory[name])} | ${median(all.slice(third, 2 * third))} | ${median(all.slice(-third))} |`
}
const rate = (rates: readonly number[]) => Math.round(median(rates))
const print = (line: string) => process.stdout.write(`${line}\n`)
print(`| down for ${DOWN_S} s | before | middle third | last third |`)
print('| --- | ---: | ---: | ---: |')
const slices = [before.rates, during.rates.slice(third, 2 * third), during.rates.slice(-third)]
print(`| acknowledged a second (median) | ${slices.map(rate).join(' | ')} |`)
for (const name of ['broker', 'worker', 'redis'] as const) print(row(name))
print('')
for (const [at, name] of ['broker', 'worker'].entries()) {
  const figures = lives.map((mib) => mib[at]?.toFixed(1)).join(', ')
  print(`live heap of the ${name}, at the start and after each fifth, MiB: ${figures}`)
}
print(
  `throughput, all of the time down ÷ before: ${(median(during.rates) / median(before.rates)).toFixed(2)}`,
)
print(`messages acknowledged: ${acknowledged}; delivered ${last.delivered}, dropped ${last.dropped}`)
print(`bound of the buffer: ${BUFFER} messages, DropOldest`)
print(`waiting when it came back: ${worst?.lag}, delivered after ${drained.toFixed(1)} s`)
await pod.stop()
await sink.stop()
