/** Destinations of kinds that people run, each with what tells afterwards which messages arrived in which order. */
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { gunzipSync } from 'node:zlib'
import type { RouteRecord } from '../contract/hub-state.ts'
import { freePort } from '../test-support/free-port.ts'
import { route } from '../test-support/hub-state.ts'
import { startMariadb } from '../test-support/mariadb.ts'
import { startPostgresql } from '../test-support/postgresql.ts'
import { RunningProgram } from '../test-support/run-program.ts'
import { startS3 } from '../test-support/s3.ts'
import { makeTempDir, removeTempDir } from '../test-support/temp-dir.ts'
import { waitUntil } from '../test-support/wait.ts'

export interface Arrived {
  topic: string
  number: number
}

/** What one route brought, in the order in which it was stored, repetitions included. */
export interface Outcome {
  route: RouteRecord
  /** Each run of messages is in order by itself; a table or a log is one run. */
  runs: () => Promise<Arrived[][]>
}

export interface KilledSink {
  name: string
  routes: Outcome[]
  credentials: Record<string, Record<string, string>>
  kill: () => Promise<void>
  /** After `kill`. */
  start: () => Promise<void>
  stop: () => Promise<void>
}

/** Attempts without end: whatever dies comes back. */
const delivery = {
  ...{ backoff: { initial: '50ms', maximum: '1s' }, maxAttempts: 1000, timeout: '20s' },
  buffer: { messages: 1_000_000, bytes: 1_073_741_824, overflow: 'DropNewest' as const },
}

interface Database {
  port: number
  username: string
  password: string
  query: (text: string) => Promise<Record<string, unknown>[]>
  kill: () => Promise<void>
  start: () => Promise<void>
  stop: () => Promise<void>
}

function databaseSink(
  engine: 'PostgreSQL' | 'MySQL',
  server: Database,
  queries: Record<string, string>,
): KilledSink {
  const routes = Object.entries(queries).map(([table, query]) => {
    const database = {
      ...{ engine, host: '127.0.0.1', port: server.port, database: 'iot', query, poolSize: 4 },
      credentialsSecretRef: { name: 'db' },
      tls: { mode: 'Disable' as const },
    }
    const runs = async () => {
      const rows = await server.query(`SELECT topic, number FROM ${table} ORDER BY n`)
      return [rows.map(({ topic, number }) => ({ topic: String(topic), number: Number(number) }))]
    }
    return {
      route: route({ name: `${engine.toLowerCase()}-${table}`, topic: 't/#', spec: { database, delivery } }),
      runs,
    }
  })
  const path = 'database.credentialsSecretRef'
  const values = { [`${path}.username`]: server.username, [`${path}.password`]: server.password }
  return {
    name: engine,
    routes,
    credentials: Object.fromEntries(routes.map(({ route: { id } }) => [id, values])),
    kill: () => server.kill(),
    start: () => server.start(),
    stop: () => server.stop(),
  }
}

export async function postgresqlSink(): Promise<KilledSink> {
  const server = await startPostgresql()
  await server.query(`
    CREATE TABLE plain (n serial, topic text, number int);
    CREATE TABLE keyed (n serial, id uuid PRIMARY KEY, topic text, number int);
    GRANT ALL ON ALL TABLES IN SCHEMA public TO hublet;
    GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO hublet`)
  return databaseSink('PostgreSQL', server, {
    plain: 'INSERT INTO plain (topic, number) VALUES ($TOPIC, $PAYLOAD)',
    keyed: 'INSERT INTO keyed (id, topic, number) VALUES ($ID, $TOPIC, $PAYLOAD) ON CONFLICT (id) DO NOTHING',
  })
}

export async function mariadbSink(): Promise<KilledSink> {
  const server = await startMariadb()
  const columns = 'n bigint AUTO_INCREMENT UNIQUE KEY, topic varchar(32), number int'
  await server.query(`CREATE TABLE plain (${columns})`)
  await server.query(`CREATE TABLE keyed (${columns}, id char(36) PRIMARY KEY)`)
  return databaseSink('MySQL', server, {
    plain: 'INSERT INTO plain (topic, number) VALUES ($TOPIC, $PAYLOAD)',
    keyed: 'INSERT IGNORE INTO keyed (id, topic, number) VALUES ($ID, $TOPIC, $PAYLOAD)',
  })
}

export async function restSink(): Promise<KilledSink> {
  const [port, folder] = [await freePort(), makeTempDir('destination')]
  const file = join(folder, 'log')
  let program: RunningProgram
  const start = async () => {
    const main = join(import.meta.dirname, 'file-destination.fixture.ts')
    program = new RunningProgram(process.execPath, [main, String(port), file], { timeoutMs: 3_600_000 })
    await waitUntil('the destination listens', () => program.stdout.includes('listening'), {
      timeoutMs: 30_000,
    })
  }
  await start()
  const rest = { method: 'POST' as const, url: `http://127.0.0.1:${port}/`, headers: [], publishReply: false }
  const runs = async () => [
    (existsSync(file) ? readFileSync(file, 'utf8') : '')
      .split('\n')
      // The last line may be one that a kill cut short: it was not acknowledged.
      .slice(0, -1)
      .map((line) => {
        const [topic = '', number = ''] = line.split(' ')
        return { topic, number: Number(number) }
      }),
  ]
  return {
    name: 'REST',
    routes: [{ route: route({ name: 'rest', topic: 't/#', spec: { rest, delivery } }), runs }],
    credentials: {},
    kill: async () => void (await program.stop('SIGKILL')),
    start,
    async stop() {
      await program.stop('SIGKILL')
      removeTempDir(folder)
    },
  }
}

export async function s3Sink(): Promise<KilledSink> {
  const server = await startS3()
  await server.createBucket('iot')
  const s3 = {
    ...{ endpoint: server.url, region: 'us-east-1', bucket: 'iot', prefix: '', forcePathStyle: true },
    strategy: 'Batched' as const,
    batch: { maxMessages: 1000, maxBytes: 4_194_304, maxAge: '200ms' },
    credentialsSecretRef: { name: 's3' },
  }
  const record = route({ name: 's3', topic: 't/#', spec: { s3, delivery } })
  const runs = async () => {
    const all: Arrived[][] = []
    // A listing has a thousand objects at most.
    for (
      let objects = await server.takeObjects('iot');
      objects.length > 0;
      objects = await server.takeObjects('iot')
    )
      for (const { body } of objects) {
        const lines = gunzipSync(body).toString().trim().split('\n')
        all.push(
          lines
            .map((line) => JSON.parse(line))
            .map(({ topic, payload }) => ({ topic, number: Number(payload) })),
        )
      }
    return all
  }
  const path = 's3.credentialsSecretRef'
  const { accessKeyId, secretAccessKey } = server
  return {
    name: 'S3',
    routes: [{ route: record, runs }],
    credentials: {
      [record.id]: { [`${path}.accessKeyId`]: accessKeyId, [`${path}.secretAccessKey`]: secretAccessKey },
    },
    kill: () => server.kill(),
    start: () => server.start(),
    stop: () => server.stop(),
  }
}
