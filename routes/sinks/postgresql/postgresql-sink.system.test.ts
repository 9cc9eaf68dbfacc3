import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { makeCertificate } from '../../../test-support/openssl.ts'
import { type PostgresqlServer, startPostgresql } from '../../../test-support/postgresql.ts'
import { waitUntil } from '../../../test-support/wait.ts'
import { createEgress } from '../../net/egress.ts'
import { LOOPBACK_ALLOWED, makeEntry, NEVER, type SinkHarness, sinkContract } from '../sink.contract.ts'
import type { Sink, SinkFailure } from '../sink.ts'
import type { DatabaseTarget } from '../sql/database-target.ts'
import { databaseTls } from '../sql/database-tls.ts'
import { createPostgresqlSink } from './postgresql-sink.ts'

const INSERT = 'INSERT INTO messages (time, topic, payload) VALUES (NOW(), $TOPIC, $PAYLOAD)'

let server: PostgresqlServer

function target(more: Partial<DatabaseTarget> = {}): DatabaseTarget {
  const { port, username, password } = server
  const place = { host: '127.0.0.1', port, database: 'iot', username, password }
  return { ...place, query: INSERT, tls: undefined, poolSize: 2, ...more }
}

function sinkOf(result: Sink | SinkFailure): Sink {
  if ('ok' in result) throw new Error(result.message)
  return result
}

class Harness implements SinkHarness {
  checksCredentials = true

  async start(): Promise<void> {
    server = await startPostgresql()
    await server.query(`
      CREATE TABLE messages (n serial, time timestamptz, topic text, payload bytea);
      GRANT ALL ON ALL TABLES IN SCHEMA public TO hublet;
      GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO hublet;
      GRANT CREATE ON SCHEMA public TO hublet`)
  }

  async stop(): Promise<void> {
    await server.stop()
  }

  open({ egress = LOOPBACK_ALLOWED, ...place } = {}): Sink {
    return sinkOf(createPostgresqlSink(target(place), createEgress(egress)))
  }

  async takeArrived() {
    const rows = await server.query(
      'WITH gone AS (DELETE FROM messages RETURNING *) SELECT * FROM gone ORDER BY n',
    )
    return rows as { topic: string; payload: Buffer }[]
  }
}

