import { ROUTE_SINKS } from '../route.ts'
import { type InvalidObject, object, route } from './object.fixture.ts'

const ONE_DESTINATION = `exactly one of ${ROUTE_SINKS.join(', ')} must be set`
const rest = { url: 'https://sink.example.com' }

export const INVALID_ROUTES: readonly InvalidObject[] = [
  {
    title: 'a route to nowhere',
    manifest: route(),
    field: 'spec',
    message: ONE_DESTINATION,
  },
  {
    title: 'a route to two places',
    manifest: route({ rest, ifttt: { event: 'e', keySecretRef: { name: 'k' } } }),
    field: 'spec',
    message: ONE_DESTINATION,
  },
  {
    title: 'a route that takes nothing',
    manifest: object('Route', 'archive', { hubRef: { name: 'home' }, rest }),
    field: 'spec.topic',
    message: 'Required value',
  },
  {
    title: 'a route with a malformed filter',
    manifest: route({ topic: 'a#', rest }),
    field: 'spec.topic',
    message: 'must be an MQTT topic filter',
  },
  {
    title: 'a route with a shared subscription',
    manifest: route({ topic: '$share/g/a', rest }),
    field: 'spec.topic',
    message: 'must not be a shared subscription',
  },
  {
    title: 'a bucket name in upper case',
    manifest: route({ s3: { bucket: 'MyBucket' } }),
    field: 'spec.s3.bucket',
    message: 'should match',
  },
  {
    title: 'a strategy of the original service',
    manifest: route({ s3: { bucket: 'my-bucket', strategy: 'per_topic' } }),
    field: 'spec.s3.strategy',
    message: 'supported values: "PerTopic", "PerMessage", "Batched"',
  },
  {
    title: 'a database without credentials',
    manifest: route({ database: { host: 'db', database: 'iot', query: 'SELECT 1' } }),
    field: 'spec.database.credentialsSecretRef',
    message: 'Required value',
  },
  {
    title: 'a blank query',
    manifest: route({
      database: { host: 'db', database: 'iot', query: ' \n', credentialsSecretRef: { name: 'db' } },
    }),
    field: 'spec.database.query',
    message: 'must not be blank',
  },
  {
    title: 'a URL that is not for HTTP',
    manifest: route({ rest: { url: 'ftp://sink.example.com' } }),
    field: 'spec.rest.url',
    message: 'should match',
  },
  {
    title: 'credentials in a URL',
    manifest: route({ rest: { url: 'https://user:secret@sink.example.com' } }),
    field: 'spec.rest.url',
    message: 'should match',
  },
  {
    title: 'a header that the route sets',
    manifest: route({ rest: { ...rest, headers: [{ name: 'X-Mqtt-Topic', value: 'a' }] } }),
    field: 'spec.rest.headers[0].name',
    message: 'this header is set by the route itself',
  },
  {
    title: 'a header value with a line break, which would be a second header',
    manifest: route({ rest: { ...rest, headers: [{ name: 'X-A', value: 'a\r\nX-B: b' }] } }),
    field: 'spec.rest.headers[0].value',
    message: 'should match',
  },
  {
    title: 'a header without a value',
    manifest: route({ rest: { ...rest, headers: [{ name: 'X-A' }] } }),
    field: 'spec.rest.headers[0]',
    message: 'exactly one of value, secretKeyRef must be set',
  },
  {
    title: 'one header twice',
    manifest: route({
      rest: {
        ...rest,
        headers: [
          { name: 'X-A', value: 'a' },
          { name: 'X-A', value: 'b' },
        ],
      },
    }),
    field: 'spec.rest.headers[1]',
    message: 'Duplicate value',
  },
  {
    title: 'an event with a slash, which would be another URL',
    manifest: route({ ifttt: { event: 'a/b', keySecretRef: { name: 'k' } } }),
    field: 'spec.ifttt.event',
    message: 'should match',
  },
  {
    title: 'no attempt at all',
    manifest: route({ rest, delivery: { maxAttempts: 0 } }),
    field: 'spec.delivery.maxAttempts',
    message: 'should be greater than or equal to 1',
  },
  {
    title: 'a first wait longer than the longest',
    manifest: route({ rest, delivery: { backoff: { initial: '10m' } } }),
    field: 'spec.delivery.backoff.initial',
    message: 'initial must not be longer than maximum',
  },
  {
    title: 'a timeout of an hour',
    manifest: route({ rest, delivery: { timeout: '1h' } }),
    field: 'spec.delivery.timeout',
    message: 'must be at most 10m',
  },
  {
    title: 'an empty filter expression',
    manifest: route({ rest, filter: { expression: '' } }),
    field: 'spec.filter.expression',
    message: 'should be at least 1 chars long',
  },
  {
    title: 'a NATS server as a URL',
    manifest: route({ nats: { servers: ['nats://nats.example.com'] } }),
    field: 'spec.nats.servers[0]',
    message: 'should match',
  },
  {
    title: 'a subject with a wildcard',
    manifest: route({ nats: { servers: ['nats'], subject: 'iot.*' } }),
    field: 'spec.nats.subject',
    message: 'must be tokens with dots between them',
  },
  {
    title: 'a subject with the topic in its middle',
    manifest: route({ nats: { servers: ['nats'], subject: '{{ topic }}.iot' } }),
    field: 'spec.nats.subject',
    message: 'must be tokens with dots between them',
  },
  {
    title: 'a Kafka topic with a slash',
    manifest: route({ kafka: { brokers: ['kafka'], topic: 'iot/{{ topic }}' } }),
    field: 'spec.kafka.topic',
    message: 'must be letters, digits, dots, _ and -, beside {{ topic }}',
  },
  {
    title: 'a Kafka mechanism without credentials',
    manifest: route({ kafka: { brokers: ['kafka'], topic: 'iot', sasl: { mechanism: 'PLAIN' } } }),
    field: 'spec.kafka.sasl.credentialsSecretRef',
    message: 'Required value',
  },
  {
    title: 'a Kafka delivery that nobody acknowledges',
    manifest: route({ kafka: { brokers: ['kafka'], topic: 'iot', acks: 'None' } }),
    field: 'spec.kafka.acks',
    message: 'supported values: "All", "Leader"',
  },
  {
    title: 'a bridge to a URL',
    manifest: route({ mqtt: { server: 'mqtts://broker.example.com' } }),
    field: 'spec.mqtt.server',
    message: 'should match',
  },
  {
    title: 'a bridge to a topic with a wildcard',
    manifest: route({ mqtt: { server: 'broker', topic: 'site/#' } }),
    field: 'spec.mqtt.topic',
    message: 'must hold no wildcard (+ or #) and no control character',
  },
  {
    title: 'a bridge that subscribes to a malformed filter',
    manifest: route({ mqtt: { server: 'broker', subscribe: [{ topic: 'a#' }] } }),
    field: 'spec.mqtt.subscribe[0].topic',
    message: 'must be an MQTT topic filter',
  },
  {
    title: 'a bridge into the topics of the hub',
    manifest: route({ mqtt: { server: 'broker', subscribe: [{ topic: 'a', prefix: '$hub' }] } }),
    field: 'spec.mqtt.subscribe[0].prefix',
    message: 'must not begin with $: those topics belong to the hub',
  },
  {
    title: 'a bridge that promises QoS 2',
    manifest: route({ mqtt: { server: 'broker', qos: 2 } }),
    field: 'spec.mqtt.qos',
    message: 'should be less than or equal to 1',
  },
  {
    title: 'a CloudEvent by GET',
    manifest: route({ rest: { ...rest, method: 'GET', cloudEvents: {} } }),
    field: 'spec.rest.method',
    message: 'method must be POST, PUT or PATCH: a CloudEvent has a body',
  },
  {
    title: 'a type of CloudEvents with a space',
    manifest: route({ rest: { ...rest, cloudEvents: { type: 'a b' } } }),
    field: 'spec.rest.cloudEvents.type',
    message: 'should match',
  },
]
