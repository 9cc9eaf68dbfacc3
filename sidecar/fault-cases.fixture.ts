/** How each fault of docs/routes-faults.md is made, by fault and destination. */
import type { RouteSpec } from '../crds/route.ts'
import type { FaultServers } from './fault-servers.fixture.ts'

export type Spec = Partial<Omit<RouteSpec, 'delivery' | 'deadLetter'>> & {
  delivery?: Partial<RouteSpec['delivery']>
}

export interface Made {
  spec: Spec
  values?: Record<string, string>
}

export interface FaultCase extends Made {
  /** Of the message that meets the fault; `1` by default. */
  payload?: string | Buffer
  /** Of its topic, beside the level that is the route's own; `bad` by default. */
  level?: string
  /** That of a message that does not meet it. */
  good?: string
}

type Make = (servers: FaultServers) => FaultCase

type Block<S extends keyof RouteSpec> = Partial<NonNullable<RouteSpec[S]>>

const LOOPBACK = '127.0.0.1'
/** The same machine, and yet no name of the certificate. */
const OTHER_NAME = '::ffff:127.0.0.1'
const HIDDEN = '169.254.10.10'
const MIB_4 = Buffer.alloc(4 * 1024 * 1024, 'x')
const BYTES = Buffer.from(Array.from({ length: 256 }, (_, byte) => byte))
const DISABLE = { mode: 'Disable' as const }

const userOf = (path: string, password = 'open sesame', username = 'hublet') => ({
  [`${path}.username`]: username,
  [`${path}.password`]: password,
})

const s3 = ({ s3: server }: FaultServers, more: Block<'s3'> = {}, secretAccessKey = 'open sesame'): Made => ({
  spec: {
    s3: {
      ...{ endpoint: server.url, region: 'us-east-1', bucket: 'iot', prefix: '', forcePathStyle: true },
      strategy: 'PerTopic',
      batch: { maxMessages: 1000, maxBytes: 4_194_304, maxAge: '1s' },
      credentialsSecretRef: { name: 'x' },
      ...more,
    },
  },
  values: {
    's3.credentialsSecretRef.accessKeyId': 'hublet',
    's3.credentialsSecretRef.secretAccessKey': secretAccessKey,
  },
})

const INSERT = 'INSERT INTO messages (topic, payload) VALUES ($TOPIC, $PAYLOAD)'

const database =
  (engine: 'PostgreSQL' | 'MySQL') =>
  (servers: FaultServers, more: Block<'database'> = {}, password = 'open sesame'): Made => ({
    spec: {
      database: {
        ...{ engine, host: LOOPBACK, database: 'iot', query: INSERT, tls: DISABLE, poolSize: 1 },
        port: (engine === 'MySQL' ? servers.mariadb : servers.postgresql).port,
        credentialsSecretRef: { name: 'x' },
        ...more,
      },
    },
    values: userOf('database.credentialsSecretRef', password),
  })
const postgresql = database('PostgreSQL')
const mysql = database('MySQL')

const rest = ({ httpPort }: FaultServers, path = '/ok', more: Block<'rest'> = {}): Made => ({
  spec: {
    rest: {
      method: 'POST',
      url: `http://${LOOPBACK}:${httpPort}${path}`,
      headers: [],
      publishReply: true,
      ...more,
    },
  },
})

const ifttt = ({ httpPort }: FaultServers, path = '/ok', more: Block<'ifttt'> = {}): Made => ({
  spec: {
    ifttt: {
      ...{ event: 'bell', format: 'Values', keySecretRef: { name: 'x', key: 'key' } },
      baseUrl: `http://${LOOPBACK}:${httpPort}${path}`,
      ...more,
    },
  },
  values: { 'ifttt.keySecretRef': 'open-sesame' },
})

const nats = (servers: FaultServers, more: Block<'nats'> = {}, values?: Made['values']): Made => ({
  spec: {
    nats: {
      ...{ servers: [`${LOOPBACK}:${servers.nats.port}`], subject: 'iot.{{ topic }}', tls: DISABLE },
      credentialsSecretRef: { name: 'x' },
      ...more,
    },
  },
  values: values ?? userOf('nats.credentialsSecretRef'),
})

const kafka = (
  { kafka: server }: FaultServers,
  more: Block<'kafka'> = {},
  values?: Made['values'],
): Made => ({
  spec: {
    kafka: {
      ...{ brokers: [`${LOOPBACK}:${server.port}`], topic: 'iot', key: 'Topic', acks: 'All' },
      ...{ compression: 'None', tls: DISABLE },
      sasl: { mechanism: 'PLAIN', credentialsSecretRef: { name: 'x' } },
      ...more,
    },
  },
  values: values ?? userOf('kafka.sasl.credentialsSecretRef'),
})

