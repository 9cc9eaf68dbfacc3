/** What a route would do with a message, without doing it: `hublet route test`. Pure; shows no secret value. */
import { isUtf8 } from 'node:buffer'
import type { RouteRecord } from '../contract/hub-state.ts'
import { type RouteEntry, routePartition } from '../contract/route-stream.ts'
import { matches, topicFault } from '../contract/topic.ts'
import type { RouteSpec } from '../crds/route.ts'
import { NOT_TEXT, triggerBody } from './sinks/ifttt/ifttt-sink.ts'
import { kafkaTopicOf } from './sinks/kafka/kafka-topic.ts'
import { recordKey } from './sinks/kafka/record-key.ts'
import { remoteTopic } from './sinks/mqtt/remote-topic.ts'
import { subjectOf } from './sinks/nats/subject.ts'
import { batchKey, digitsOf, messageKey, type ObjectKey, topicKey } from './sinks/s3/object-key.ts'
import { parseQuery } from './sinks/sql/query-variables.ts'
import { compileTransform } from './transform/expressions.ts'

export interface RouteTest {
  /** Whether something would be delivered. */
  delivers: boolean
  /** Label and text, in the order of what happens. */
  steps: readonly (readonly [label: string, text: string])[]
}

const SHOWN_PAYLOAD = 200

/** `entry` is the message as the hub would take it; `position` is not looked at. */
export function testRoute({ topic, enabled, spec }: RouteRecord, entry: RouteEntry): RouteTest {
  const steps: [string, string][] = []
  const stop = (label: string, text: string): RouteTest => ({
    delivers: false,
    steps: [...steps, [label, text]],
  })
  const fault = topicFault(entry.topic)
  if (fault !== undefined) return stop('topic', `the topic ${fault}`)
  if (!enabled) return stop('route', 'spec.enabled is false: nothing is taken')
  if (!matches(topic, entry.topic)) return stop('topic', `does not match ${topic}`)
  const partition = routePartition(entry.topic, spec.delivery.partitions)
  steps.push(['topic', `matches ${topic}, partition ${partition} of ${spec.delivery.partitions}`])

  const transform = compileTransform(spec)
  if (typeof transform === 'string') return stop('expression', transform)
  const result = transform(entry)
  if ('failure' in result) return stop('expression', `dead letter: ${result.failure.message}`)
  if (!result.take) return stop('filter', 'false: not taken')
  if (spec.filter !== undefined) steps.push(['filter', 'true'])
  if (spec.transform !== undefined) steps.push(['transform', shown(result.entry.payload)])
  const sink = destination(spec, result.entry)
  if ('fault' in sink) return stop('destination', sink.fault)
  return { delivers: true, steps: [...steps, ...sink.steps] }
}

type Destination = { steps: [string, string][] } | { fault: string }

function destination(spec: RouteSpec, entry: RouteEntry): Destination {
  const { s3, database, rest, ifttt, nats, kafka, mqtt } = spec
  if (s3 !== undefined) return toS3(s3, entry)
  if (database !== undefined) return toDatabase(database, entry)
  if (rest !== undefined) return toRest(rest, entry)
  if (ifttt !== undefined) return toIfttt(ifttt, entry)
  if (nats !== undefined) return toNats(nats, entry)
  if (kafka !== undefined) return toKafka(kafka, entry)
  if (mqtt !== undefined) return toMqtt(mqtt, entry)
  return { fault: 'this version knows no such destination' }
}

function toS3(
  { bucket, prefix, strategy, endpoint, region }: NonNullable<RouteSpec['s3']>,
  entry: RouteEntry,
): Destination {
  const keys: Record<typeof strategy, () => ObjectKey> = {
    PerTopic: () => topicKey(prefix, entry.topic),
    PerMessage: () => messageKey(prefix, entry, digitsOf(entry.id)),
    Batched: () => batchKey(prefix, [entry]),
  }
  const made = keys[strategy]()
  if ('fault' in made) return { fault: `dead letter: ${made.fault}` }
  return {
    steps: [
      ['s3', `${endpoint ?? `AWS, ${region}`}, bucket ${bucket}`],
      ['object', made.key],
      ['body', strategy === 'Batched' ? 'a line of JSON, compressed with others' : shown(entry.payload)],
    ],
  }
}

