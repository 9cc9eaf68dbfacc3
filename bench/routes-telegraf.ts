/**
 * From a publisher to the destination, beside Telegraf: `node bench/routes-telegraf.ts --telegraf <program>
 * [--rounds 3] [--scale 1]`. The same publisher (QoS 1, 200 messages under way) and the same destination, a server of
 * its own; between them a pod of Hublet (broker, Redis, route worker), once with every message on disk before it is
 * acknowledged and once with `durability: Relaxed`, or mosquitto and Telegraf (the broker keeps messages in memory).
 * Counts from the first publish until the last message has arrived.
 */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import type { RouteRecord } from '../contract/hub-state.ts'
import { Pod } from '../sidecar/pod.fixture.ts'
import { canConnect } from '../test-support/mosquitto.ts'
import { type MosquittoBroker, startMosquittoBroker } from '../test-support/mosquitto-broker.ts'
import { MqttClient } from '../test-support/mqtt-client.ts'
import { openLink } from '../test-support/mqtt-link.ts'
import { type PostgresqlServer, startPostgresql } from '../test-support/postgresql.ts'
import { RunningProgram } from '../test-support/run-program.ts'
import { makeTempDir, removeTempDir } from '../test-support/temp-dir.ts'
import { waitUntil } from '../test-support/wait.ts'
import { POSTGRESQL_READINGS, ROUTE_TARGETS, recordOf } from './route-targets.ts'
import { median } from './routes-report.ts'

const { values: options } = parseArgs({
  options: {
    telegraf: { type: 'string' },
    rounds: { type: 'string', default: '3' },
    scale: { type: 'string', default: '1' },
  },
})
const TELEGRAF = options.telegraf
if (TELEGRAF === undefined) throw new Error('--telegraf: the program to compare with is needed')
const WINDOW = 200
const TOPICS = 1_000
const PAYLOAD = JSON.stringify({ celsius: 21.5, note: 'x'.repeat(100) })
const patience = { timeoutMs: 600_000, intervalMs: 10 }

/** Where messages end, and how either side is told. */
interface Destination {
  title: string
  messages: number
  record: RouteRecord
  values: Record<string, string>
  /** The `[[outputs.…]]` of Telegraf. */
  output: string
  arrived(): Promise<number>
  clear(): Promise<void>
  stop(): Promise<void>
}

async function postgresqlDestination(): Promise<Destination> {
  const server: PostgresqlServer = await startPostgresql()
  // Telegraf makes its table itself.
  await server.query(`${POSTGRESQL_READINGS.table}; GRANT ALL ON SCHEMA public TO hublet`)
  const { port, username, password } = server
  const database = {
    ...{ engine: 'PostgreSQL', host: '127.0.0.1', port, database: 'iot', tls: { mode: 'Disable' } },
    credentialsSecretRef: { name: 'db' },
    query: POSTGRESQL_READINGS.query,
  }
  const path = 'database.credentialsSecretRef'
  const exists = async () =>
    (await server.query("SELECT to_regclass('mqtt_consumer') AS name"))[0]?.['name'] !== null
  const countOf = async (table: string) =>
    Number((await server.query(`SELECT count(*) AS n FROM ${table}`))[0]?.['n'])
  return {
    title: 'PostgreSQL',
    messages: 200_000,
    record: recordOf({ database }),
    values: { [`${path}.username`]: username, [`${path}.password`]: password },
    output: `[[outputs.postgresql]]
  connection = "host=127.0.0.1 port=${port} user=${username} password='${password}' dbname=iot sslmode=disable"
  tags_as_jsonb = true
  fields_as_jsonb = true
`,
    arrived: async () =>
      (await countOf('readings')) + ((await exists()) ? await countOf('mqtt_consumer') : 0),
    async clear() {
      await server.query('DELETE FROM readings; DROP TABLE IF EXISTS mqtt_consumer')
    },
    stop: () => server.stop(),
  }
}

async function restDestination(): Promise<Destination> {
  const target = ROUTE_TARGETS.find(({ name }) => name === 'rest')
  if (target === undefined) throw new Error('there is no target for REST')
  const place = await target.start()
  const url = place.record.spec.rest?.url ?? ''
  const count = async (path: string) => Number(await (await fetch(new URL(path, url))).text())
  return {
    title: 'REST, one request a message',
    messages: 60_000,
    ...place,
    output: `[[outputs.http]]
  url = "${url}"
  use_batch_format = false
  data_format = "json"
`,
    arrived: () => count('peek'),
    async clear() {
      await count('count')
    },
  }
}

