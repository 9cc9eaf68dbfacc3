/** From the spec of a route and its secret values to the sink of its destination. */
import type { RouteSpec } from '../../crds/route.ts'
import { milliseconds } from '../run/delivery-policy.ts'
import { createIftttSink } from './ifttt/ifttt-sink.ts'
import { createKafkaSink } from './kafka/kafka-sink.ts'
import type { MqttTools } from './mqtt/mqtt-client.ts'
import { createMqttSink } from './mqtt/mqtt-sink.ts'
import { createMysqlSink } from './mysql/mysql-sink.ts'
import { createNatsSink } from './nats/nats-sink.ts'
import { createPostgresqlSink } from './postgresql/postgresql-sink.ts'
import { createRestSink } from './rest/rest-sink.ts'
import { createS3Sink } from './s3/s3-sink.ts'
import { type Sink, type SinkFailure, unavailable } from './sink.ts'
import type { SinkTls } from './sink-tls.ts'
import { databaseTls } from './sql/database-tls.ts'

export interface SinkTools extends MqttTools {
  /** ms since the epoch. */
  now: () => number
}

/** `RouteCredentials.values`. */
type Values = Readonly<Record<string, string>>

/**
 * A failure instead when the route cannot deliver as it stands: a secret value is missing (it may not be
 * mounted yet), or the spec says something that only this worker can tell to be wrong. Connects to nothing, but for a
 * bridge that subscribes.
 */
export function openSink(spec: RouteSpec, values: Values, tools: SinkTools): Sink | SinkFailure {
  try {
    return open(spec, values, tools)
  } catch (error) {
    if (error instanceof MissingValue)
      return unavailable({ code: 'CREDENTIALS_MISSING', message: `no value of ${error.path} is at hand` })
    throw error
  }
}

class MissingValue extends Error {
  readonly path: string

  constructor(path: string) {
    super(path)
    this.path = path
  }
}

function needed(values: Values, path: string): string {
  const value = values[path]
  if (value === undefined) throw new MissingValue(path)
  return value
}

/** The value of a reference that the spec may leave out. */
const referred = (values: Values, path: string, reference: unknown) =>
  reference === undefined ? undefined : needed(values, path)

function open(spec: RouteSpec, values: Values, tools: SinkTools): Sink | SinkFailure {
  const { s3, database, rest, ifttt, nats, kafka, mqtt } = spec
  if (s3 !== undefined) return openS3(s3, spec.delivery.concurrency, values, tools)
  if (database !== undefined) return openDatabase(database, values, tools)
  if (rest !== undefined) return openRest(spec, rest, values, tools)
  if (ifttt !== undefined) {
    const { event, format, baseUrl } = ifttt
    const key = needed(values, 'ifttt.keySecretRef')
    return createIftttSink({ event, format, baseUrl, key, connections: spec.delivery.concurrency }, tools)
  }
  if (nats !== undefined) return openNats(nats, values, tools)
  if (kafka !== undefined) return openKafka(kafka, values, tools)
  if (mqtt !== undefined) return openMqtt(mqtt, values, tools)
  return unavailable({ code: 'DESTINATION_UNKNOWN', message: 'this version knows no such destination' })
}

function openS3(
  s3: NonNullable<RouteSpec['s3']>,
  connections: number,
  values: Values,
  { egress }: SinkTools,
): Sink {
  const { endpoint, region, bucket, prefix, strategy, forcePathStyle, batch, caSecretRef } = s3
  const secrets = 's3.credentialsSecretRef'
  const sessionToken = values[`${secrets}.sessionToken`]
  const credentials = () => ({
    accessKeyId: needed(values, `${secrets}.accessKeyId`),
    secretAccessKey: needed(values, `${secrets}.secretAccessKey`),
    ...(sessionToken === undefined ? {} : { sessionToken }),
  })
  const { maxMessages, maxBytes, maxAge } = batch
  const target = {
    ...{ endpoint, region, bucket, prefix, strategy, forcePathStyle, connections },
    credentials: s3.credentialsSecretRef === undefined ? undefined : credentials(),
    ca: referred(values, 's3.caSecretRef', caSecretRef),
    batch: { maxMessages, maxBytes, lingerMs: milliseconds('s3.batch.maxAge', maxAge) },
  }
  return createS3Sink(target, egress)
}