const mqtt = ({ mosquitto }: FaultServers, more: Block<'mqtt'> = {}, values?: Made['values']): Made => ({
  spec: {
    mqtt: {
      ...{ server: `${LOOPBACK}:${mosquitto.port}`, version: 'MQTT5', topic: 'site/{{ topic }}', qos: 1 },
      ...{ retain: true, subscribe: [], tls: DISABLE, credentialsSecretRef: { name: 'x' } },
      ...more,
    },
  },
  values: values ?? userOf('mqtt.credentialsSecretRef'),
})

const secret = { name: 'x', key: 'ca.crt' }
const header = [{ name: 'Authorization', secretKeyRef: { name: 'x', key: 'y' } }]

/** A route that is right, to each kind of destination. */
export const RIGHT: Record<string, (servers: FaultServers) => Made> = {
  S3: (it) => s3(it),
  PostgreSQL: (it) => postgresql(it),
  MySQL: (it) => mysql(it),
  REST: (it) => rest(it),
  IFTTT: (it) => ifttt(it),
  NATS: (it) => nats(it),
  Kafka: (it) => kafka(it),
  MQTT: (it) => mqtt(it),
}

/** A route of each kind to a host and port that are somewhere else. */
const elsewhere = (host: string, port: (servers: FaultServers) => number): Record<string, Make> => {
  const bracketed = host.includes(':') ? `[${host}]` : host
  const at = (it: FaultServers) => `${bracketed}:${port(it)}`
  return {
    S3: (it) => s3(it, { endpoint: `http://${at(it)}` }),
    PostgreSQL: (it) => postgresql(it, { host, port: port(it) }),
    MySQL: (it) => mysql(it, { host, port: port(it) }),
    REST: (it) => rest(it, '', { url: `http://${at(it)}/` }),
    IFTTT: (it) => ifttt(it, '', { baseUrl: `http://${at(it)}` }),
    NATS: (it) => nats(it, { servers: [at(it)] }),
    Kafka: (it) => kafka(it, { brokers: [at(it)] }),
    MQTT: (it) => mqtt(it, { server: at(it) }),
  }
}

/** TLS with verification, at a host; `ca` where somebody vouches for the certificate. */
const secure = (host: string, isVouchedFor: boolean): Record<string, Make> => {
  const bracketed = host.includes(':') ? `[${host}]` : host
  const tls = { mode: 'VerifyFull' as const, ...(isVouchedFor ? { caSecretRef: secret } : {}) }
  const ca = isVouchedFor ? { caSecretRef: secret } : {}
  const withCa = ({ spec, values }: Made, path: string, { ca: pem }: FaultServers): Made => ({
    spec,
    values: { ...values, ...(isVouchedFor ? { [`${path}.caSecretRef`]: pem } : {}) },
  })
  return {
    S3: (it) => withCa(s3(it, { endpoint: `https://${bracketed}:${it.httpsPort}`, ...ca }), 's3', it),
    PostgreSQL: (it) => withCa(postgresql(it, { host, tls }), 'database.tls', it),
    MySQL: (it) => withCa(mysql(it, { host, tls }), 'database.tls', it),
    REST: (it) => withCa(rest(it, '', { url: `https://${bracketed}:${it.httpsPort}/ok`, ...ca }), 'rest', it),
    IFTTT: (it) => ifttt(it, '', { baseUrl: `https://${bracketed}:${it.httpsPort}/ok` }),
    NATS: (it) => withCa(nats(it, { servers: [`${bracketed}:${it.nats.port}`], tls }), 'nats.tls', it),
    Kafka: (it) =>
      withCa({ ...kafka(it, { brokers: [`${bracketed}:${it.kafka.tlsPort}`], tls }) }, 'kafka.tls', it),
    MQTT: (it) => withCa(mqtt(it, { server: `${bracketed}:${it.mosquitto.tlsPort}`, tls }), 'mqtt.tls', it),
  }
}

const withoutValues =
  (make: Make): Make =>
  (it) => ({ ...make(it), values: {} })
const quickly = (makes: Record<string, Make>): Record<string, Make> =>
  Object.fromEntries(
    Object.entries(makes).map(([sink, make]) => [
      sink,
      (it: FaultServers) => {
        const made = make(it)
        return { ...made, spec: { ...made.spec, delivery: { timeout: '1s' } } }
      },
    ]),
  )
