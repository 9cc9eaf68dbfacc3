/**
 * Objects that must be refused, by `validate` and by a real API server alike: data for tests. `field` is the
 * path in the error, `message` is in the text of both.
 */
import { API_VERSION } from './meta.ts'

export interface InvalidObject {
  title: string
  manifest: unknown
  /** The valid object that the manifest would replace. */
  oldManifest?: unknown
  field: string
  message: string
}

type Fields = Record<string, unknown>

const object = (kind: string, name: string, spec: Fields | undefined) => ({
  apiVersion: API_VERSION,
  kind,
  metadata: { name },
  ...(spec === undefined ? {} : { spec }),
})
const hub = (spec?: Fields, name = 'home') => object('Hub', name, spec)
const device = (spec: Fields = {}, name = 'lamp') =>
  object('Device', name, { hubRef: { name: 'home' }, ...spec })
const network = (spec: Fields = {}) =>
  object('Network', 'web', { hubRef: { name: 'home' }, type: 'REST', ...spec })
const rest = { url: 'https://sink.example.com' }
const route = (spec: Fields = {}) =>
  object('Route', 'archive', { hubRef: { name: 'home' }, topic: 'a/#', ...spec })
const publish = (...topics: unknown[]) => device({ messageFilters: { publish: { topics } } })

const ID = '6f9619ff-8b86-4d01-b42d-00cf4fc964ff'
const OTHER_ID = '7f9619ff-8b86-4d01-b42d-00cf4fc964ff'
const PEM = '-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n'

