/** Everything that a faulty route may meet: a real server of each kind, and some that are no such server at all. */
import { readFileSync } from 'node:fs'
import {
  createServer as createHttp,
  type Server as HttpServer,
  type IncomingMessage,
  type ServerResponse,
} from 'node:http'
import { createServer as createHttps } from 'node:https'
import { createServer, type Server, type Socket } from 'node:net'
import { freePort } from '../test-support/free-port.ts'
import { device } from '../test-support/hub-state.ts'
import { type KafkaServer, startKafka } from '../test-support/kafka.ts'
import { type MariadbServer, startMariadb } from '../test-support/mariadb.ts'
import { type MosquittoSub, mosquittoSub } from '../test-support/mosquitto.ts'
import { type MosquittoBroker, startMosquittoBroker } from '../test-support/mosquitto-broker.ts'
import { type NatsServer, startNats } from '../test-support/nats.ts'
import { makeServerCertificate } from '../test-support/openssl.ts'
import { type PostgresqlServer, startPostgresql } from '../test-support/postgresql.ts'
import { type S3Server, startS3 } from '../test-support/s3.ts'
import { startBroker, type TestBroker } from '../test-support/start-broker.ts'

const MIB = 1024 * 1024

/** What a route brought, by topic. */
type Arrivals = Map<string, Buffer>

export class FaultServers {
  ca = ''
  postgresql!: PostgresqlServer
  mariadb!: MariadbServer
  s3!: S3Server
  nats!: NatsServer
  /** Takes a thousand bytes a message. */
  smallNats!: NatsServer
  kafka!: KafkaServer
  mosquitto!: MosquittoBroker
  smallMosquitto!: MosquittoBroker
  /** A hub like ours, where `guest` may subscribe to nothing. */
  hub!: TestBroker
  readonly guest = device({
    allowMultipleConnections: true,
    filters: { subscribe: { policy: 'Accept', topics: [] } },
  })
  httpPort = 0
  httpsPort = 0
  /** Takes connections and says nothing. */
  silentPort = 0
  /** Nobody is there. */
  closedPort = 0
  readonly #listeners: (Server | HttpServer)[] = []
  readonly #sockets = new Set<Socket>()
  readonly #http: Arrivals = new Map()
  readonly #s3: Arrivals = new Map()
  readonly #nats: Arrivals = new Map()
  readonly #kafka: Arrivals = new Map()
  #listener: MosquittoSub | undefined

  async start(): Promise<void> {
    const { authority, server } = await makeServerCertificate()
    this.ca = authority.certPem
    const tls = { cert: server.certPath, key: server.keyPath }
    const natsTls = `tls: { cert_file: "${server.certPath}", key_file: "${server.keyPath}" }`
    await this.#startOwn({ cert: readFileSync(tls.cert), key: readFileSync(tls.key) })
    // A JVM takes its time; of the others, one after the other, none takes the port that another was promised.
    const kafka = startKafka()
    kafka.catch(() => {})
    this.hub = await startBroker({ devices: [this.guest] })
    this.postgresql = await startPostgresql({ tls })
    this.mariadb = await startMariadb({ tls })
    this.s3 = await startS3()
    this.nats = await startNats([natsTls, 'allow_non_tls: true'])
    this.smallNats = await startNats(['max_payload: 1000'])
    this.mosquitto = await startMosquittoBroker([`max_packet_size ${8 * MIB}`])
    this.smallMosquitto = await startMosquittoBroker(['max_packet_size 1000'])
    this.kafka = await kafka
    await this.#prepare()
  }

