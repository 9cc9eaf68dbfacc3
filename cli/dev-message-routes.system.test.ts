/** The manifests of `examples/routes` for message systems in a running `hublet dev`, against real servers. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { HTTP } from 'cloudevents'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { HttpDestination, type SeenRequest } from '../routes/sinks/rest/http-destination.fixture.ts'
import { type KafkaServer, startKafka } from '../test-support/kafka.ts'
import { mosquittoPub, mosquittoSub } from '../test-support/mosquitto.ts'
import { type MosquittoBroker, startMosquittoBroker } from '../test-support/mosquitto-broker.ts'
import type { MqttClient } from '../test-support/mqtt-client.ts'
import { type NatsServer, startNats } from '../test-support/nats.ts'
import { waitUntil } from '../test-support/wait.ts'
import { DevProcess, Workspace } from './dev-process.fixture.ts'

const EXAMPLES = join(import.meta.dirname, '../examples/routes')

let workspace: Workspace
let dev: DevProcess
let dashboard: MqttClient
let nats: NatsServer
let kafka: KafkaServer
let mosquitto: MosquittoBroker
const http = new HttpDestination()

/** The addresses in the examples are those that the servers have by default. */
function example(file: string, change: [from: string, to: string]): void {
  const text = readFileSync(join(EXAMPLES, file), 'utf8')
  expect(text).toContain(change[0])
  workspace.write(file, text.replace(...change))
}

beforeAll(async () => {
  ;[nats, kafka, mosquitto] = await Promise.all([startNats(), startKafka(), startMosquittoBroker()])
  await http.start()
  await nats.createStream('IOT', { subjects: ['iot.>'] })
  await kafka.createTopic('iot')
  workspace = await Workspace.make()
  example('nats.yaml', ['127.0.0.1:4222', `127.0.0.1:${nats.port}`])
  example('kafka.yaml', ['127.0.0.1:9092', `127.0.0.1:${kafka.port}`])
  example('mqtt.yaml', ['127.0.0.1:1884', `127.0.0.1:${mosquitto.port}`])
  example('cloudevents.yaml', ['127.0.0.1:8080', `127.0.0.1:${http.port}`])
  dev = await DevProcess.start(workspace)
  dashboard = await dev.connectById('dashboard')
}, 300_000)

afterAll(async () => {
  expect(await dev?.stop()).toBe(0)
  await Promise.all([nats?.stop(), kafka?.stop(), mosquitto?.stop(), http.stop()])
})

const some = async <T>(what: string, take: () => Promise<T[]>) =>
  await waitUntil(what, async () => {
    const found = await take()
    return found.length > 0 ? found : undefined
  })

const isAbout = (topic: string) => (seen: SeenRequest) => seen.headers['x-mqtt-topic'] === topic

describe('the examples of routes to message systems', () => {
  it('bring a reading to NATS and Kafka', async () => {
    await dashboard.publish('sensors/attic/temperature', '21.5', { qos: 1 })
    const [message] = await some('a message', () => nats.takeMessages('IOT'))
    expect(message?.subject).toBe('iot.sensors.attic.temperature')
    expect(message?.payload.toString()).toBe('21.5')
    const [record] = await some('a record', () => kafka.takeRecords('iot'))
    expect(record).toMatchObject({ key: 'sensors/attic/temperature', payload: Buffer.from('21.5') })
    expect(record?.headers['Mqtt-Id']).toBe(message?.headers['Nats-Msg-Id'])
  })

  it('bring it as a CloudEvent, the same by its id', async () => {
    await dashboard.publish('sensors/attic/pressure', '{"hPa":1013}', { qos: 1 })
    const requests = await some('a request', async () =>
      http.take().filter(isAbout('sensors/attic/pressure')),
    )
    const [{ headers, body } = { headers: {}, body: '' }] = requests
    const event = HTTP.toEvent({ headers, body: String(body) })
    const [message] = await some('a message', () => nats.takeMessages('IOT'))
    expect(event).toMatchObject({
      id: message?.headers['Nats-Msg-Id'],
      type: 'com.example.reading',
      source: '/gardens/north',
      data: { hPa: 1013 },
    })
  })

  it('bridge to another broker, and back', async () => {
    const { access } = mosquitto
    const there = await mosquittoSub({ ...access, topics: '#', qos: 1 })
    await dashboard.subscribe('head-office/#')
    await dashboard.publish('sensors/attic/humidity', '40', { qos: 1 })
    const [reading] = await there.waitForMessages(1)
    expect(reading).toMatchObject({ topic: 'site-7/sensors/attic/humidity', text: '40' })
    await mosquittoPub({ ...access, topic: 'orders/site-7/lamp', payload: 'on', qos: 1 })
    const [order] = await dashboard.waitForMessages(1)
    expect(order).toMatchObject({ topic: 'head-office/orders/site-7/lamp', text: 'on' })
    await there.stop()
  })

  it('show none of their secrets', () => {
    expect(`${dev.stdout}${dev.log}`).not.toMatch(/open sesame/)
  })
})
