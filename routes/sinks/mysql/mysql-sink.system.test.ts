import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type MariadbServer, startMariadb } from '../../../test-support/mariadb.ts'
import { makeCertificate } from '../../../test-support/openssl.ts'
import { waitUntil } from '../../../test-support/wait.ts'
import { createEgress } from '../../net/egress.ts'
import { LOOPBACK_ALLOWED, makeEntry, NEVER, type SinkHarness, sinkContract } from '../sink.contract.ts'
import type { Sink, SinkFailure } from '../sink.ts'
import type { DatabaseTarget } from '../sql/database-target.ts'
import { databaseTls } from '../sql/database-tls.ts'
import { createMysqlSink } from './mysql-sink.ts'

const INSERT = 'INSERT INTO messages (time, topic, payload) VALUES (NOW(), $TOPIC, $PAYLOAD)'

let server: MariadbServer
let caPem: string

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
    const ca = await makeCertificate({ commonName: 'ca', authority: true })
    const made = await makeCertificate({
      commonName: 's',
      issuer: ca,
      subjectAltName: 'DNS:localhost',
    })
    caPem = ca.certPem
    server = await startMariadb({ tls: { cert: made.certPath, key: made.keyPath } })
    await server.query(
      'CREATE TABLE messages (n INT AUTO_INCREMENT PRIMARY KEY, time DATETIME, topic TEXT CHARSET utf8mb4, payload LONGBLOB)',
    )
  }

  async stop(): Promise<void> {
    await server.stop()
  }

  open({ egress = LOOPBACK_ALLOWED, ...place } = {}): Sink {
    return sinkOf(createMysqlSink(target(place), createEgress(egress)))
  }

  async takeArrived() {
    const rows = await server.query('SELECT topic, payload FROM messages ORDER BY n')
    await server.query('DELETE FROM messages')
    return rows as { topic: string; payload: Buffer }[]
  }
}

