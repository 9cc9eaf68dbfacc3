/**
 * The load of one measurement, a process of its own: opens the links of a scenario, keeps every publisher's
 * window full, counts what arrives and prints one line of JSON (`Measured`). Publishers and subscribers share
 * this process and so one clock: latency needs no synchronisation.
 */
import { setTimeout as delay } from 'node:timers/promises'
import { BenchConnection, type FrameHandlers } from './bench-connection.ts'
import { type PublishTemplate, publishTemplate, type QoS, SENT_AT, SENT_BY } from './frames.ts'
import { clientId, type Measured, PAYLOAD_BYTES, type Scenario } from './scenario.ts'

export interface GeneratorJob {
  port: number
  scenario: Scenario
  warmUpSeconds: number
  seconds: number
}

/** One message in so many carries its time. */
const SAMPLE_EVERY = 16
const MAX_SAMPLES = 2_000_000
const STALL_MS = 5_000

let delivered = 0
let samples: number[] = []
const connections: BenchConnection[] = []
/** Publishers for which something arrived in this read, each once. */
let dirty: Publisher[] = []

class Publisher {
  connection!: BenchConnection
  readonly index: number
  readonly copies: number
  readonly qos: QoS
  readonly window: number
  arrived = 0
  #sent = 0
  #done = 0
  #nextId = 1
  #dirty = false
  readonly #template: PublishTemplate

  /** `copies`: how many subscribers get each message. */
  constructor(index: number, topic: string, copies: number, { qos, window }: Scenario) {
    this.index = index
    this.copies = copies
    this.qos = qos
    this.window = window
    this.#template = publishTemplate(topic, qos, PAYLOAD_BYTES)
    this.#template.bytes.writeUInt16BE(index, this.#template.payloadAt + SENT_BY)
  }

  markDirty(): void {
    if (this.#dirty) return
    this.#dirty = true
    dirty.push(this)
  }

  done = (): void => {
    this.#done++
    this.markDirty()
  }

  /** Fills the window, all in one write. A message is under way until acknowledged and delivered everywhere. */
  pump(): void {
    this.#dirty = false
    const through = Math.floor(this.arrived / this.copies)
    const finished = this.qos === 0 ? through : Math.min(through, this.#done)
    const room = this.window - (this.#sent - finished)
    if (room <= 0) return
    const { bytes } = this.#template
    const batch = Buffer.allocUnsafe(room * bytes.length)
    for (let i = 0; i < room; i++) this.#write(batch, i * bytes.length)
    this.connection.write(batch)
  }

  #write(batch: Buffer, at: number): void {
    const { bytes, idAt, payloadAt } = this.#template
    bytes.copy(batch, at)
    if (this.qos > 0) {
      batch.writeUInt16BE(this.#nextId, at + idAt)
      this.#nextId = this.#nextId === 65_535 ? 1 : this.#nextId + 1
    }
    if (this.#sent++ % SAMPLE_EVERY === 0) batch.writeDoubleBE(performance.now(), at + payloadAt + SENT_AT)
  }
}

function pumpDirty(): void {
  const now = dirty
  dirty = []
  for (const publisher of now) publisher.pump()
}

/** `publishers` by index: the payload says whose message it is. */
function receiver(publishers: readonly Publisher[]) {
  return (buffer: Buffer, payloadAt: number): void => {
    delivered++
    const head = payloadAt + SENT_BY
    const publisher = publishers[((buffer[head] as number) << 8) | (buffer[head + 1] as number)] as Publisher
    publisher.arrived++
    publisher.markDirty()
    // A time since start is never 0, and the first byte of such a float64 never is either.
    if (buffer[payloadAt + SENT_AT] !== 0 && samples.length < MAX_SAMPLES) {
      samples.push(performance.now() - buffer.readDoubleBE(payloadAt + SENT_AT))
    }
  }
}

function lost(reason: string): void {
  throw new Error(`a link was lost: ${reason}`)
}

/** Opens subscribers first, so that no message goes nowhere. */
async function openLinks({ port, scenario }: GeneratorJob): Promise<Publisher[]> {
  const open = async (id: number, handlers: FrameHandlers): Promise<BenchConnection> => {
    const connection = new BenchConnection(port, handlers, lost)
    connections.push(connection)
    await connection.open(clientId(id))
    return connection
  }
  const { shape, size, qos } = scenario
  const publisherCount = shape === 'fan-out' ? 1 : size
  const subscriberCount = shape === 'fan-in' ? 1 : size
  const topic = (index: number) => (shape === 'pairs' ? `bench/pairs/${index}` : 'bench/all')
  const copies = shape === 'fan-out' ? size : 1
  const publishers = Array.from(
    { length: publisherCount },
    (_, i) => new Publisher(i, topic(i), copies, scenario),
  )

  const onPublish = receiver(publishers)
  for (let i = 0; i < subscriberCount; i++) {
    const connection = await open(publisherCount + i, { onPublish, onReadEnd: pumpDirty })
    await connection.subscribe(topic(i), qos)
  }
  for (const publisher of publishers) {
    const handlers = { onDone: publisher.done, onReadEnd: pumpDirty }
    publisher.connection = await open(publisher.index, handlers)
  }
  return publishers
}

function percentile(sorted: Float64Array, share: number): number {
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN
}

async function measure(job: GeneratorJob): Promise<Measured> {
  for (const publisher of await openLinks(job)) publisher.pump()
  let last = -1
  const stall = setInterval(() => {
    if (delivered === last)
      throw new Error(`nothing delivered for ${STALL_MS} ms, after ${delivered} messages`)
    last = delivered
  }, STALL_MS)
  await delay(job.warmUpSeconds * 1000)
  const [startedAt, deliveredBefore, cpuBefore] = [performance.now(), delivered, process.cpuUsage()]
  samples = []
  await delay(job.seconds * 1000)
  const elapsedMs = performance.now() - startedAt
  const count = delivered - deliveredBefore
  const cpu = process.cpuUsage(cpuBefore)
  clearInterval(stall)
  const sorted = Float64Array.from(samples).sort()
  return {
    rate: (count * 1000) / elapsedMs,
    p50Ms: percentile(sorted, 0.5),
    p99Ms: percentile(sorted, 0.99),
    generatorCpu: (cpu.user + cpu.system) / 1000 / elapsedMs,
  }
}

const job = JSON.parse(process.argv[2] ?? '') as GeneratorJob
process.stdout.write(`${JSON.stringify(await measure(job))}\n`)
for (const connection of connections) connection.close()