function openDatabase(
  database: NonNullable<RouteSpec['database']>,
  values: Values,
  { egress }: SinkTools,
): Sink | SinkFailure {
  const { engine, host, port, database: name, query, tls, poolSize } = database
  const ca = referred(values, 'database.tls.caSecretRef', tls.caSecretRef)
  const target = {
    host,
    ...(port === undefined ? {} : { port }),
    database: name,
    username: needed(values, 'database.credentialsSecretRef.username'),
    password: needed(values, 'database.credentialsSecretRef.password'),
    query,
    tls: databaseTls(tls.mode, ca),
    poolSize,
  }
  return engine === 'MySQL' ? createMysqlSink(target, egress) : createPostgresqlSink(target, egress)
}

function openRest(
  { hubRef, delivery }: RouteSpec,
  rest: NonNullable<RouteSpec['rest']>,
  values: Values,
  tools: SinkTools,
): Sink {
  const { method, url, headers, publishReply, caSecretRef, signing, cloudEvents } = rest
  const target = {
    method,
    url,
    headers: headers.map(({ name, value, secretKeyRef }) => ({
      name,
      value: referred(values, `rest.headers[${name}].secretKeyRef`, secretKeyRef) ?? value ?? '',
    })),
    publishReply,
    ca: referred(values, 'rest.caSecretRef', caSecretRef),
    signing:
      signing === undefined
        ? undefined
        : { header: signing.header, secret: needed(values, 'rest.signing.secretKeyRef') },
    cloudEvents: cloudEvents === undefined ? undefined : { source: `/hubs/${hubRef.name}`, ...cloudEvents },
    connections: delivery.concurrency,
  }
  return createRestSink(target, tools)
}

function openNats(
  nats: NonNullable<RouteSpec['nats']>,
  values: Values,
  { egress }: SinkTools,
): Sink | SinkFailure {
  const { servers, subject, stream, credentialsSecretRef } = nats
  const path = 'nats.credentialsSecretRef'
  const names = ['creds', 'seed', 'token', 'username', 'password'] as const
  const given = names.filter((name) => values[`${path}.${name}`] !== undefined)
  if (credentialsSecretRef !== undefined && given.length === 0) throw new MissingValue(path)
  const credentials = Object.fromEntries(given.map((name) => [name, needed(values, `${path}.${name}`)]))
  const tls = { mode: nats.tls.mode, ...tlsValues('nats.tls', nats.tls, values) }
  return createNatsSink({ servers, subject, stream, credentials, tls }, egress)
}

function openKafka(
  { sasl, tls, ...kafka }: NonNullable<RouteSpec['kafka']>,
  values: Values,
  { egress }: SinkTools,
): Sink {
  const secrets = 'kafka.sasl.credentialsSecretRef'
  const credentials = ({ mechanism }: NonNullable<typeof sasl>) => ({
    mechanism,
    username: needed(values, `${secrets}.username`),
    password: needed(values, `${secrets}.password`),
  })
  const target = {
    ...kafka,
    sasl: sasl === undefined ? undefined : credentials(sasl),
    tls: { mode: tls.mode, ...tlsValues('kafka.tls', tls, values) },
  }
  return createKafkaSink(target, egress)
}

function openMqtt(mqtt: NonNullable<RouteSpec['mqtt']>, values: Values, tools: SinkTools): Sink {
  const { clientId = `hublet-${tools.routeId}`, credentialsSecretRef, tls, ...rest } = mqtt
  const secrets = 'mqtt.credentialsSecretRef'
  const credentials = () => ({
    username: needed(values, `${secrets}.username`),
    password: needed(values, `${secrets}.password`),
  })
  const target = {
    ...rest,
    clientId,
    credentials: credentialsSecretRef === undefined ? undefined : credentials(),
    tls: { mode: tls.mode, ...tlsValues('mqtt.tls', tls, values) },
  }
  return createMqttSink(target, tools)
}

type TlsRefs = Pick<NonNullable<RouteSpec['nats']>['tls'], 'caSecretRef' | 'certificateSecretRef'>

function tlsValues(path: string, refs: TlsRefs, values: Values): Omit<SinkTls, 'mode'> {
  const certificate = `${path}.certificateSecretRef`
  return {
    ca: referred(values, `${path}.caSecretRef`, refs.caSecretRef),
    certificate:
      refs.certificateSecretRef === undefined
        ? undefined
        : { cert: needed(values, `${certificate}.tls.crt`), key: needed(values, `${certificate}.tls.key`) },
  }
}