function toDatabase(database: NonNullable<RouteSpec['database']>, entry: RouteEntry): Destination {
  const { engine, host, query } = database
  const parsed = parseQuery(query, engine)
  if ('fault' in parsed) return parsed
  const values = {
    TOPIC: entry.topic,
    PAYLOAD: shown(entry.payload),
    TIME: new Date(entry.time).toISOString(),
    DEVICE: entry.deviceId ?? 'NULL',
    QOS: String(entry.qos),
    RETAIN: String(entry.retain),
    ID: entry.id,
  }
  const parameters = parsed.variables.map((name, index): [string, string] => [
    `$${index + 1} ${name}`,
    values[name],
  ])
  return {
    steps: [
      ['database', `${engine} at ${host}, ${database.database}`],
      ['query', parsed.text],
      ...parameters,
    ],
  }
}

function toRest(
  { method, url, headers, signing, cloudEvents }: NonNullable<RouteSpec['rest']>,
  entry: RouteEntry,
): Destination {
  // Query strings are where people put tokens.
  const { origin, pathname, search } = new URL(url)
  const own = headers.map(({ name, value, secretKeyRef }): [string, string] => [
    `header ${name}`,
    secretKeyRef === undefined ? (value ?? '') : `(key ${secretKeyRef.key} of Secret ${secretKeyRef.name})`,
  ])
  return {
    steps: [
      ['request', `${method} ${origin}${pathname}${search === '' ? '' : '?…'}`],
      ...(cloudEvents === undefined
        ? []
        : [['CloudEvent', `${cloudEvents.mode}, type ${cloudEvents.type}`] as [string, string]]),
      ['header X-Mqtt-Topic', entry.topic],
      ['header X-Mqtt-Retain', String(entry.retain)],
      ...own,
      ...(signing === undefined ? [] : [[`header ${signing.header}`, '(HMAC-SHA256)'] as [string, string]]),
      ['body', shown(entry.payload)],
    ],
  }
}

function toIfttt(
  { event, format, baseUrl }: NonNullable<RouteSpec['ifttt']>,
  entry: RouteEntry,
): Destination {
  if (!isUtf8(entry.payload)) return { fault: `dead letter: ${NOT_TEXT}` }
  const body = triggerBody(entry, format)
  if (body === undefined) return { fault: 'dead letter: format JSON wants a payload that is JSON' }
  return {
    steps: [
      ['request', `POST ${new URL(baseUrl).origin}, event ${event}`],
      ['body', shown(body)],
    ],
  }
}

function toNats({ servers, subject }: NonNullable<RouteSpec['nats']>, entry: RouteEntry): Destination {
  return {
    steps: [
      ['nats', servers.join(', ')],
      ['subject', subjectOf(subject, entry.topic)],
      ['body', shown(entry.payload)],
    ],
  }
}

function toKafka({ brokers, topic, key }: NonNullable<RouteSpec['kafka']>, entry: RouteEntry): Destination {
  const made = kafkaTopicOf(topic, entry.topic)
  if ('fault' in made) return { fault: `dead letter: ${made.fault}` }
  return {
    steps: [
      ['kafka', brokers.join(', ')],
      ['topic', made.name],
      ['key', recordKey(key, entry) ?? '(none)'],
      ['body', shown(entry.payload)],
    ],
  }
}

function toMqtt(
  { server, topic, qos, retain }: NonNullable<RouteSpec['mqtt']>,
  entry: RouteEntry,
): Destination {
  const there = remoteTopic(topic, entry.topic)
  const fault = topicFault(there)
  if (fault !== undefined) return { fault: `dead letter: the topic ${fault}` }
  return {
    steps: [
      ['mqtt', server],
      ['topic', there],
      ['qos, retain', `${qos}, ${entry.retain && retain}`],
      ['body', shown(entry.payload)],
    ],
  }
}

function shown(payload: Buffer): string {
  const text = payload.toString()
  return text.length <= SHOWN_PAYLOAD ? text : `${text.slice(0, SHOWN_PAYLOAD)}… (${payload.length} bytes)`
}
