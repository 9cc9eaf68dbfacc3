/** The manifests of `examples/routes` against the real servers that they are for, from stream to destination. */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { parseAllDocuments } from 'yaml'
import { MemoryRouteStream } from '../broker/store/memory-route-stream.ts'
import type { RouteRecord } from '../contract/hub-state.ts'
import type { RouteEntry } from '../contract/route-stream.ts'
import { matches } from '../contract/topic.ts'
import type { Route } from '../crds/route.ts'
import { validate } from '../crds/validate.ts'
import { routeSecretValues } from '../operator/compile/route-secrets.ts'
import { systemClock } from '../operator/runtime/clock.ts'
import { type MariadbServer, startMariadb } from '../test-support/mariadb.ts'
import { type PostgresqlServer, startPostgresql } from '../test-support/postgresql.ts'
import { type S3Server, startS3 } from '../test-support/s3.ts'
import { waitUntil } from '../test-support/wait.ts'
import { routeAppend } from './dead-letters.ts'
import { HttpDestination } from './sinks/rest/http-destination.fixture.ts'
import { LOOPBACK_ALLOWED } from './sinks/sink.contract.ts'
import { createRouteWorker, type RouteWorker } from './worker.ts'

const FOLDER = join(import.meta.dirname, '../examples/routes')

interface Example {
  record: RouteRecord
  values: Record<string, string>
}

function readExample(file: string): Example {
  const objects = parseAllDocuments(readFileSync(join(FOLDER, file), 'utf8')).map(
    (document) => document.toJS() as unknown,
  )
  const valid = objects.map((object) => {
    const result = validate(object)
    if (!result.valid) throw new Error(`${file}: ${JSON.stringify(result.errors)}`)
    return result.value
  })
  const route = valid.find(({ kind }) => kind === 'Route') as Route
  const secrets = valid.filter(({ kind }) => kind === 'Secret') as unknown as {
    metadata: { name: string }
    stringData: Record<string, string>
  }[]
  const values: Record<string, string> = {}
  for (const { path, secret, key } of routeSecretValues(route)) {
    const value = secrets.find(({ metadata }) => metadata.name === secret)?.stringData[key]
    if (value !== undefined) values[path] = value
  }
  const { spec, metadata } = route
  return {
    record: { id: metadata.name, name: metadata.name, topic: spec.topic, enabled: true, spec },
    values,
  }
}

