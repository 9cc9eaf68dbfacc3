import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Admin, Consumer } from '@platformatic/kafka'
import { freePort } from './free-port.ts'
import { makeServerCertificate } from './openssl.ts'
import { RunningProgram, runProgram } from './run-program.ts'
import { makeTempDir, removeTempDir } from './temp-dir.ts'
import { waitUntil } from './wait.ts'

const LONGEST_RUN_MS = 3_600_000
/** A JVM on a busy machine. */
const START_MS = 180_000
const JARS = join(import.meta.dirname, '../.cache/tools/kafka')
const CLUSTER_ID = 'q1Sh-9_ISia_zwGINzRvyQ'
const MAX_BATCH_BYTES = 8 * 1024 * 1024

export interface KafkaRecord {
  key: string | undefined
  payload: Buffer
  headers: Record<string, string>
  compression: number
}

interface Ports {
  sasl: number
  tls: number
  controller: number
}

/** A real Kafka broker, its own controller, on free ports of 127.0.0.1: one with SASL, one with TLS only. */
export class KafkaServer {
  readonly username = 'hublet'
  readonly password = 'open sesame'
  /** PEM, of the certificate on `tlsPort`. */
  readonly ca: string
  readonly #ports: Ports
  readonly #dir: string
  readonly #taken = new Map<string, bigint>()
  #program: RunningProgram | undefined
  #admin: Admin | undefined
  #consumer: Consumer | undefined

  constructor(dir: string, ca: string, ports: Ports) {
    this.#dir = dir
    this.ca = ca
    this.#ports = ports
  }

  get port(): number {
    return this.#ports.sasl
  }

  get tlsPort(): number {
    return this.#ports.tls
  }