const HUBS: readonly InvalidObject[] = [
  {
    title: 'a hub name that Secrets and Services made from it would be too long with',
    manifest: hub({}, 'h'.repeat(41)),
    field: 'metadata.name',
    message: 'metadata.name must have at most 40 characters',
  },
  {
    title: 'a hub name with a dot',
    manifest: hub({}, 'home.kitchen'),
    field: 'metadata.name',
    message: 'metadata.name must not contain a dot',
  },
  {
    title: 'a misspelt field of a hub',
    manifest: hub({ enable: false }),
    field: 'spec.enable',
    message: 'unknown field "spec.enable"',
  },
  {
    title: 'a misspelt field deep inside a hub',
    manifest: hub({ listeners: { mqtts: { prot: 1 } } }),
    field: 'spec.listeners.mqtts.prot',
    message: 'unknown field "spec.listeners.mqtts.prot"',
  },
  {
    title: 'a listener that does not exist',
    manifest: hub({ listeners: { coap: { port: 5683 } } }),
    field: 'spec.listeners.coap',
    message: 'unknown field "spec.listeners.coap"',
  },
  {
    title: 'a spec that is a text',
    manifest: object('Hub', 'home', 'on' as unknown as Fields),
    field: 'spec',
    message: 'must be of type object',
  },
  {
    title: 'a switch that is a text',
    manifest: hub({ enabled: 'yes' }),
    field: 'spec.enabled',
    message: 'must be of type boolean',
  },
  {
    title: 'no replica',
    manifest: hub({ replicas: 0 }),
    field: 'spec.replicas',
    message: 'should be greater than or equal to 1',
  },
  {
    title: 'a fraction of a replica',
    manifest: hub({ replicas: 1.5 }),
    field: 'spec.replicas',
    message: 'must be of type integer',
  },
  {
    title: 'a port that is none',
    manifest: hub({ listeners: { mqtt: { port: 65536 } } }),
    field: 'spec.listeners.mqtt.port',
    message: 'should be less than or equal to 65535',
  },
  {
    title: 'two open listeners on one port',
    manifest: hub({ listeners: { mqtt: { port: 8883 } } }),
    field: 'spec.listeners',
    message: 'two open listeners cannot share a port',
  },
  {
    title: 'two device CAs at once',
    manifest: hub({ deviceCA: { managed: {}, secretRef: { name: 'ca' } } }),
    field: 'spec.deviceCA',
    message: 'exactly one of managed, secretRef, provided must be set',
  },
  {
    title: 'no device CA at all',
    manifest: hub({ deviceCA: {} }),
    field: 'spec.deviceCA',
    message: 'exactly one of managed, secretRef, provided must be set',
  },
  {
    title: 'a key algorithm that does not exist',
    manifest: hub({ deviceCA: { managed: { keyAlgorithm: 'RSA-1024' } } }),
    field: 'spec.deviceCA.managed.keyAlgorithm',
    message: 'supported values: "ECDSA-P256", "RSA-2048"',
  },
  {
    title: 'a CA without the proof that its key is held',
    manifest: hub({ deviceCA: { provided: { certificate: PEM } } }),
    field: 'spec.deviceCA.provided.challengeCertificate',
    message: 'Required value',
  },
  {
    title: 'a CA that is a private key',
    manifest: hub({
      deviceCA: { provided: { certificate: '-----BEGIN PRIVATE KEY-----', challengeCertificate: PEM } },
    }),
    field: 'spec.deviceCA.provided.certificate',
    message: "should match '-----BEGIN CERTIFICATE-----'",
  },
  {
    title: 'a Secret of another namespace',
    manifest: hub({ deviceCA: { secretRef: { name: 'ca', namespace: 'other' } } }),
    field: 'spec.deviceCA.secretRef.namespace',
    message: 'unknown field "spec.deviceCA.secretRef.namespace"',
  },
  {
    title: 'a Secret without a name',
    manifest: hub({ serverTLS: { secretRef: {} } }),
    field: 'spec.serverTLS.secretRef.name',
    message: 'Required value',
  },
  {
    title: 'two server certificates at once',
    manifest: hub({ serverTLS: { managed: {}, secretRef: { name: 'tls' } } }),
    field: 'spec.serverTLS',
    message: 'exactly one of managed, secretRef must be set',
  },
  {
    title: 'a DNS name with an underscore',
    manifest: hub({ serverTLS: { managed: { dnsNames: ['ok.example.com', 'my_hub'] } } }),
    field: 'spec.serverTLS.managed.dnsNames[1]',
    message: 'should match',
  },
  {
    title: 'a name where an address belongs',
    manifest: hub({ serverTLS: { managed: { ipAddresses: ['localhost'] } } }),
    field: 'spec.serverTLS.managed.ipAddresses[0]',
    message: 'should match',
  },
  {
    title: 'more DNS names than a certificate should have',
    manifest: hub({ serverTLS: { managed: { dnsNames: Array.from({ length: 33 }, (_, i) => `h${i}`) } } }),
    field: 'spec.serverTLS.managed.dnsNames',
    message: 'must have at most 32 items',
  },
  {
    title: 'auto-provisioning by the managed CA, which knows its devices',
    manifest: hub({ autoProvisioning: { enabled: true } }),
    field: 'spec.autoProvisioning.enabled',
    message: 'autoProvisioning needs a device CA of your own',
  },
  {
    title: 'a wildcard in the prefix of events',
    manifest: hub({ events: { topicPrefix: 'events/#' } }),
    field: 'spec.events.topicPrefix',
    message: 'must hold no wildcard',
  },
  {
    title: 'events below the prefix of shared subscriptions',
    manifest: hub({ events: { topicPrefix: '$share/events' } }),
    field: 'spec.events.topicPrefix',
    message: 'must not begin with $share, $queue or $SYS',
  },
  {
    title: 'an empty prefix of events',
    manifest: hub({ events: { topicPrefix: '' } }),
    field: 'spec.events.topicPrefix',
    message: 'should be at least 1 chars long',
  },
  {
    title: 'a payload limit of nothing',
    manifest: hub({ limits: { payloadBytes: 0 } }),
    field: 'spec.limits.payloadBytes',
    message: 'should be greater than or equal to 1',
  },
  {
    title: 'a payload limit beyond what MQTT can hold several of',
    manifest: hub({ limits: { payloadBytes: 268435456 } }),
    field: 'spec.limits.payloadBytes',
    message: 'should be less than or equal to 67108864',
  },
  {
    title: 'a drop policy that does not exist',
    manifest: hub({ limits: { queue: { overflow: 'DropAll' } } }),
    field: 'spec.limits.queue.overflow',
    message: 'supported values: "DropOldest", "DropNewest"',
  },
  {
    title: 'more messages in flight than MQTT has packet ids',
    manifest: hub({ limits: { inflight: 65536 } }),
    field: 'spec.limits.inflight',
    message: 'should be less than or equal to 65535',
  },
  {
    title: 'a quality of service that does not exist',
    manifest: hub({ messaging: { maxQoS: 3 } }),
    field: 'spec.messaging.maxQoS',
    message: 'supported values: "0", "1", "2"',
  },
  {
    title: 'a duration in days',
    manifest: hub({ messaging: { sessionExpiry: '7d' } }),
    field: 'spec.messaging.sessionExpiry',
    message: 'should match',
  },
  {
    title: 'a session that expires at once',
    manifest: hub({ messaging: { sessionExpiry: '0s' } }),
    field: 'spec.messaging.sessionExpiry',
    message: 'must be at least 1s',
  },
  {
    title: 'credentials in the URL of Redis',
    manifest: hub({ redis: { url: 'redis://user:secret@redis:6379' } }),
    field: 'spec.redis.url',
    message: 'should match',
  },
  {
    title: 'two places for Redis',
    manifest: hub({ redis: { managed: {}, url: 'redis://redis:6379' } }),
    field: 'spec.redis',
    message: 'exactly one of managed, url, secretRef must be set',
  },
  {
    title: 'a grace of days',
    manifest: hub({ redis: { managed: {}, grace: '25h' } }),
    field: 'spec.redis.grace',
    message: 'must be at most 24h',
  },
  {
    title: 'a deletion policy that does not exist',
    manifest: hub({ deletionPolicy: 'Delete' }),
    field: 'spec.deletionPolicy',
    message: 'supported values: "Protect", "Cascade", "Orphan"',
  },
  {
    title: 'a label of pods that is no text',
    manifest: hub({ pod: { labels: { tier: 1 } } }),
    field: 'spec.pod.labels.tier',
    message: 'must be of type string',
  },
  {
    title: 'one pull secret twice',
    manifest: hub({ pod: { imagePullSecrets: [{ name: 'a' }, { name: 'a' }] } }),
    field: 'spec.pod.imagePullSecrets[1]',
    message: 'Duplicate value',
  },
]

