import { expect, test } from 'vitest'
import { makeRoute } from './manifests.fixture.ts'
import { routeSecretValues } from './route-secrets.ts'

const route = (sink: Record<string, unknown>) => makeRoute('r', { topic: '#', rest: undefined, ...sink })
const value = (path: string, secret: string, key: string, optional = false) => ({
  path,
  secret,
  key,
  optional,
})

test.each([
  ['a REST route without secrets', { rest: { url: 'http://h' } }, []],
  [
    'a REST route',
    {
      rest: {
        url: 'http://h',
        headers: [
          { name: 'X-Plain', value: 'v' },
          { name: 'Authorization', secretKeyRef: { name: 'token' } },
        ],
        caSecretRef: { name: 'ca' },
      },
    },
    [
      value('rest.headers[Authorization].secretKeyRef', 'token', 'value'),
      value('rest.caSecretRef', 'ca', 'ca.crt'),
    ],
  ],
  [
    'an S3 route',
    {
      s3: { bucket: 'bucket', credentialsSecretRef: { name: 'keys' }, caSecretRef: { name: 'ca', key: 'x' } },
    },
    [
      value('s3.credentialsSecretRef.accessKeyId', 'keys', 'accessKeyId'),
      value('s3.credentialsSecretRef.secretAccessKey', 'keys', 'secretAccessKey'),
      value('s3.credentialsSecretRef.sessionToken', 'keys', 'sessionToken', true),
      value('s3.caSecretRef', 'ca', 'x'),
    ],
  ],
  ['an anonymous S3 route', { s3: { bucket: 'bucket' } }, []],
  [
    'a database route',
    {
      database: {
        host: 'h',
        database: 'd',
        query: 'q',
        credentialsSecretRef: { name: 'db' },
        tls: { caSecretRef: { name: 'ca' } },
      },
    },
    [
      value('database.credentialsSecretRef.username', 'db', 'username'),
      value('database.credentialsSecretRef.password', 'db', 'password'),
      value('database.tls.caSecretRef', 'ca', 'ca.crt'),
    ],
  ],
  [
    'an IFTTT route',
    { ifttt: { event: 'e', keySecretRef: { name: 'k' } } },
    [value('ifttt.keySecretRef', 'k', 'key')],
  ],
  [
    'a NATS route',
    {
      nats: {
        servers: ['h'],
        credentialsSecretRef: { name: 'nats' },
        tls: { caSecretRef: { name: 'ca' }, certificateSecretRef: { name: 'me' } },
      },
    },
    [
      ...['creds', 'seed', 'token', 'username', 'password'].map((key) =>
        value(`nats.credentialsSecretRef.${key}`, 'nats', key, true),
      ),
      value('nats.tls.caSecretRef', 'ca', 'ca.crt'),
      value('nats.tls.certificateSecretRef.tls.crt', 'me', 'tls.crt'),
      value('nats.tls.certificateSecretRef.tls.key', 'me', 'tls.key'),
    ],
  ],
  [
    'a Kafka route',
    {
      kafka: {
        brokers: ['h'],
        topic: 'iot',
        sasl: { credentialsSecretRef: { name: 'kafka' } },
        tls: { caSecretRef: { name: 'ca' } },
      },
    },
    [
      value('kafka.sasl.credentialsSecretRef.username', 'kafka', 'username'),
      value('kafka.sasl.credentialsSecretRef.password', 'kafka', 'password'),
      value('kafka.tls.caSecretRef', 'ca', 'ca.crt'),
    ],
  ],
  [
    'a bridge',
    { mqtt: { server: 'h', credentialsSecretRef: { name: 'remote' }, tls: { caSecretRef: { name: 'ca' } } } },
    [
      value('mqtt.credentialsSecretRef.username', 'remote', 'username'),
      value('mqtt.credentialsSecretRef.password', 'remote', 'password'),
      value('mqtt.tls.caSecretRef', 'ca', 'ca.crt'),
    ],
  ],
])('%s needs what its destination names', (_, sink, values) => {
  expect(routeSecretValues(route(sink))).toEqual(values)
})