  async format(): Promise<void> {
    const scram = ['--add-scram', `SCRAM-SHA-512=[name=scram,password=${this.password}]`]
    const args = ['format', '-t', CLUSTER_ID, '-c', join(this.#dir, 'server.properties'), ...scram]
    const { code, stdout, stderr } = await runProgram('java', java('kafka.tools.StorageTool', args), {
      timeoutMs: START_MS,
    })
    if (code !== 0) throw new Error(`the folder of Kafka could not be made: ${stdout}${stderr}`)
  }

  async start(): Promise<void> {
    const args = java('kafka.Kafka', [join(this.#dir, 'server.properties')])
    const program = new RunningProgram('java', args, { timeoutMs: LONGEST_RUN_MS })
    this.#program = program
    const options = {
      clientId: 'test',
      bootstrapBrokers: [`127.0.0.1:${this.port}`],
      sasl: { mechanism: 'PLAIN', username: this.username, password: this.password } as const,
      retries: 0,
    }
    await waitUntil(
      'Kafka answers',
      async () => {
        if (program.ended) throw new Error(`${program.stdout}${program.stderr}`)
        const admin = new Admin(options)
        const answers = await admin.metadata({ topics: [] }).then(
          ({ brokers }) => brokers.size > 0,
          () => false,
        )
        if (answers) this.#admin = admin
        else await admin.close()
        return answers
      },
      { timeoutMs: START_MS, intervalMs: 100 },
    )
    this.#consumer = new Consumer({ ...options, groupId: 'test' })
  }

  /** Kills the broker; what is stored stays for the next start. */
  async halt(): Promise<void> {
    await this.#consumer?.close(true)
    await this.#admin?.close()
    await this.#program?.stop('SIGKILL')
  }

  /** With one partition; resolves when its leader serves it, which is some moments after it was made. */
  async createTopic(name: string, configs: Record<string, string> = {}): Promise<void> {
    const pairs = Object.entries(configs).map(([key, value]) => ({ name: key, value }))
    await this.#admin?.createTopics({ topics: [name], partitions: 1, replicas: 1, configs: pairs })
    await waitUntil(
      `topic ${name} is served`,
      async () => (await this.#consumer?.listOffsets({ topics: [name] }))?.has(name),
      { timeoutMs: START_MS },
    )
  }

  /** What has come to the topic since the last time, in order. */
  async takeRecords(topic: string): Promise<KafkaRecord[]> {
    if (this.#admin === undefined || this.#consumer === undefined) throw new Error('Kafka is not running')
    const consumer = this.#consumer
    const end = (await consumer.listOffsets({ topics: [topic] })).get(topic)?.[0] ?? 0n
    const found = (await this.#admin.metadata({ topics: [topic] })).topics.get(topic)
    const taken: KafkaRecord[] = []
    let from = this.#taken.get(topic) ?? 0n
    while (from < end) {
      const place = { partition: 0, currentLeaderEpoch: -1, fetchOffset: from, lastFetchedEpoch: -1 }
      const answer = await consumer.fetch({
        node: found?.partitions[0]?.leader ?? 1,
        topics: [
          { topicId: found?.id ?? '', partitions: [{ ...place, partitionMaxBytes: MAX_BATCH_BYTES }] },
        ],
      })
      for (const batch of answer.responses[0]?.partitions[0]?.records ?? []) {
        for (const { key, value, headers, offsetDelta } of batch.records) {
          const offset = batch.firstOffset + BigInt(offsetDelta)
          if (offset < from) continue
          from = offset + 1n
          taken.push({
            key: key?.toString(),
            payload: value ?? Buffer.alloc(0),
            headers: Object.fromEntries(headers.map((pair) => [String(pair[0]), String(pair[1])])),
            compression: batch.attributes & 7,
          })
        }
      }
    }
    this.#taken.set(topic, from)
    return taken
  }

  async stop(): Promise<void> {
    await this.halt()
    removeTempDir(this.#dir)
  }
}

/** Quick to start rather than quick to run. */
const java = (main: string, args: readonly string[]) => [
  ...['-Xmx256m', '-XX:+UseSerialGC', '-XX:TieredStopAtLevel=1', '-Dlog4j2.level=ERROR'],
  ...['-cp', join(JARS, '*'), main, ...args],
]

export async function startKafka(): Promise<KafkaServer> {
  const dir = makeTempDir('kafka')
  const ports = { sasl: await freePort(), tls: await freePort(), controller: await freePort() }
  const { authority, server: certificate } = await makeServerCertificate()
  const pem = join(dir, 'server.pem')
  writeFileSync(pem, `${readFileSync(certificate.keyPath, 'utf8')}${certificate.certPem}`)
  writeFileSync(join(dir, 'server.properties'), properties(dir, ports, pem).join('\n'))
  const server = new KafkaServer(dir, authority.certPem, ports)
  await server.format()
  await server.start()
  return server
}

function properties(dir: string, ports: Ports, pem: string): string[] {
  const plain = 'org.apache.kafka.common.security.plain.PlainLoginModule'
  const users = 'username="hublet" password="open sesame" user_hublet="open sesame" user_guest="guest"'
  const scram = 'org.apache.kafka.common.security.scram.ScramLoginModule'
  const listeners = `SASL://127.0.0.1:${ports.sasl},TLS://127.0.0.1:${ports.tls}`
  return [
    'process.roles=broker,controller',
    'node.id=1',
    `controller.quorum.voters=1@127.0.0.1:${ports.controller}`,
    `listeners=${listeners},CONTROLLER://127.0.0.1:${ports.controller}`,
    // A name for TLS, so that it is checked.
    `advertised.listeners=SASL://127.0.0.1:${ports.sasl},TLS://localhost:${ports.tls}`,
    'listener.security.protocol.map=SASL:SASL_PLAINTEXT,TLS:SSL,CONTROLLER:PLAINTEXT',
    'controller.listener.names=CONTROLLER',
    'inter.broker.listener.name=SASL',
    'sasl.mechanism.inter.broker.protocol=PLAIN',
    'sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-512',
    `listener.name.sasl.plain.sasl.jaas.config=${plain} required ${users};`,
    `listener.name.sasl.scram-sha-512.sasl.jaas.config=${scram} required;`,
    'listener.name.tls.ssl.keystore.type=PEM',
    `listener.name.tls.ssl.keystore.location=${pem}`,
    'authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer',
    'super.users=User:hublet;User:scram;User:ANONYMOUS',
    `log.dirs=${join(dir, 'data')}`,
    `message.max.bytes=${MAX_BATCH_BYTES}`,
    'offsets.topic.replication.factor=1',
    // As many clusters have it: a route makes no topics all the same.
    'auto.create.topics.enable=true',
  ]
}
