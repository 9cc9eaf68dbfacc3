/** At least once and in order, whatever is killed: worker and database, at random points of a stream of messages. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { MemoryRouteStream } from '../broker/store/memory-route-stream.ts'
import { systemClock } from '../operator/runtime/clock.ts'
import { route } from '../test-support/hub-state.ts'
import { type PostgresqlServer, startPostgresql } from '../test-support/postgresql.ts'
import { Random } from '../test-support/random.ts'
import { waitUntil } from '../test-support/wait.ts'
import { routeAppend } from './dead-letters.ts'
import { LOOPBACK_ALLOWED } from './sinks/sink.contract.ts'
import { createRouteWorker, type RouteWorker } from './worker.ts'

const MESSAGES = 20_000
const TOPICS = 50
const KILLS = 12

describe('a route to PostgreSQL under kills', () => {
  let server: PostgresqlServer
  beforeAll(async () => {
    server = await startPostgresql()
    await server.query(`
      CREATE TABLE plain (n serial, id uuid, topic text, number int);
      CREATE TABLE keyed (n serial, id uuid PRIMARY KEY, topic text, number int);
      GRANT ALL ON ALL TABLES IN SCHEMA public TO hublet;
      GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO hublet`)
  })
  afterAll(async () => await server.stop())

  const insert = 'INSERT INTO plain (id, topic, number) VALUES ($ID, $TOPIC, $PAYLOAD)'
  const keyed = 'INSERT INTO keyed (id, topic, number) VALUES ($ID, $TOPIC, $PAYLOAD) ON CONFLICT DO NOTHING'

  const recordOf = (id: string, query: string) =>
    route({
      id,
      spec: {
        database: {
          engine: 'PostgreSQL',
          host: '127.0.0.1',
          port: server.port,
          database: 'iot',
          credentialsSecretRef: { name: 'db' },
          query,
          tls: { mode: 'Disable' },
          poolSize: 4,
        },
        delivery: { backoff: { initial: '50ms', maximum: '500ms' }, maxAttempts: 5 },
      },
    })

  it('stores every message at least once, in the order of its topic, and once where the id is a key', async () => {
    const random = new Random(20_260_102)
    const records = [recordOf('plain', insert), recordOf('keyed', keyed)]
    const stream = new MemoryRouteStream()
    stream.open()
    const start = (): RouteWorker =>
      createRouteWorker({
        stream,
        records: () => records,
        credentials: () => ({
          values: {
            'database.credentialsSecretRef.username': server.username,
            'database.credentialsSecretRef.password': server.password,
          },
        }),
        publishReply: async () => {},
        onStatus: () => {},
        onFault: () => {},
        network: LOOPBACK_ALLOWED,
        clock: systemClock,
        random: Math.random,
      })

    let sent = 0
    const publish = (count: number) => {
      for (const end = Math.min(MESSAGES, sent + count); sent < end; sent += 1) {
        const payload = Buffer.from(String(sent))
        const message = { topic: `t/${sent % TOPICS}`, payload, qos: 1, retain: false } as const
        const id = `0197a000-0000-7000-8000-${String(sent).padStart(12, '0')}`
        stream.append(message, { into: records.map(routeAppend), id, time: Date.now() })
      }
    }

    let worker = start()
    for (let kill = 0; kill < KILLS; kill += 1) {
      publish(Math.ceil(MESSAGES / KILLS))
      await new Promise((resolve) => setTimeout(resolve, random.next() * 60))
      if (kill % 2 === 0) {
        // No time for what is under way: its outcome is unknown, as after a crash.
        await worker.stop(0)
        worker = start()
      } else {
        await server.kill()
        await server.start()
      }
    }
    publish(MESSAGES)
    const backlogs = async () => await Promise.all(records.map(({ id }) => stream.backlog(id)))
    await waitUntil(
      'all is delivered',
      async () => (await backlogs()).every(({ messages }) => messages === 0),
      {
        timeoutMs: 60_000,
      },
    )
    await worker.stop()
    expect((await backlogs()).map(({ deadLetters, dropped }) => [deadLetters, dropped])).toEqual([
      [0, 0],
      [0, 0],
    ])

    const [once] = await server.query(
      'SELECT count(*)::int AS rows, count(DISTINCT id)::int AS ids FROM keyed',
    )
    expect(once).toEqual({ rows: MESSAGES, ids: MESSAGES })
    const [plain] = await server.query('SELECT count(DISTINCT id)::int AS ids FROM plain')
    expect(plain).toEqual({ ids: MESSAGES })
    for (const table of ['plain', 'keyed']) {
      const outOfOrder = await server.query(`
        SELECT topic, number FROM (
          SELECT topic, number, lag(number) OVER (PARTITION BY topic ORDER BY first) AS before
          FROM (SELECT topic, number, min(n) AS first FROM ${table} GROUP BY topic, number) AS firsts
        ) AS pairs WHERE number < before`)
      expect(outOfOrder).toEqual([])
    }
    stream.close()
  })
})
