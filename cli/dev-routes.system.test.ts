/** The manifests of `examples/routes` in a running `hublet dev`, against the real servers that they are for. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { HttpDestination } from '../routes/sinks/rest/http-destination.fixture.ts'
import { type MariadbServer, startMariadb } from '../test-support/mariadb.ts'
import type { MqttClient } from '../test-support/mqtt-client.ts'
import { type PostgresqlServer, startPostgresql } from '../test-support/postgresql.ts'
import { runProgram } from '../test-support/run-program.ts'
import { type S3Server, type StoredObject, startS3 } from '../test-support/s3.ts'
import { waitUntil } from '../test-support/wait.ts'
import { DevProcess, Workspace } from './dev-process.fixture.ts'

const EXAMPLES = join(import.meta.dirname, '../examples/routes')

let workspace: Workspace
let dev: DevProcess
let dashboard: MqttClient
let postgresql: PostgresqlServer
let mariadb: MariadbServer
let s3: S3Server
const http = new HttpDestination()

/** The addresses in the examples are those that the servers have by default. */
function example(file: string, change: [from: string, to: string]): void {
  const text = readFileSync(join(EXAMPLES, file), 'utf8')
  expect(text).toContain(change[0])
  workspace.write(file, text.replace(...change))
}

beforeAll(async () => {
  ;[postgresql, mariadb, s3] = await Promise.all([startPostgresql(), startMariadb(), startS3(), http.start()])
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
  workspace = await Workspace.make()
  example('s3.yaml', ['http://127.0.0.1:9000', s3.url])
  example('postgresql.yaml', ['port: 5432', `port: ${postgresql.port}`])
  example('mysql.yaml', ['port: 3306', `port: ${mariadb.port}`])
  example('rest.yaml', ['127.0.0.1:8000', `127.0.0.1:${http.port}`])
  example('ifttt.yaml', ['event: doorbell', `event: doorbell\n    baseUrl: http://127.0.0.1:${http.port}`])
  dev = await DevProcess.start(workspace)
  dashboard = await dev.connectById('dashboard')
})

afterAll(async () => {
  expect(await dev?.stop()).toBe(0)
  await Promise.all([postgresql?.stop(), mariadb?.stop(), s3?.stop(), http.stop()])
})

describe('the examples of routes', () => {
  it('bring a reading to the bucket and both databases', async () => {
    const topic = 'sensors/attic/temperature'
    await dashboard.publish(topic, '{"celsius":21.5}', { qos: 1 })
    await dashboard.publish(topic, 'warm', { qos: 1 })
    const rows = async <T>(read: () => Promise<T[]>) =>
      await waitUntil('a row', async () => {
        const found = await read()
        return found.length > 0 ? found : undefined
      })
    const [row] = await rows(() => postgresql.query('SELECT * FROM measurements'))
    expect(row).toMatchObject({ topic, reading: { celsius: 21.5 } })
    const { id, time } = row as { id: string; time: Date }
    expect(await rows(() => mariadb.query('SELECT * FROM readings WHERE celsius IS NOT NULL'))).toEqual([
      { id, at: time, topic, celsius: 21.5 },
    ])
    const objects: StoredObject[] = []
    await waitUntil('both objects', async () => {
      // One may have come before the other.
      objects.push(...(await s3.takeObjects('my-archive')))
      return objects.length > 1
    })
    expect(objects.map(({ body }) => body.toString()).sort()).toEqual(['warm', '{"celsius":21.5}'])
    for (const { key } of objects)
      expect(key).toMatch(/^iot\/messages\/sensors\/attic\/temperature\/\d{4}-\d\d-\d\dT[\d:.]+Z$/)
    // The filter of the route refused what has no number.
    expect(await postgresql.query('SELECT * FROM measurements')).toHaveLength(1)
  })

  it('call the function and publish its answer', async () => {
    const pump = await dev.connectByCertificate('thermometer')
    await pump.subscribe('events')
    await dashboard.publish('please/react/to/rain', 'it rains', { qos: 1 })
    const [answer] = await pump.waitForMessages(1)
    expect(answer).toMatchObject({ topic: 'events', text: 'done' })
    const call = http.take().find(({ path }) => path === '/react')
    expect(JSON.parse(String(call?.body))).toEqual({ topic: 'please/react/to/rain', text: 'it rains' })
    await pump.disconnect()
  })

  it('ring at IFTTT, whose applet answers by a network', async () => {
    // What an applet does with "make a web request".
    const request = async () => {
      const file = (...parts: string[]) => join(workspace.path, '.hublet', 'garden', ...parts)
      const headers = [
        '-H',
        `X-Secret: ${workspace.read('.hublet', 'garden', 'networks', 'web', 'token').trim()}`,
      ]
      headers.push('-H', 'X-Topic: house/light')
      const url = `https://localhost:${dev.port('https')}/networks/web`
      return await runProgram('curl', ['-sSf', '--cacert', file('ca.crt'), ...headers, '-d', 'on', url])
    }
    let answered: ReturnType<typeof request> | undefined
    http.answer = (_, response) => {
      response.writeHead(200).end()
      answered = request()
    }
    const light = await dev.connectByCertificate('thermometer')
    await light.subscribe('web/house/light')
    await dashboard.publish('door/bell', 'ring', { qos: 1 })
    const [message] = await light.waitForMessages(1)
    expect(message?.text).toBe('on')
    const [call] = http.take()
    expect(call?.path).toBe('/trigger/doorbell/with/key/your-webhooks-key')
    expect(JSON.parse(String(call?.body))).toEqual({
      value1: 'door/bell',
      value2: 'ring',
      value3: expect.stringMatching(/^\d{4}-\d\d-\d\dT/),
    })
    expect(await answered).toMatchObject({ code: 0 })
    await light.disconnect()
  })

  it('are seen in the metrics, and none of their secrets anywhere', async () => {
    const port = /Metrics on http:\/\/localhost:(\d+)/.exec(dev.stdout)?.[1]
    const text = await waitUntil('counts', async () => {
      const body = await (await fetch(`http://127.0.0.1:${port}/metrics`)).text()
      const value = (name: string, route: string) =>
        Number(new RegExp(`^${name}{route="${route}",[^}]*} (\\S+)$`, 'm').exec(body)?.[1])
      expect(value('hublet_route_delivered_total', 'measurements')).toBe(1)
      expect(value('hublet_route_filtered_total', 'measurements')).toBe(1)
      expect(value('hublet_route_ready', 'measurements')).toBe(1)
      expect(value('hublet_route_delivered_total', 'doorbell')).toBe(1)
      expect(value('hublet_route_lag_messages', 'doorbell')).toBe(0)
      return body
    })
    expect(`${text}${dev.stdout}${dev.log}`).not.toMatch(/open sesame|your-webhooks-key/)
  })
})