  async stop(): Promise<void> {
    await this.#listener?.stop()
    for (const socket of this.#sockets) socket.destroy()
    for (const listener of this.#listeners) {
      if ('closeAllConnections' in listener) listener.closeAllConnections()
      listener.close()
    }
    const { postgresql, mariadb, s3, nats, smallNats, kafka, mosquitto, smallMosquitto, hub } = this
    const all = [postgresql, mariadb, s3, nats, smallNats, kafka, mosquitto, smallMosquitto, hub]
    await Promise.all(all.map((server) => server?.stop()))
  }

  /** Payloads by topic that a destination got so far, where its route is right. */
  async arrivals(sink: string): Promise<Arrivals> {
    switch (sink) {
      case 'S3':
        for (const { key, body } of await this.s3.takeObjects('iot')) this.#s3.set(key, body)
        return this.#s3
      case 'PostgreSQL':
        return byTopic(await this.postgresql.query('SELECT topic, payload FROM messages'))
      case 'MySQL':
        return byTopic(await this.mariadb.query('SELECT topic, payload FROM messages'))
      case 'NATS':
        for (const { headers, payload } of await this.nats.takeMessages('IOT'))
          this.#nats.set(headers['Mqtt-Topic'] ?? '', payload)
        return this.#nats
      case 'Kafka':
        for (const { headers, payload } of await this.kafka.takeRecords('iot'))
          this.#kafka.set(headers['Mqtt-Topic'] ?? '', payload)
        return this.#kafka
      case 'MQTT':
        return new Map(
          this.#listener?.messages.map(({ topic, payload }) => [topic.slice('site/'.length), payload]),
        )
      default:
        return this.#http
    }
  }

  async #startOwn(certificate: { cert: Buffer; key: Buffer }): Promise<void> {
    const onRequest = (request: IncomingMessage, response: ServerResponse) =>
      void this.#answer(request, response)
    const track = (socket: Socket) => {
      this.#sockets.add(socket.on('error', () => {}).on('close', () => this.#sockets.delete(socket)))
    }
    this.closedPort = await freePort()
    this.httpPort = await this.#listen(createHttp(onRequest))
    this.httpsPort = await this.#listen(createHttps(certificate, onRequest))
    this.silentPort = await this.#listen(createServer(track))
  }

  async #listen(server: Server | HttpServer): Promise<number> {
    this.#listeners.push(server)
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    const address = server.address()
    return typeof address === 'object' && address !== null ? address.port : 0
  }

  async #prepare(): Promise<void> {
    const columns = 'topic text, payload bytea, number int, words text'
    await this.postgresql.query(`
      CREATE TABLE messages (${columns}); GRANT ALL ON messages TO hublet;
      CREATE TABLE secrets (${columns})`)
    await this.mariadb.query(
      'CREATE TABLE messages (topic TEXT, payload LONGBLOB, number INT, words TEXT CHARSET utf8mb4)',
    )
    await this.s3.createBucket('iot')
    await this.nats.createStream('IOT', { subjects: ['iot.>'] })
    await this.nats.createStream('SMALL', { subjects: ['small.>'], max_msg_size: 1000 })
    await this.nats.createStream('FULL', { subjects: ['full.>'], max_bytes: 1, discard: 'new' })
    await this.smallNats.createStream('IOT', { subjects: ['iot.>'] })
    await this.kafka.createTopic('iot')
    await this.kafka.createTopic('small', { 'max.message.bytes': '1000' })
    const { access } = this.mosquitto
    this.#listener = await mosquittoSub({ ...access, topics: 'site/#', qos: 1, timeoutMs: 600_000 })
  }

  /** `/ok` takes everything; `/400` is that status for topics that end in `bad`; `/all/401` is it for all. */
  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const chunks: Buffer[] = []
    for await (const chunk of request as AsyncIterable<Buffer>) chunks.push(chunk)
    const body = Buffer.concat(chunks)
    const { url = '', headers } = request
    // IFTTT has topic and payload in the body.
    const trigger = url.includes('/trigger/') ? (JSON.parse(body.toString()) as Record<string, string>) : {}
    const topic = trigger['value1'] ?? String(headers['x-mqtt-topic'])
    const take = () =>
      this.#http.set(topic, trigger['value2'] === undefined ? body : Buffer.from(trigger['value2']))
    const [, first = '', second = ''] = url.split('/')
    if (first === 'all') return void response.writeHead(Number(second)).end()
    if (/^\d+$/.test(first) && topic.endsWith('bad')) return void response.writeHead(Number(first)).end()
    if (first === 'redirect') return void response.writeHead(302, { Location: '/ok' }).end()
    take()
    if (first === 'endless' || first === 'reply-large')
      return endless(response, first === 'endless' ? {} : { 'X-Mqtt-Topic': 'answers' })
    if (first === 'reply-nowhere') response.setHeader('X-Mqtt-Topic', '$hub/events/x')
    // Back to the topic that the route takes, for ever.
    if (first === 'reply-loop') response.setHeader('X-Mqtt-Topic', topic)
    response.writeHead(200).end('x')
  }
}

function endless(response: ServerResponse, headers: Record<string, string>): void {
  response.writeHead(200, headers)
  const bytes = Buffer.alloc(64 * 1024, ' ')
  const more = () => {
    while (!response.destroyed && response.write(bytes));
    response.once('drain', more)
  }
  more()
}

const byTopic = (rows: Record<string, unknown>[]): Arrivals =>
  new Map(rows.map(({ topic, payload }) => [String(topic), payload as Buffer]))
