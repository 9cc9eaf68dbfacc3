/** The destinations of `bench/routes.ts`: a real server, a route to it, and proof that the messages are there. */
import type { RouteRecord } from '../contract/hub-state.ts'
import type { Route, RouteSpec } from '../crds/route.ts'
import { validate } from '../crds/validate.ts'
import { startKafka } from '../test-support/kafka.ts'
import { startMariadb } from '../test-support/mariadb.ts'
import { startMosquittoBroker } from '../test-support/mosquitto-broker.ts'
import { startNats } from '../test-support/nats.ts'
import { startPostgresql } from '../test-support/postgresql.ts'
import { RunningProgram } from '../test-support/run-program.ts'
import { startS3 } from '../test-support/s3.ts'

export interface RouteTarget {
  name: string
  title: string
  messages: number
  /** Messages a second that are promised (issue 5). */
  goal?: number
  start(): Promise<RoutePlace>
}

export interface RoutePlace {
  record: RouteRecord
  /** `RouteCredentials.values`. */
  values: Record<string, string>
  /** Rejects when the messages of a round are not all there; makes room for the next. */
  check(messages: number): Promise<void>
  stop(): Promise<void>
}

const BUFFER = { messages: 10_000_000, bytes: 8 * 1024 ** 3 }
const LOGIN = { username: 'hublet', password: 'open sesame' }

/** A Route of the bench as the worker gets it, with room for every message. */
export function recordOf(
  sink: Partial<RouteSpec> | Record<string, unknown>,
  delivery: object = {},
): RouteRecord {
  const result = validate({
    apiVersion: 'iot.hublet.dev/v1alpha1',
    kind: 'Route',
    metadata: { name: 'bench' },
    spec: {
      hubRef: { name: 'bench' },
      topic: 'sensors/#',
      delivery: { buffer: BUFFER, ...delivery },
      ...sink,
    },
  })
  if (!result.valid) throw new Error(JSON.stringify(result.errors))
  const { spec } = result.value as Route
  return { id: 'bench', name: 'bench', topic: spec.topic, enabled: true, spec }
}

const secrets = (path: string) =>
  Object.fromEntries(Object.entries(LOGIN).map(([key, value]) => [`${path}.${key}`, value]))

function expectCount(found: number, expected: number): void {
  if (found !== expected) throw new Error(`${found} messages arrived, not ${expected}`)
}

type SqlServer = Pick<Awaited<ReturnType<typeof startPostgresql>>, 'port' | 'query' | 'stop'>

function sqlPlace(server: SqlServer, engine: 'PostgreSQL' | 'MySQL', query: string): RoutePlace {
  const credentialsSecretRef = { name: 'db' }
  const place = { host: '127.0.0.1', port: server.port, database: 'iot' }
  return {
    record: recordOf({
      database: { engine, ...place, credentialsSecretRef, query, tls: { mode: 'Disable' } },
    }),
    values: secrets('database.credentialsSecretRef'),
    async check(messages) {
      const [row] = await server.query('SELECT count(*) AS n FROM readings')
      expectCount(Number((row as { n: unknown }).n), messages)
      await server.query('DELETE FROM readings')
    },
    stop: () => server.stop(),
  }
}

/** Where messages go in PostgreSQL, each once. */
export const POSTGRESQL_READINGS = {
  table:
    'CREATE TABLE readings (id uuid PRIMARY KEY, at timestamptz, topic text, reading jsonb); GRANT ALL ON readings TO hublet',
  query: 'INSERT INTO readings VALUES ($ID, $TIME, $TOPIC, $PAYLOAD) ON CONFLICT DO NOTHING',
}

const postgresql: RouteTarget = {
  name: 'postgresql',
  title: 'PostgreSQL, rows in batches, once by id',
  messages: 100_000,
  goal: 10_000,
  async start() {
    const server = await startPostgresql()
    await server.query(POSTGRESQL_READINGS.table)
    return sqlPlace(server, 'PostgreSQL', POSTGRESQL_READINGS.query)
  },
}

const mysql: RouteTarget = {
  name: 'mysql',
  title: 'MariaDB, rows in batches, once by id',
  messages: 30_000,
  async start() {
    const server = await startMariadb()
    await server.query(
      'CREATE TABLE readings (id CHAR(36) PRIMARY KEY, at DATETIME(3), topic TEXT, reading TEXT)',
    )
    return sqlPlace(server, 'MySQL', 'INSERT IGNORE INTO readings VALUES ($ID, $TIME, $TOPIC, $PAYLOAD)')
  },
}