describe('the MySQL sink', () => {
  sinkContract(new Harness())

  const sinks: Sink[] = []
  const open = (query: string, more: Partial<DatabaseTarget> = {}): Sink => {
    const sink = sinkOf(createMysqlSink(target({ query, ...more }), createEgress(LOOPBACK_ALLOWED)))
    sinks.push(sink)
    return sink
  }
  afterAll(async () => {
    await Promise.all(sinks.map((sink) => sink.close()))
  })

  it.each([
    ['a text', 'v TEXT CHARSET utf8mb4', '$PAYLOAD', 'é🌡', 'é🌡'],
    ['bytes', 'v BLOB', '$PAYLOAD', 'abc', Buffer.from('abc')],
    ['a double', 'v DOUBLE', '$PAYLOAD', '21.5', 21.5],
    ['an integer', 'v INT', '$PAYLOAD', '42', 42],
    ['JSON', 'v JSON', '$PAYLOAD', '{"user":"me"}', { user: 'me' }],
    ['a part of JSON', 'v TEXT', "JSON_UNQUOTE(JSON_EXTRACT($PAYLOAD,'$.user'))", '{"user":"me"}', 'me'],
    ['a value of JSON', 'v JSON', "JSON_EXTRACT($PAYLOAD,'$.user')", '{"user":"me"}', 'me'],
    ['a payload used twice', 'a TEXT, v DOUBLE', "$PAYLOAD, JSON_VALUE($PAYLOAD, '$.n')", '{"n":1.5}', 1.5],
  ])(
    'stores %s by the queries of the original service',
    async (title, columns, values, payload, expected) => {
      const table = title.replaceAll(' ', '_')
      await server.query(`CREATE TABLE \`${table}\` (${columns})`)
      const sink = open(`INSERT INTO \`${table}\` VALUES (${values})`)
      expect(await sink.deliver(makeEntry('a/b', payload), NEVER)).toEqual({ ok: true })
      const [row] = await server.query(`SELECT v FROM \`${table}\``)
      expect(row?.['v']).toEqual(expected)
    },
  )

  it('calls functions', async () => {
    await server.query('CREATE TABLE heard (topic TEXT, v TEXT)')
    await server.query(
      'CREATE FUNCTION store_f(t TEXT, p TEXT) RETURNS INT BEGIN INSERT INTO heard VALUES (t, p); RETURN 1; END',
    )
    const sink = open('SELECT store_f($TOPIC, $PAYLOAD)')
    const entries = ['1', '2'].map((text) => makeEntry('f', text))
    expect(await sink.deliverMany?.(entries, NEVER)).toEqual({ ok: true })
    expect(await server.query('SELECT v FROM heard ORDER BY v')).toEqual([{ v: '1' }, { v: '2' }])
  })

  it('calls procedures', async () => {
    await server.query('CREATE TABLE called (topic TEXT, v JSON)')
    await server.query('CREATE PROCEDURE store_p(t TEXT, p TEXT) INSERT INTO called VALUES (t, p)')
    expect(await open('CALL store_p($TOPIC, $PAYLOAD)').deliver(makeEntry('p', '2'), NEVER)).toEqual({
      ok: true,
    })
    expect(await server.query('SELECT * FROM called')).toEqual([{ topic: 'p', v: 2 }])
  })

  it('gives time, device, QoS, retain and id', async () => {
    await server.query(
      'CREATE TABLE typed (at DATETIME(3), ts TIMESTAMP(3), device TEXT, qos INT, retain BOOLEAN, id CHAR(36))',
    )
    const sink = open('INSERT INTO typed VALUES ($TIME, $TIME, $DEVICE, $QOS, $RETAIN, $ID)')
    const at = new Date(Date.UTC(2026, 5, 1, 12, 0, 0, 123))
    const one = makeEntry('a', 'x', { time: at.getTime(), deviceId: 'me', qos: 2, retain: true })
    const other = makeEntry('a', 'x', { time: at.getTime() })
    await sink.deliver(one, NEVER)
    await sink.deliver(other, NEVER)
    const select =
      'SELECT at, UNIX_TIMESTAMP(ts) * 1000 AS ts, device, qos, retain, id FROM typed ORDER BY qos DESC'
    const rows = (await server.query(select)).map((row) => ({ ...row, ts: Number(row['ts']) }))
    expect(rows).toEqual([
      { at, ts: at.getTime(), device: 'me', qos: 2, retain: 1, id: one.id },
      { at, ts: at.getTime(), device: null, qos: 1, retain: 0, id: other.id },
    ])
  })

  it('stores a message that comes again only once when $ID is unique', async () => {
    await server.query('CREATE TABLE once (id CHAR(36) PRIMARY KEY)')
    const sink = open('INSERT IGNORE INTO once VALUES ($ID)')
    const entry = makeEntry('a', 'x')
    for (let attempt = 0; attempt < 3; attempt += 1)
      expect(await sink.deliver(entry, NEVER)).toEqual({ ok: true })
    expect(await server.query('SELECT COUNT(*) AS n FROM once')).toEqual([{ n: 1 }])
  })

  describe('of a message that is refused', () => {
    beforeAll(async () => {
      await server.query('CREATE TABLE strict (v INT CHECK (v < 100), j JSON, u INT UNIQUE)')
    })

    it.each([
      ['a value of another type', '(v) VALUES ($PAYLOAD)', 'not-a-number', '1366'],
      ['a constraint', '(v) VALUES ($PAYLOAD)', '1000', '4025'],
      ['bad JSON', '(j) VALUES ($PAYLOAD)', 'not-json', '4025'],
    ])('by %s, it tells which, without the payload', async (_, values, payload, number) => {
      const result = await open(`INSERT INTO strict ${values}`).deliver(makeEntry('a', payload), NEVER)
      expect(result).toMatchObject({ kind: 'Permanent', scope: 'Message', code: 'DATABASE_EXECUTE_FAILED' })
      expect(result).toHaveProperty('message', expect.stringContaining(number))
      expect(result).toHaveProperty('message', expect.not.stringContaining(payload))
    })

    it('none of its batch is stored', async () => {
      const sink = open('INSERT INTO strict (v) VALUES ($PAYLOAD)', { poolSize: 1 })
      const entries = ['1', '2', 'bad', '4'].map((text) => makeEntry('a', text))
      expect(await sink.deliverMany?.(entries, NEVER)).toMatchObject({ ok: false, scope: 'Message' })
      expect(await server.query('SELECT * FROM strict')).toEqual([])
      expect(await sink.deliver(makeEntry('a', '5'), NEVER)).toEqual({ ok: true })
      expect(await server.query('SELECT v FROM strict')).toEqual([{ v: 5 }])
    })

    it('bytes that are no text are stored as bytes, and refused as text', async () => {
      await server.query('CREATE TABLE raw (b VARBINARY(10), t TEXT CHARSET utf8mb4)')
      const bytes = Buffer.from([0xff, 0, 0xfe])
      expect(
        await open('INSERT INTO raw (b) VALUES ($PAYLOAD)').deliver(makeEntry('a', bytes), NEVER),
      ).toEqual({
        ok: true,
      })
      expect(await server.query('SELECT b FROM raw')).toEqual([{ b: bytes }])
      const refused = await open('INSERT INTO raw (t) VALUES ($PAYLOAD)').deliver(
        makeEntry('a', bytes),
        NEVER,
      )
      expect(refused).toMatchObject({ kind: 'Permanent' })
    })
  })

  it.each([
    ['a missing table', 'INSERT INTO nowhere VALUES ($PAYLOAD)', "Table 'iot.nowhere' doesn't exist"],
    ['bad SQL', 'INSRT INTO x', 'You have an error in your SQL syntax'],
    ['a table without rights', 'INSERT INTO mysql.user (User) VALUES ($TOPIC)', 'denied'],
  ])('makes all messages wait for the end of %s', async (_, query, text) => {
    const result = await open(query).deliver(makeEntry('a', 'x'), NEVER)
    expect(result).toMatchObject({ kind: 'Transient', scope: 'Sink', message: expect.stringContaining(text) })
  })

  it('goes on by itself after the server was killed', async () => {
    const sink = open('DO $PAYLOAD')
    expect(await sink.deliver(makeEntry('a', 'x'), NEVER)).toEqual({ ok: true })
    await server.kill()
    expect(await sink.deliver(makeEntry('a', 'x'), NEVER)).toMatchObject({ ok: false, scope: 'Sink' })
    await server.start()
    expect(await sink.deliver(makeEntry('a', 'x'), NEVER)).toEqual({ ok: true })
  })

  it.each([undefined, databaseTls('Require', undefined)])(
    'ends a query whose rows have no end when its time is over (TLS: %o)',
    async (tls) => {
      const rows = 'WITH RECURSIVE t AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM t WHERE n < 900)'
      const sink = open(`${rows} SELECT REPEAT($TOPIC, 100) FROM t a, t b, t c, t d`, { tls })
      expect(await sink.deliver(makeEntry('a', 'x'), AbortSignal.timeout(500))).toMatchObject({
        code: 'TIMEOUT',
      })
      await waitUntil(
        'nobody asks any more',
        async () =>
          (await server.query("SELECT * FROM information_schema.processlist WHERE info LIKE 'WITH%'"))
            .length === 0,
        { timeoutMs: 20_000 },
      )
    },
  )

  describe('over TLS', () => {
    it.each([
      ['VerifyFull', 'the right CA', true, 'localhost', true],
      ['VerifyFull', 'the right CA', true, '127.0.0.1', false],
      ['VerifyFull', 'the CAs of the system', false, 'localhost', false],
      ['Require', 'the CAs of the system', false, '127.0.0.1', true],
    ] as const)('%s with %s (%s) at %s connects: %s', async (mode, _, withCa, host, connects) => {
      const sink = open('DO $PAYLOAD', { host, tls: databaseTls(mode, withCa ? caPem : undefined) })
      const result = await sink.deliver(makeEntry('a', 'x'), NEVER)
      expect(result).toMatchObject(connects ? { ok: true } : { ok: false, scope: 'Sink', code: 'TLS_FAILED' })
    })
  })
})