const DEVICES: readonly InvalidObject[] = [
  {
    title: 'a device without a spec',
    manifest: object('Device', 'lamp', undefined),
    field: 'spec',
    message: 'Required value',
  },
  {
    title: 'a device without a hub',
    manifest: object('Device', 'lamp', {}),
    field: 'spec.hubRef',
    message: 'Required value',
  },
  {
    title: 'a hub of another namespace',
    manifest: device({ hubRef: { name: 'home', namespace: 'other' } }),
    field: 'spec.hubRef.namespace',
    message: 'unknown field "spec.hubRef.namespace"',
  },
  {
    title: 'the name of a hub that no hub can have',
    manifest: device({ hubRef: { name: 'My Home' } }),
    field: 'spec.hubRef.name',
    message: 'should match',
  },
  {
    title: 'an object name too long to be a common name',
    manifest: device({}, 'd'.repeat(65)),
    field: 'spec.name',
    message: 'metadata.name has more than 64 characters: spec.name must be set',
  },
  {
    title: 'an object name too long to make a Secret name from',
    manifest: device({ name: 'lamp' }, 'd'.repeat(201)),
    field: 'metadata.name',
    message: 'metadata.name must have at most 200 characters',
  },
  {
    title: 'a device name too long to be a common name',
    manifest: device({ name: 'n'.repeat(65) }),
    field: 'spec.name',
    message: 'may not be more than 64',
  },
  {
    title: 'a device name with a line break',
    manifest: device({ name: 'lamp\nkettle' }),
    field: 'spec.name',
    message: 'should match',
  },
  {
    title: 'an empty device name',
    manifest: device({ name: '' }),
    field: 'spec.name',
    message: 'should be at least 1',
  },
  {
    title: 'an id in upper case',
    manifest: device({ id: ID.toUpperCase() }),
    field: 'spec.id',
    message: 'should match',
  },
  {
    title: 'an id that is no UUID',
    manifest: device({ id: 'lamp' }),
    field: 'spec.id',
    message: 'should be at least 36 chars long',
  },
  {
    title: 'another id',
    manifest: device({ id: OTHER_ID }),
    oldManifest: device({ id: ID }),
    field: 'spec.id',
    message: 'id cannot be changed once it is set',
  },
  {
    title: 'an id taken away',
    manifest: device(),
    oldManifest: device({ id: ID }),
    field: 'spec.id',
    message: 'id cannot be removed once it is set',
  },
  {
    title: 'another name',
    manifest: device({ name: 'kettle' }),
    oldManifest: device({ name: 'oven' }),
    field: 'spec.name',
    message: 'the name of a device cannot be changed',
  },
  {
    title: 'a name that replaces the one of the object',
    manifest: device({ name: 'kettle' }),
    oldManifest: device(),
    field: 'spec.name',
    message: 'the name of a device cannot be changed',
  },
  {
    title: 'a policy in lower case',
    manifest: device({ messageFilters: { publish: { policy: 'accept' } } }),
    field: 'spec.messageFilters.publish.policy',
    message: 'supported values: "Accept", "Reject"',
  },
  {
    title: 'topics that are one text',
    manifest: device({ messageFilters: { subscribe: { topics: 'a/#' } } }),
    field: 'spec.messageFilters.subscribe.topics',
    message: 'must be of type array',
  },
  {
    title: 'a topic that is a number',
    manifest: publish('a', 7),
    field: 'spec.messageFilters.publish.topics[1]',
    message: 'must be of type string',
  },
  {
    title: 'an empty topic filter',
    manifest: publish(''),
    field: 'spec.messageFilters.publish.topics[0]',
    message: 'should be at least 1 chars long',
  },
  {
    title: 'a # before the last level',
    manifest: publish('ok/#', 'a/#/b'),
    field: 'spec.messageFilters.publish.topics[1]',
    message: 'must be an MQTT topic filter',
  },
  {
    title: 'a + that shares its level',
    manifest: publish('a/b+'),
    field: 'spec.messageFilters.publish.topics[0]',
    message: 'must be an MQTT topic filter',
  },
  {
    title: 'a NUL in a topic filter',
    manifest: publish('a\0b'),
    field: 'spec.messageFilters.publish.topics[0]',
    message: 'must be an MQTT topic filter',
  },
  {
    title: 'a topic filter with more levels than a broker takes',
    manifest: publish(Array.from({ length: 101 }, () => 'a').join('/')),
    field: 'spec.messageFilters.publish.topics[0]',
    message: 'must have at most 100 levels',
  },
  {
    title: 'a topic filter without end',
    manifest: publish('a'.repeat(4097)),
    field: 'spec.messageFilters.publish.topics[0]',
    message: 'may not be more than 4096',
  },
  {
    title: 'more topic filters than are looked at for one message',
    manifest: publish(...Array.from({ length: 101 }, (_, i) => `t${i}`)),
    field: 'spec.messageFilters.publish.topics',
    message: 'must have at most 100 items',
  },
  {
    title: 'two kinds of certificate at once',
    manifest: device({ certificate: { managed: {}, hubCA: {} } }),
    field: 'spec.certificate',
    message: 'exactly one of managed, provided, hubCA must be set',
  },
  {
    title: 'a provided certificate from two places',
    manifest: device({ certificate: { provided: { pem: PEM, secretRef: { name: 'cert' } } } }),
    field: 'spec.certificate.provided',
    message: 'exactly one of secretRef, pem must be set',
  },
  {
    title: 'a certificate renewed before it exists',
    manifest: device({ certificate: { managed: { duration: '24h', renewBefore: '24h' } } }),
    field: 'spec.certificate.managed.renewBefore',
    message: 'renewBefore must be shorter than duration',
  },
  {
    title: 'a certificate for a minute',
    manifest: device({ certificate: { managed: { duration: '1m' } } }),
    field: 'spec.certificate.managed.duration',
    message: 'must be at least 1h',
  },
  {
    title: 'a password in the spec',
    manifest: device({ password: 'hunter2' }),
    field: 'spec.password',
    message: 'unknown field "spec.password"',
  },
  {
    title: 'a key that no Secret can have',
    manifest: device({ passwordSecretRef: { name: 'p', key: 'a/b' } }),
    field: 'spec.passwordSecretRef.key',
    message: 'should match',
  },
]