describe('the PostgreSQL sink', () => {
  sinkContract(new Harness())

  const sinks: Sink[] = []
  const open = (query: string, more: Partial<DatabaseTarget> = {}): Sink => {
    const sink = sinkOf(createPostgresqlSink(target({ query, ...more }), createEgress(LOOPBACK_ALLOWED)))
    sinks.push(sink)
    return sink
  }
  afterAll(async () => {
    await Promise.all(sinks.map((sink) => sink.close()))
  })

  describe('the queries of the original service', () => {
    const json = '{"user":"me","n":1.5}'
    it.each([
      [
        'a text into text and bytea',
        'time timestamptz, topic text, v bytea',
        'NOW(), $TOPIC, $PAYLOAD',
        json,
        '\\x7b',
      ],
      ['a payload decoded to JSON', 'v json', "encode($PAYLOAD,'escape')::json", json, json],
      ['a payload cast to JSONB', 'v text', "$PAYLOAD::jsonb->>'user'", json, 'me'],
      ['a plain payload into JSONB', 'v jsonb', '$PAYLOAD', json, '{"n": 1.5, "user": "me"}'],
      [
        'a payload used twice',
        'a text, v numeric',
        "$PAYLOAD, ($PAYLOAD::jsonb->>'n')::numeric",
        json,
        '1.5',
      ],
      ['a number', 'v double precision', '$PAYLOAD', '21.5', '21.5'],
      ['an integer', 'v integer', '$PAYLOAD', '42', '42'],
      ['a boolean', 'v boolean', '$PAYLOAD', 'true', 'true'],
      ['a text', 'v text', '$PAYLOAD', 'é', 'é'],
    ])('store %s', async (title, columns, values, payload, expected) => {
      const table = title.replaceAll(' ', '_')
      await server.query(`CREATE TABLE "${table}" (${columns}); GRANT ALL ON "${table}" TO hublet`)
      const sink = open(`INSERT INTO "${table}" VALUES (${values})`)
      expect(await sink.deliver(makeEntry('a/b', payload), NEVER)).toEqual({ ok: true })
      const [row] = await server.query(`SELECT v::text FROM "${table}"`)
      expect(row?.['v']).toEqual(expect.stringMatching(/^\\x/.test(expected) ? /^\\x7b/ : expected.slice(0)))
    })

    it('may call functions and procedures', async () => {
      await server.query(`
        CREATE TABLE called (topic text, v jsonb);
        GRANT ALL ON called TO hublet;
        CREATE FUNCTION store_f(t text, v jsonb) RETURNS int LANGUAGE sql AS
          'INSERT INTO called VALUES (t, v); SELECT 1';
        CREATE PROCEDURE store_p(t text, v jsonb) LANGUAGE plpgsql AS
          'BEGIN INSERT INTO called VALUES (t, v); COMMIT; END'`)
      expect(await open('SELECT store_f($TOPIC, $PAYLOAD)').deliver(makeEntry('f', '1'), NEVER)).toEqual({
        ok: true,
      })
      expect(await open('CALL store_p($TOPIC, $PAYLOAD)').deliver(makeEntry('p', '2'), NEVER)).toEqual({
        ok: true,
      })
      expect(await server.query('SELECT topic, v FROM called ORDER BY topic')).toEqual([
        { topic: 'f', v: 1 },
        { topic: 'p', v: 2 },
      ])
    })

    it('may be an upsert of several steps', async () => {
      await server.query(`
        CREATE TABLE devices (name text PRIMARY KEY, seen int);
        CREATE TABLE readings (name text REFERENCES devices, value numeric);
        GRANT ALL ON devices, readings TO hublet`)
      const sink = open(`
        WITH d AS (
          INSERT INTO devices VALUES (split_part($TOPIC, '/', 2), 1)
          ON CONFLICT (name) DO UPDATE SET seen = devices.seen + 1 RETURNING name
        )
        INSERT INTO readings SELECT name, ($PAYLOAD::jsonb->>'v')::numeric FROM d`)
      for (const value of [1, 2])
        await sink.deliver(makeEntry('device/x', JSON.stringify({ v: value })), NEVER)
      expect(
        await server.query('SELECT d.seen, sum(r.value)::int FROM devices d, readings r GROUP BY 1'),
      ).toEqual([{ seen: 2, sum: 3 }])
    })
  })

  it('gives time, device, QoS, retain and id in the type of their column', async () => {
    await server.query(`
      CREATE TABLE typed (at timestamptz, ms bigint, device text, qos smallint, retain boolean, r int, id uuid);
      GRANT ALL ON typed TO hublet`)
    const sink = open('INSERT INTO typed VALUES ($TIME, $TIME, $DEVICE, $QOS, $RETAIN, $RETAIN, $ID)')
    const time = Date.UTC(2026, 5, 1, 12, 0, 0, 123)
    const one = makeEntry('a', 'x', { time, deviceId: 'me', qos: 2, retain: true })
    const other = makeEntry('a', 'x', { time })
    await sink.deliver(one, NEVER)
    await sink.deliver(other, NEVER)
    const at = new Date(time)
    const ms = String(time)
    expect(await server.query('SELECT * FROM typed ORDER BY qos DESC')).toEqual([
      { at, ms, device: 'me', qos: 2, retain: true, r: 1, id: one.id },
      { at, ms, device: null, qos: 1, retain: false, r: 0, id: other.id },
    ])
  })

  it('stores a message that comes again only once when $ID is unique', async () => {
    await server.query('CREATE TABLE once (id uuid PRIMARY KEY); GRANT ALL ON once TO hublet')
    const sink = open('INSERT INTO once VALUES ($ID) ON CONFLICT DO NOTHING')
    const entry = makeEntry('a', 'x')
    for (let attempt = 0; attempt < 3; attempt += 1)
      expect(await sink.deliver(entry, NEVER)).toEqual({ ok: true })
    expect(await server.query('SELECT count(*)::int FROM once')).toEqual([{ count: 1 }])
  })

  describe('of a message that is refused', () => {
    beforeAll(async () => {
      await server.query('CREATE TABLE strict (v int CHECK (v < 100)); GRANT ALL ON strict TO hublet')
    })

    it.each([
      ['a value of another type', 'not-a-number', '22P02'],
      ['a constraint', '1000', '23514'],
    ])('by %s, it tells which, without the payload', async (_, payload, state) => {
      const result = await open('INSERT INTO strict VALUES ($PAYLOAD)').deliver(
        makeEntry('a', payload),
        NEVER,
      )
      expect(result).toMatchObject({ kind: 'Permanent', scope: 'Message', code: 'DATABASE_EXECUTE_FAILED' })
      expect(result).toHaveProperty('message', expect.stringContaining(state))
      expect(result).toHaveProperty('message', expect.not.stringContaining(payload))
    })

    it('none of its batch is stored', async () => {
      const sink = open('INSERT INTO strict VALUES ($PAYLOAD)')
      const entries = ['1', '2', 'bad', '4'].map((text) => makeEntry('a', text))
      expect(await sink.deliverMany?.(entries, NEVER)).toMatchObject({ ok: false, scope: 'Message' })
      expect(await server.query('SELECT * FROM strict')).toEqual([])
      expect(await sink.deliver(makeEntry('a', '5'), NEVER)).toEqual({ ok: true })
    })

    it('bytes that are no text are not made into other text', async () => {
      const result = await open('INSERT INTO strict SELECT length($PAYLOAD::text)').deliver(
        makeEntry('a', Buffer.from([0xff, 0xfe])),
        NEVER,
      )
      expect(result).toMatchObject({ kind: 'Permanent', code: 'PAYLOAD_NOT_TEXT' })
    })
  })

  it.each([
    ['a missing table', 'INSERT INTO nowhere VALUES ($PAYLOAD)', '42P01 relation "nowhere" does not exist'],
    ['bad SQL', 'INSRT INTO x', '42601 syntax error at or near "INSRT"'],
    ['a table without rights', 'INSERT INTO pg_authid (rolname) VALUES ($TOPIC)', '42501 permission denied'],
  ])('makes all messages wait for the end of %s', async (_, query, text) => {
    const result = await open(query).deliver(makeEntry('a', 'x'), NEVER)
    expect(result).toMatchObject({ kind: 'Transient', scope: 'Sink', message: expect.stringContaining(text) })
  })

  it('goes on by itself when what was missing is there', async () => {
    const sink = open('INSERT INTO later VALUES ($PAYLOAD)')
    expect(await sink.deliver(makeEntry('a', 'x'), NEVER)).toMatchObject({ ok: false, scope: 'Sink' })
    await server.query('CREATE TABLE later (v bytea); GRANT ALL ON later TO hublet')
    expect(await sink.deliver(makeEntry('a', 'x'), NEVER)).toEqual({ ok: true })
  })

  it('goes on by itself after the server was killed', async () => {
    const sink = open('SELECT $PAYLOAD::text')
    expect(await sink.deliver(makeEntry('a', 'x'), NEVER)).toEqual({ ok: true })
    await server.kill()
    expect(await sink.deliver(makeEntry('a', 'x'), NEVER)).toMatchObject({ ok: false, scope: 'Sink' })
    await server.start()
    expect(await sink.deliver(makeEntry('a', 'x'), NEVER)).toEqual({ ok: true })
  })

  it('does not connect without encryption when the server has none', async () => {
    const result = await open(INSERT, { tls: databaseTls('Require', undefined) }).deliver(
      makeEntry('a', 'x'),
      NEVER,
    )
    expect(result).toMatchObject({
      kind: 'Transient',
      scope: 'Sink',
      message: expect.stringContaining('SSL'),
    })
  })

  it('ends a query whose rows have no end when its time is over', async () => {
    const sink = open('SELECT repeat($TOPIC::text, 100), generate_series(1, 10000000000)')
    expect(await sink.deliver(makeEntry('a', 'x'), AbortSignal.timeout(500))).toMatchObject({
      ok: false,
    })
    await waitUntil(
      'nobody asks any more',
      async () =>
        (await server.query("SELECT 1 FROM pg_stat_activity WHERE query LIKE 'SELECT repeat%'")).length === 0,
      { timeoutMs: 20_000 },
    )
  })

  describe('over TLS', () => {
    let secure: PostgresqlServer
    let caPem: string
    beforeAll(async () => {
      const ca = await makeCertificate({ commonName: 'ca', authority: true })
      const made = await makeCertificate({ commonName: 's', issuer: ca, subjectAltName: 'DNS:localhost' })
      caPem = ca.certPem
      secure = await startPostgresql({ tls: { cert: made.certPath, key: made.keyPath } })
    })
    afterAll(async () => await secure.stop())

    it.each([
      ['VerifyFull', 'the right CA', true, 'localhost', true],
      ['VerifyFull', 'the right CA', true, '127.0.0.1', false],
      ['VerifyFull', 'the CAs of the system', false, 'localhost', false],
      ['Require', 'the CAs of the system', false, '127.0.0.1', true],
    ] as const)('%s with %s (%s) at %s connects: %s', async (mode, _, withCa, host, connects) => {
      const tls = databaseTls(mode, withCa ? caPem : undefined)
      const sink = open('SELECT $PAYLOAD::text', { host, port: secure.port, tls })
      const result = await sink.deliver(makeEntry('a', 'x'), NEVER)
      expect(result).toMatchObject(connects ? { ok: true } : { ok: false, scope: 'Sink', code: 'TLS_FAILED' })
    })
  })

  it('cannot use a query that has parameters of its own', () => {
    expect(
      createPostgresqlSink(target({ query: 'SELECT $1' }), createEgress(LOOPBACK_ALLOWED)),
    ).toMatchObject({
      ok: false,
      code: 'QUERY_INVALID',
    })
  })
})