describe('the examples of routes', () => {
  const examples = new Map<string, Example>()
  const http = new HttpDestination()
  const replies: { topic: string; text: string }[] = []
  const stream = new MemoryRouteStream()
  let postgresql: PostgresqlServer
  let mariadb: MariadbServer
  let s3: S3Server
  let worker: RouteWorker

  beforeAll(async () => {
    for (const file of readdirSync(FOLDER).filter((name) => name.endsWith('.yaml'))) {
      const example = readExample(file)
      examples.set(example.record.name, example)
    }
    ;[postgresql, mariadb, s3] = await Promise.all([
      startPostgresql(),
      startMariadb(),
      startS3(),
      http.start(),
    ])
    await postgresql.query(
      'CREATE TABLE measurements (id uuid PRIMARY KEY, time timestamptz, topic text, reading jsonb)',
    )
    await postgresql.query('GRANT ALL ON measurements TO hublet')
    await mariadb.query(
      'CREATE TABLE readings (id CHAR(36) PRIMARY KEY, at DATETIME(3), topic TEXT, celsius DOUBLE)',
    )
    await s3.createBucket('my-archive')
    http.answer = ({ headers, path }, response) => {
      if (path !== '/react') return response.writeHead(200).end()
      const isKnown = headers.authorization === 'Bearer open sesame'
      return response.writeHead(isKnown ? 200 : 401, { 'X-Mqtt-Topic': 'events' }).end('done')
    }
    moveTo()
    stream.open()
    worker = createRouteWorker({
      stream,
      records: () => [...examples.values()].map(({ record }) => record),
      credentials: (routeId) => ({ values: examples.get(routeId)?.values ?? {} }),
      publishReply: async (_, { topic, payload }) => {
        replies.push({ topic, text: payload.toString() })
      },
      onStatus: () => {},
      onFault: () => {},
      network: LOOPBACK_ALLOWED,
      clock: systemClock,
      random: Math.random,
    })
  })

  afterAll(async () => {
    await worker.stop()
    stream.close()
    await Promise.all([postgresql.stop(), mariadb.stop(), s3.stop(), http.stop()])
  })

  /** The ports of the examples are those that the servers have by default. */
  function moveTo(): void {
    const spec = (name: string) => {
      const found = examples.get(name)?.record.spec
      if (found === undefined) throw new Error(`examples/routes has no Route ${name}`)
      return found
    }
    Object.assign(spec('archive').s3 ?? {}, { endpoint: s3.url })
    Object.assign(spec('measurements').database ?? {}, { port: postgresql.port })
    Object.assign(spec('readings').database ?? {}, { port: mariadb.port })
    Object.assign(spec('function').rest ?? {}, { url: `http://127.0.0.1:${http.port}/react` })
    Object.assign(spec('doorbell').ifttt ?? {}, { baseUrl: `http://127.0.0.1:${http.port}` })
  }

  const time = Date.UTC(2026, 0, 2, 3, 4, 5, 678)
  let count = 0

  function publish(topic: string, text: string): RouteEntry['id'] {
    count += 1
    const id = `0197a000-0000-7000-8000-${String(count).padStart(12, '0')}`
    const records = [...examples.values()]
      .map(({ record }) => record)
      .filter((it) => matches(it.topic, topic))
    const message = { topic, payload: Buffer.from(text), qos: 1, retain: false } as const
    stream.append(message, { into: records.map(routeAppend), id, time })
    return id
  }

  const drained = async () =>
    await waitUntil('all is delivered', async () => {
      const backlogs = await Promise.all([...examples.keys()].map((id) => stream.backlog(id)))
      expect(backlogs.map(({ deadLetters }) => deadLetters)).toEqual(backlogs.map(() => 0))
      return backlogs.every(({ messages }) => messages === 0)
    })

  it('bring a reading to the bucket and both databases', async () => {
    const topic = 'sensors/attic/temperature'
    const id = publish(topic, '{"celsius":21.5}')
    await drained()
    const rows = await postgresql.query('SELECT * FROM measurements')
    expect(rows).toEqual([{ id, time: new Date(time), topic, reading: { celsius: 21.5 } }])
    expect(await mariadb.query('SELECT * FROM readings')).toEqual([
      { id, at: new Date(time), topic, celsius: 21.5 },
    ])
    const [object] = await s3.takeObjects('my-archive')
    expect(object?.key).toMatch(/^iot\/messages\/sensors\/attic\/temperature\/2026-01-02T03:04:05\.678\d*Z$/)
    expect(object?.body.toString()).toBe('{"celsius":21.5}')
  })

  it('leave out of the table what its filter refuses', async () => {
    publish('sensors/attic/temperature', 'warm')
    await drained()
    expect(await postgresql.query("SELECT * FROM measurements WHERE reading::text LIKE '%warm%'")).toEqual([])
  })

  it('call the function and publish its answer', async () => {
    publish('please/react/to/rain', 'it rains')
    await drained()
    expect(replies).toEqual([{ topic: 'events', text: 'done' }])
    const call = http.take().find(({ path }) => path === '/react')
    expect(JSON.parse(String(call?.body))).toEqual({ topic: 'please/react/to/rain', text: 'it rains' })
    expect(call?.headers).toMatchObject({
      'x-mqtt-topic': 'please/react/to/rain',
      'content-type': 'application/json',
    })
  })

  it('ring at IFTTT', async () => {
    publish('door/bell', 'ring')
    await drained()
    const [call] = http.take()
    expect(call?.path).toBe('/trigger/doorbell/with/key/your-webhooks-key')
    expect(JSON.parse(String(call?.body))).toEqual({
      value1: 'door/bell',
      value2: 'ring',
      value3: new Date(time).toISOString(),
    })
  })
})