const NETWORKS: readonly InvalidObject[] = [
  {
    title: 'a network without a type',
    manifest: object('Network', 'web', { hubRef: { name: 'home' } }),
    field: 'spec.type',
    message: 'Required value',
  },
  {
    title: 'a type of network that does not exist',
    manifest: network({ type: 'LoRaWAN' }),
    field: 'spec.type',
    message: 'supported values: "MQTT", "WebSocket", "REST", "Sigfox"',
  },
  {
    title: 'another type of network',
    manifest: network({ type: 'Sigfox' }),
    oldManifest: network(),
    field: 'spec.type',
    message: 'type cannot be changed',
  },
  {
    title: 'a prefix with a slash at its end',
    manifest: network({ topicPrefix: 'myapp/' }),
    field: 'spec.topicPrefix',
    message: 'must not begin or end with a slash',
  },
  {
    title: 'a prefix with a wildcard',
    manifest: network({ topicPrefix: 'my+app' }),
    field: 'spec.topicPrefix',
    message: 'must hold no wildcard',
  },
  {
    title: "a prefix in the hub's own topics",
    manifest: network({ topicPrefix: '$hub/events' }),
    field: 'spec.topicPrefix',
    message: 'must not begin with $',
  },
  {
    title: 'a prefix for devices',
    manifest: network({ type: 'MQTT', topicPrefix: 'myapp' }),
    field: 'spec.topicPrefix',
    message: 'topicPrefix can only be set with type REST or Sigfox',
  },
  {
    title: 'a token for devices',
    manifest: network({ type: 'WebSocket', tokenSecretRef: { name: 'token' } }),
    field: 'spec.tokenSecretRef',
    message: 'tokenSecretRef can only be set with type REST or Sigfox',
  },
  {
    title: 'exposure by a Gateway that is not named',
    manifest: network({ exposure: { type: 'Gateway' } }),
    field: 'spec.exposure.gatewayRef',
    message: 'gatewayRef must be set with type Gateway, and only then',
  },
  {
    title: 'a Gateway for a Service',
    manifest: network({ exposure: { type: 'LoadBalancer', gatewayRef: { name: 'edge' } } }),
    field: 'spec.exposure.gatewayRef',
    message: 'gatewayRef must be set with type Gateway, and only then',
  },
  {
    title: 'host names for a Service',
    manifest: network({ exposure: { hostnames: ['hub.example.com'] } }),
    field: 'spec.exposure.hostnames',
    message: 'hostnames can only be set with type Gateway',
  },
]