async function publishAll(client: MqttClient, messages: number): Promise<void> {
  let next = 0
  const publisher = async () => {
    while (next < messages) {
      const topic = `sensors/${next++ % TOPICS}/temperature`
      await client.publish(topic, PAYLOAD, { qos: 1 })
    }
  }
  await Promise.all(Array.from({ length: WINDOW }, publisher))
}

/** Messages a second, from the first publish to the last arrival. */
async function timed(client: MqttClient, { messages, arrived }: Destination): Promise<number> {
  const since = performance.now()
  await publishAll(client, messages)
  await waitUntil('all have arrived', async () => (await arrived()) >= messages, patience)
  const seconds = (performance.now() - since) / 1000
  client.close()
  return messages / seconds
}

async function byHublet(destination: Destination, fsync: 'always' | 'everysec'): Promise<number> {
  const pod = await Pod.start({ lifeMs: 3_600_000, fsync })
  try {
    await pod.setRoutes([destination.record], { [destination.record.id]: destination.values })
    await pod.startRoutes()
    return await timed(await pod.connect(), destination)
  } finally {
    await pod.stop()
  }
}

async function byTelegraf(program: string, destination: Destination): Promise<number> {
  const broker = await startMosquittoBroker()
  const folder = makeTempDir('telegraf')
  const config = join(folder, 'telegraf.conf')
  writeFileSync(config, telegrafConfig(broker, destination.output), { mode: 0o600 })
  const telegraf = new RunningProgram(program, ['--config', config], { timeoutMs: 3_600_000 })
  try {
    await waitUntil(
      'Telegraf has subscribed',
      () => {
        if (telegraf.ended) throw new Error(telegraf.stderr)
        return /Connected \[/.test(telegraf.stderr)
      },
      { timeoutMs: 30_000 },
    )
    if (!(await canConnect(broker.port))) throw new Error('mosquitto has gone')
    return await timed(await connect(broker), destination)
  } finally {
    await telegraf.stop('SIGKILL')
    await broker.stop()
    removeTempDir(folder)
  }
}

async function connect({ port, username, password }: MosquittoBroker): Promise<MqttClient> {
  const client = new MqttClient(await openLink({ port }))
  const { returnCode } = await client.connect({
    clientId: 'bench',
    username,
    password: Buffer.from(password),
  })
  if (returnCode !== 0) throw new Error(`CONNECT refused with ${returnCode}`)
  return client
}

/** Batches as in Hublet; nothing waits longer than a fifth of a second for the next. */
const telegrafConfig = ({ port, username, password }: MosquittoBroker, output: string) => `
[agent]
  interval = "1s"
  metric_batch_size = 1000
  metric_buffer_limit = 1000000
  flush_interval = "200ms"
  omit_hostname = true
[[inputs.mqtt_consumer]]
  servers = ["tcp://127.0.0.1:${port}"]
  topics = ["sensors/#"]
  qos = 1
  persistent_session = true
  client_id = "telegraf"
  username = "${username}"
  password = "${password}"
  max_undelivered_messages = 10000
  data_format = "value"
  data_type = "string"
${output}`

const [rounds, scale] = [Number(options.rounds), Number(options.scale)]
const print = (line: string) => process.stdout.write(`${line}\n`)
print(
  '| destination | messages | Hublet, each on disk | Hublet, Relaxed | mosquitto and Telegraf | ratio | ratio |',
)
print('| --- | ---: | ---: | ---: | ---: | ---: | ---: |')
for (const start of [postgresqlDestination, restDestination]) {
  const place = await start()
  const destination = { ...place, messages: Math.ceil(place.messages * scale) }
  const ways = [
    () => byHublet(destination, 'always'),
    () => byHublet(destination, 'everysec'),
    () => byTelegraf(TELEGRAF, destination),
  ]
  const rates: number[][] = ways.map(() => [])
  for (let round = 0; round < rounds; round += 1)
    for (const [at, way] of ways.entries()) {
      rates[at]?.push(await way())
      await destination.clear()
    }
  const medians = rates.map(median)
  const figures = [destination.messages, ...medians].map((n) => Math.round(n).toLocaleString('en'))
  const ratios = medians.slice(0, 2).map((rate) => (rate / (medians[2] ?? Number.NaN)).toFixed(2))
  print(`| ${[destination.title, ...figures, ...ratios].join(' | ')} |`)
  await destination.stop()
}
