import { device, type InvalidObject, object, PEM } from './object.fixture.ts'

const publish = (...topics: unknown[]) => device({ messageFilters: { publish: { topics } } })

const ID = '6f9619ff-8b86-4d01-b42d-00cf4fc964ff'
const OTHER_ID = '7f9619ff-8b86-4d01-b42d-00cf4fc964ff'

export const INVALID_DEVICES: readonly InvalidObject[] = [
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
    message: 'exactly one of managed, provided, hubCA, enrolled must be set',
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
    title: 'an overlap in days',
    manifest: device({ certificate: { managed: { overlap: '7d' } } }),
    field: 'spec.certificate.managed.overlap',
    message: 'should match',
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