const ROUTES: readonly InvalidObject[] = [
  {
    title: 'a route to nowhere',
    manifest: route(),
    field: 'spec',
    message: 'exactly one of s3, database, rest, ifttt must be set',
  },
  {
    title: 'a route to two places',
    manifest: route({ rest, ifttt: { event: 'e', keySecretRef: { name: 'k' } } }),
    field: 'spec',
    message: 'exactly one of s3, database, rest, ifttt must be set',
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
    message: 'supported values: "PerTopic", "PerMessage"',
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
]

const METADATA: readonly InvalidObject[] = [
  {
    title: 'an object name in upper case',
    manifest: device({}, 'Lamp'),
    field: 'metadata.name',
    message: 'a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters',
  },
  {
    title: 'an object name that begins with a dash',
    manifest: device({}, '-lamp'),
    field: 'metadata.name',
    message: 'a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters',
  },
  {
    title: 'a label value with a space',
    manifest: { ...device(), metadata: { name: 'lamp', labels: { room: 'living room' } } },
    field: 'metadata.labels',
    message: 'a valid label must be an empty string or consist of alphanumeric characters',
  },
  {
    title: 'a label key with a space',
    manifest: { ...device(), metadata: { name: 'lamp', labels: { 'my room': 'kitchen' } } },
    field: 'metadata.labels',
    message: 'name part must consist of alphanumeric characters',
  },
  {
    title: 'an annotation key with two slashes',
    manifest: { ...device(), metadata: { name: 'lamp', annotations: { 'a/b/c': '' } } },
    field: 'metadata.annotations',
    message: 'with an optional DNS subdomain prefix',
  },
]

export const INVALID_OBJECTS: readonly InvalidObject[] = [
  ...HUBS,
  ...DEVICES,
  ...NETWORKS,
  ...ROUTES,
  ...METADATA,
]