const rest: RouteTarget = {
  name: 'rest',
  title: 'REST, one request a message, keep-alive',
  messages: 20_000,
  goal: 2_000,
  async start() {
    const server = new RunningProgram(process.execPath, [`${import.meta.dirname}/http-sink-server.ts`], {
      timeoutMs: 3_600_000,
    })
    const port = await server.waitForLine((line) => /^\d+$/.test(line), 'the HTTP server listens', 30_000)
    const url = `http://127.0.0.1:${port}/`
    return {
      record: recordOf({ rest: { url } }),
      values: {},
      async check(messages) {
        const answer = await fetch(`${url}count`)
        expectCount(Number(await answer.text()), messages)
      },
      async stop() {
        await server.stop('SIGKILL')
      },
    }
  },
}

const s3: RouteTarget = {
  name: 's3',
  title: 'S3, strategy Batched',
  messages: 200_000,
  goal: 20_000,
  async start() {
    const server = await startS3()
    await server.createBucket('bench')
    const sink = { endpoint: server.url, bucket: 'bench', strategy: 'Batched', forcePathStyle: true }
    return {
      record: recordOf({
        s3: { ...sink, credentialsSecretRef: { name: 's3' }, batch: { maxMessages: 1000, maxAge: '100ms' } },
      }),
      values: {
        's3.credentialsSecretRef.accessKeyId': server.accessKeyId,
        's3.credentialsSecretRef.secretAccessKey': server.secretAccessKey,
      },
      async check(messages) {
        const objects = await server.takeObjects('bench')
        expectCount(
          objects.reduce((sum, { metadata }) => sum + Number(metadata['mqtt-messages']), 0),
          messages,
        )
      },
      stop: () => server.stop(),
    }
  },
}

const nats: RouteTarget = {
  name: 'nats',
  title: 'NATS JetStream, each acknowledged',
  messages: 50_000,
  async start() {
    const server = await startNats()
    await server.createStream('IOT', { subjects: ['iot.>'] })
    const place = {
      servers: [`127.0.0.1:${server.port}`],
      subject: 'iot.{{ topic }}',
      tls: { mode: 'Disable' },
    }
    return {
      record: recordOf({ nats: { ...place, credentialsSecretRef: { name: 'nats' } } }, { concurrency: 256 }),
      values: secrets('nats.credentialsSecretRef'),
      async check(messages) {
        expectCount(await server.purge('IOT'), messages)
        // Ids are the same in every round, and the stream remembers them.
        await server.deleteStream('IOT')
        await server.createStream('IOT', { subjects: ['iot.>'] })
      },
      stop: () => server.stop(),
    }
  },
}

const kafka: RouteTarget = {
  name: 'kafka',
  title: 'Kafka, batches, acks All',
  messages: 100_000,
  async start() {
    const server = await startKafka()
    await server.createTopic('iot')
    const sasl = { mechanism: 'PLAIN', credentialsSecretRef: { name: 'kafka' } }
    const place = { brokers: [`127.0.0.1:${server.port}`], topic: 'iot', tls: { mode: 'Disable' } }
    return {
      record: recordOf({ kafka: { ...place, sasl } }),
      values: secrets('kafka.sasl.credentialsSecretRef'),
      check: async (messages) => expectCount((await server.takeRecords('iot')).length, messages),
      stop: () => server.stop(),
    }
  },
}

const mqtt: RouteTarget = {
  name: 'mqtt',
  title: 'MQTT bridge to mosquitto, QoS 1',
  messages: 30_000,
  async start() {
    const server = await startMosquittoBroker()
    const place = { server: `127.0.0.1:${server.port}`, tls: { mode: 'Disable' } }
    return {
      record: recordOf({ mqtt: { ...place, credentialsSecretRef: { name: 'mqtt' } } }),
      values: secrets('mqtt.credentialsSecretRef'),
      // Every message was acknowledged; nobody is there to keep it.
      async check() {},
      stop: () => server.stop(),
    }
  },
}

export const ROUTE_TARGETS: readonly RouteTarget[] = [postgresql, mysql, rest, s3, nats, kafka, mqtt]
