import { describe, expect, it } from 'vitest'
import type { RouteRecord } from '../contract/hub-state.ts'
import type { Route } from '../crds/route.ts'
import { validate } from '../crds/validate.ts'
import { testRoute } from './dry-run.ts'
import { makeEntry } from './sinks/sink.contract.ts'

function record(spec: Record<string, unknown>): RouteRecord {
  const result = validate({
    apiVersion: 'iot.hublet.dev/v1alpha1',
    kind: 'Route',
    metadata: { name: 'r' },
    spec: { hubRef: { name: 'home' }, topic: 'sensors/#', ...spec },
  })
  if (!result.valid) throw new Error(JSON.stringify(result.errors))
  const route = result.value as Route
  return { id: 'r', name: 'r', topic: route.spec.topic, enabled: route.spec.enabled, spec: route.spec }
}

const entry = makeEntry('sensors/attic', '{"t":21}', { id: 'id-1', time: Date.UTC(2026, 0, 2, 3, 4, 5, 678) })
const rest = { url: 'https://example.com/hook?token=sesame' }

describe('testRoute', () => {
  it.each([
    ['of another topic', { rest, topic: 'other/#' }, ['topic', 'does not match other/#']],
    ['while disabled', { rest, enabled: false }, ['route', 'spec.enabled is false: nothing is taken']],
    [
      'that the filter refuses',
      { rest, filter: { expression: 'json.t > 30' } },
      ['filter', 'false: not taken'],
    ],
    [
      'that breaks the filter',
      { rest, filter: { expression: 'json.u > 30' } },
      ['expression', 'dead letter: filter: No such key: u'],
    ],
  ])('says why nothing is delivered of a message %s', (_, spec, expected) => {
    const { delivers, steps } = testRoute(record(spec), entry)
    expect([delivers, steps.at(-1)]).toEqual([false, expected])
  })

  it.each([
    [
      'S3',
      { s3: { bucket: 'my-archive', prefix: 'iot' } },
      [
        ['s3', 'AWS, us-east-1, bucket my-archive'],
        ['object', 'iot/sensors/attic'],
        ['body', '{"t":21}'],
      ],
    ],
    [
      'NATS',
      { nats: { servers: ['nats:4222'], subject: 'iot.{{ topic }}' } },
      [
        ['nats', 'nats:4222'],
        ['subject', 'iot.sensors.attic'],
        ['body', '{"t":21}'],
      ],
    ],
    [
      'Kafka',
      { kafka: { brokers: ['kafka:9092'], topic: '{{ topic }}', key: 'None' } },
      [
        ['kafka', 'kafka:9092'],
        ['topic', 'sensors.attic'],
        ['key', '(none)'],
        ['body', '{"t":21}'],
      ],
    ],
    [
      'another broker',
      { mqtt: { server: 'broker', topic: 'site/{{ topic }}' } },
      [
        ['mqtt', 'broker'],
        ['topic', 'site/sensors/attic'],
        ['qos, retain', '1, false'],
        ['body', '{"t":21}'],
      ],
    ],
    [
      'a database',
      {
        database: {
          host: 'db',
          database: 'iot',
          credentialsSecretRef: { name: 'db' },
          query: 'INSERT INTO m VALUES ($TIME, $TOPIC, $PAYLOAD)',
        },
      },
      [
        ['database', 'PostgreSQL at db, iot'],
        ['query', 'INSERT INTO m VALUES ($1, $2, $3)'],
        ['$1 TIME', '2026-01-02T03:04:05.678Z'],
        ['$2 TOPIC', 'sensors/attic'],
        ['$3 PAYLOAD', '{"t":21}'],
      ],
    ],
    [
      'HTTP',
      { rest: { ...rest, headers: [{ name: 'X-A', secretKeyRef: { name: 's', key: 'k' } }] } },
      [
        ['request', 'POST https://example.com/hook?…'],
        ['header X-Mqtt-Topic', 'sensors/attic'],
        ['header X-Mqtt-Retain', 'false'],
        ['header X-A', '(key k of Secret s)'],
        ['body', '{"t":21}'],
      ],
    ],
    [
      'IFTTT',
      {
        ifttt: { event: 'e', format: 'JSON', keySecretRef: { name: 'k' } },
        transform: { expression: 'json.t' },
      },
      [
        ['transform', '21'],
        ['request', 'POST https://maker.ifttt.com, event e'],
        ['body', '21'],
      ],
    ],
  ])('says what is delivered to %s', (_, spec, expected) => {
    const { delivers, steps } = testRoute(record(spec), entry)
    expect(delivers).toBe(true)
    expect(steps[0]).toEqual(['topic', expect.stringMatching(/^matches sensors\/#, partition [0-3] of 4$/)])
    expect(steps.slice(1)).toEqual(expected)
  })
})