const withPayload = (payload: string | Buffer, makes: Record<string, (servers: FaultServers) => Made>) =>
  Object.fromEntries(
    Object.entries(makes).map(([sink, make]) => [
      sink,
      (it: FaultServers): FaultCase => ({ ...make(it), payload }),
    ]),
  )
const guest = (path: string) => userOf(path, 'guest', 'guest')
const into = (column: string) =>
  `INSERT INTO messages (topic, payload, ${column}) VALUES ($TOPIC, $TOPIC, $PAYLOAD)`
const { IFTTT: _ifttt, ...NAMED } = secure(OTHER_NAME, true)
const { IFTTT: _text, ...BINARY } = RIGHT

export const CASES: Record<string, Record<string, Make>> = {
  'wrong credentials': {
    S3: (it) => s3(it, {}, 'wrong sesame'),
    PostgreSQL: (it) => postgresql(it, {}, 'wrong sesame'),
    MySQL: (it) => mysql(it, {}, 'wrong sesame'),
    REST: (it) => rest(it, '/all/401'),
    IFTTT: (it) => ifttt(it, '/all/401'),
    NATS: (it) => nats(it, {}, userOf('nats.credentialsSecretRef', 'wrong sesame')),
    Kafka: (it) => kafka(it, {}, userOf('kafka.sasl.credentialsSecretRef', 'wrong sesame')),
    MQTT: (it) => mqtt(it, {}, userOf('mqtt.credentialsSecretRef', 'wrong sesame')),
  },
  'a Secret, or a key of it, that is missing': Object.fromEntries(
    Object.entries({ ...RIGHT, REST: (it: FaultServers) => rest(it, '/ok', { headers: header }) }).map(
      ([sink, make]) => [sink, withoutValues(make)],
    ),
  ),
  'no such table': {
    PostgreSQL: (it) => postgresql(it, { query: 'INSERT INTO nowhere VALUES ($TOPIC)' }),
    MySQL: (it) => mysql(it, { query: 'INSERT INTO nowhere VALUES ($TOPIC)' }),
  },
  'no right to the table': {
    PostgreSQL: (it) => postgresql(it, { query: 'INSERT INTO secrets (topic) VALUES ($TOPIC)' }),
    MySQL: (it) => mysql(it, { query: 'INSERT INTO mysql.user (User) VALUES ($TOPIC)' }),
  },
  'bad SQL': {
    PostgreSQL: (it) => postgresql(it, { query: 'INSRT INTO messages VALUES ($TOPIC)' }),
    MySQL: (it) => mysql(it, { query: 'INSRT INTO messages VALUES ($TOPIC)' }),
  },
  'a query with placeholders of its own': {
    PostgreSQL: (it) => postgresql(it, { query: 'SELECT $1' }),
    MySQL: (it) => mysql(it, { query: 'SELECT ?' }),
  },
  'no such database': {
    PostgreSQL: (it) => postgresql(it, { database: 'nowhere' }),
    MySQL: (it) => mysql(it, { database: 'nowhere' }),
  },
  'no such bucket': { S3: (it) => s3(it, { bucket: 'nowhere' }) },
  'no stream that takes the subject': { NATS: (it) => nats(it, { subject: 'nowhere' }) },
  'another stream than the one named': { NATS: (it) => nats(it, { stream: 'OTHER' }) },
  'no such Kafka topic, a fixed name': { Kafka: (it) => kafka(it, { topic: 'nowhere' }) },
  'no such Kafka topic, a name with `{{ topic }}`': {
    Kafka: (it) => ({ ...kafka(it, { topic: 'per.topic.{{ topic }}' }), level: 'bad' }),
  },
  'no right to a fixed subject or topic': {
    NATS: (it) => nats(it, { subject: 'iot.fixed' }, guest('nats.credentialsSecretRef')),
    Kafka: (it) => kafka(it, {}, guest('kafka.sasl.credentialsSecretRef')),
    MQTT: (it) => mqtt(it, { topic: 'site/fixed' }, guest('mqtt.credentialsSecretRef')),
  },
  'no right to a topic with `{{ topic }}`': {
    MQTT: (it) => mqtt(it, { topic: '{{ topic }}' }, guest('mqtt.credentialsSecretRef')),
  },
  'a name that is not found': elsewhere('nowhere.invalid', () => 9),
  'a port where nobody listens': elsewhere(LOOPBACK, (it) => it.closedPort),
  'a certificate for another name': NAMED,
  'a certificate that nobody vouches for': secure('localhost', false),
  'https to a server without it': {
    S3: (it) => s3(it, { endpoint: it.s3.url.replace('http:', 'https:') }),
    REST: (it) => rest(it, '', { url: `https://${LOOPBACK}:${it.httpPort}/` }),
    IFTTT: (it) => ifttt(it, '', { baseUrl: `https://${LOOPBACK}:${it.httpPort}` }),
  },
  'an address that routes may not reach': elsewhere(HIDDEN, () => 9),
  'no answer within `timeout`': quickly(elsewhere(LOOPBACK, (it) => it.silentPort)),
  'status 429': { REST: (it) => rest(it, '/all/429'), IFTTT: (it) => ifttt(it, '/all/429') },
  'a stream that is full': { NATS: (it) => nats(it, { subject: 'full.{{ topic }}' }) },
  'a redirect that loses the message': { REST: (it) => rest(it, '/redirect') },
  'status 404': { REST: (it) => rest(it, '/all/404'), IFTTT: (it) => ifttt(it, '/all/404') },
  'status 500': { REST: (it) => rest(it, '/500'), IFTTT: (it) => ifttt(it, '/500') },
  'status 400': { REST: (it) => rest(it, '/400'), IFTTT: (it) => ifttt(it, '/400') },
  'status 413': { REST: (it) => rest(it, '/413') },
  'a value that a column refuses': {
    PostgreSQL: (it) => ({ ...postgresql(it, { query: into('number') }), payload: 'words' }),
    MySQL: (it) => ({ ...mysql(it, { query: into('number') }), payload: 'words' }),
  },
  'a payload that is no text, where text is wanted': {
    PostgreSQL: (it) => ({ ...postgresql(it, { query: into('words') }), payload: BYTES }),
    MySQL: (it) => ({ ...mysql(it, { query: into('words') }), payload: BYTES }),
    IFTTT: (it) => ({ ...ifttt(it), payload: BYTES }),
  },
  'a payload that is no JSON, with `format: JSON`': {
    IFTTT: (it) => ({
      ...ifttt(it, '/ok', { format: 'JSON' }),
      payload: 'words',
      good: '{"value1":"GOOD","value2":"1"}',
    }),
  },
  'a payload that the server finds too large': {
    NATS: (it) => ({
      ...nats(it, { servers: [`${LOOPBACK}:${it.smallNats.port}`] }),
      payload: 'x'.repeat(2_000),
    }),
    MQTT: (it) => ({
      ...mqtt(it, { server: `${LOOPBACK}:${it.smallMosquitto.port}` }),
      payload: 'x'.repeat(2_000),
    }),
  },
  'a payload that the stream finds too large': {
    NATS: (it) => ({ ...nats(it, { subject: 'small.{{ topic }}' }), payload: 'x'.repeat(2_000) }),
  },
  'a payload that the Kafka topic finds too large': {
    Kafka: (it) => ({ ...kafka(it, { topic: 'small' }), payload: 'x'.repeat(2_000) }),
  },
  'a topic that makes no key': { S3: (it) => ({ ...s3(it), level: '../bad' }) },
  'a topic that makes no Kafka topic': {
    Kafka: (it) => ({ ...kafka(it, { topic: 'per.topic.{{ topic }}' }), level: 'x'.repeat(300) }),
  },
  'a topic that makes no MQTT topic': { MQTT: (it) => ({ ...mqtt(it), level: 'x'.repeat(65_530) }) },
  'an expression that fails on the message': {
    REST: (it) => {
      const { spec } = rest(it)
      return { spec: { ...spec, filter: { expression: 'json.t > 1.0' } }, payload: 'words', good: '{"t":2}' }
    },
  },
  'an expression that is none': {
    REST: (it) => ({ spec: { ...rest(it).spec, filter: { expression: 'json.t >' } } }),
  },
  'a payload of 4 MiB': withPayload(MIB_4, RIGHT),
  'a payload of any bytes': withPayload(BYTES, BINARY),
  'an answer without end': {
    S3: (it) => s3(it, { endpoint: `http://${LOOPBACK}:${it.httpPort}/endless` }),
    REST: (it) => rest(it, '/endless'),
    IFTTT: (it) => ifttt(it, '/endless'),
  },
  'a reply that is too large': { REST: (it) => rest(it, '/reply-large') },
  'a reply to no topic': { REST: (it) => rest(it, '/reply-nowhere') },
  'a reply to a reply': { REST: (it) => rest(it, '/reply-loop') },
  'a subscription that the other broker refuses': {
    MQTT: (it) =>
      mqtt(
        it,
        {
          server: `${LOOPBACK}:${it.hub.port('mqtt')}`,
          clientId: 'bridge',
          subscribe: [{ topic: 'orders/#', prefix: '', qos: 1 }],
        },
        userOf('mqtt.credentialsSecretRef', '', it.guest.id),
      ),
  },
}
