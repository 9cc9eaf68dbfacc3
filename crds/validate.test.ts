import { describe, expect, test } from 'vitest'
import { INVALID_OBJECTS } from './invalid-objects.fixture.ts'
import { validate } from './validate.ts'
import { formatFieldError } from './validation/field-error.ts'

test('the table of invalid objects is as long as promised, and its titles tell the rows apart', () => {
  expect(INVALID_OBJECTS.length).toBeGreaterThanOrEqual(60)
  expect(new Set(INVALID_OBJECTS.map(({ title }) => title)).size).toBe(INVALID_OBJECTS.length)
})

test.each(INVALID_OBJECTS)('$title is refused', ({ manifest, oldManifest, field, message }) => {
  if (oldManifest !== undefined) expect(validate(oldManifest)).toMatchObject({ valid: true })
  const result = validate(manifest, { oldManifest })
  if (result.valid) throw new Error('expected errors, got a valid object')
  expect([...new Set(result.errors.map((error) => error.field))]).toEqual([field])
  expect(result.errors.map(formatFieldError).join('\n')).toContain(message)
})

const object = (kind: string, spec?: unknown, metadata: object = { name: 'x' }) => ({
  apiVersion: 'iot.hublet.dev/v1alpha1',
  kind,
  metadata,
  ...(spec === undefined ? {} : { spec }),
})

function errorsOf(manifest: unknown, oldManifest?: unknown): string[] {
  const result = validate(manifest, { oldManifest })
  return result.valid ? [] : result.errors.map(formatFieldError)
}

describe('defaults', () => {
  const acceptedValue = (manifest: unknown) => {
    const result = validate(manifest)
    if (!result.valid) throw new Error(result.errors.map(formatFieldError).join('\n'))
    return result.value
  }

  test('a hub may leave out its spec, an empty one or one of nulls is the same', () => {
    const value = acceptedValue(object('Hub'))
    expect(value).toMatchObject({ spec: { enabled: true, listeners: { mqtts: { port: 8883 } } } })
    expect(acceptedValue(object('Hub', {}))).toEqual(value)
    expect(
      acceptedValue(object('Hub', { enabled: null, listeners: { mqtts: { port: null } }, redis: null })),
    ).toEqual(value)
  })

  test('the alternative of a union that was not chosen gets no defaults', () => {
    const value = acceptedValue(object('Hub', { deviceCA: { secretRef: { name: 'ca' } } }))
    expect(value).toHaveProperty('spec.deviceCA', { secretRef: { name: 'ca' } })
  })

  test('an optional block gets its defaults only when it is there', () => {
    expect(acceptedValue(object('Hub'))).not.toHaveProperty('spec.redis')
    expect(acceptedValue(object('Hub', { redis: { url: 'redis://redis:6379' } }))).toHaveProperty(
      'spec.redis',
      {
        url: 'redis://redis:6379',
        durability: 'Fsync',
        grace: '60s',
      },
    )
  })

  test('items of lists get theirs', () => {
    const headers = [{ name: 'Authorization', secretKeyRef: { name: 'token' } }]
    const value = acceptedValue(
      object('Route', { hubRef: { name: 'home' }, topic: '#', rest: { url: 'http://sink', headers } }),
    )
    expect(value).toHaveProperty('spec.rest.headers', [
      { name: 'Authorization', secretKeyRef: { name: 'token', key: 'value' } },
    ])
  })

  test('two validations share no default, and the manifest stays as it was', () => {
    const manifest = object('Hub', { limits: {} })
    const before = structuredClone(manifest)
    const first = acceptedValue(manifest) as { spec: { pod: { labels: Record<string, string> } } }
    first.spec.pod.labels['changed'] = 'yes'
    expect(acceptedValue(manifest)).toHaveProperty('spec.pod.labels', {})
    expect(manifest).toEqual(before)
  })

  test('a status is dropped: only the operator writes one', () => {
    const manifest = { ...object('Hub'), status: { devices: 7 } }
    expect(acceptedValue(manifest)).not.toHaveProperty('status')
    expect(errorsOf({ ...object('Hub'), status: { devizes: 7 } })[0]).toContain(
      'unknown field "status.devizes"',
    )
  })
})

describe('changes', () => {
  const device = (spec: object) => object('Device', { hubRef: { name: 'home' }, ...spec })
  const id = '6f9619ff-8b86-4d01-b42d-00cf4fc964ff'

  test('an id may be set later, a name spelt out, a hub changed', () => {
    expect(errorsOf(device({ id }), device({}))).toEqual([])
    expect(errorsOf(device({ name: 'x' }), device({}))).toEqual([])
    expect(errorsOf(object('Device', { hubRef: { name: 'other' } }), device({}))).toEqual([])
  })

  test('rules about changes do not hold back a new object', () => {
    expect(errorsOf(device({ id, name: 'anything' }))).toEqual([])
  })
})

describe('what is no object of ours', () => {
  test.each([
    [null, '(object): must be of type object, got null'],
    ['text', '(object): must be of type object, got "text"'],
    [[object('Hub')], '(object): must be of type object, got a list of 1'],
    [undefined, '(object): must be of type object, got nothing'],
    [{}, 'kind: one of Hub, Device, Network, Route, Secret, ConfigMap, got nothing'],
    [
      { ...object('Hub'), kind: 'Pod' },
      'kind: one of Hub, Device, Network, Route, Secret, ConfigMap, got "Pod"',
    ],
    [{ ...object('Hub'), kind: 7 }, 'kind: one of Hub, Device, Network, Route, Secret, ConfigMap, got 7'],
    [
      { ...object('Hub'), apiVersion: 'iot.hublet.dev/v1' },
      'apiVersion: iot.hublet.dev/v1alpha1, got "iot.hublet.dev/v1"',
    ],
    [{ kind: 'Secret', metadata: { name: 'a' } }, 'apiVersion: v1, got nothing'],
  ])('%j', (manifest, error) => {
    expect(errorsOf(manifest)).toEqual([error])
  })

  test('a manifest that holds itself is refused, not followed', () => {
    const manifest: Record<string, unknown> = object('Hub')
    manifest['spec'] = manifest
    expect(errorsOf(manifest)).toEqual(['(object): must be of type object, got an object'])
  })
})

describe('messages', () => {
  test('several faults are told at once', () => {
    expect(errorsOf(object('Hub', { replicas: 0, enable: true, messaging: { maxQoS: 9 } }, {}))).toEqual([
      expect.stringContaining('got unknown field "spec.enable"'),
      'metadata.name: Required value, got nothing',
      'spec.replicas: should be greater than or equal to 1, got 0',
      'spec.messaging.maxQoS: supported values: "0", "1", "2", got 9',
    ])
  })

  test('a long value is cut short', () => {
    const [error] = errorsOf(object('Hub', { deletionPolicy: 'x'.repeat(10_000) }))
    expect(error).toContain(`"${'x'.repeat(64)}"… (10000 characters)`)
    expect(error?.length).toBeLessThan(200)
  })

  test('fields that may hold a secret, and fields that do not exist, are not repeated', () => {
    const hubRef = { name: 'home' }
    const secret = 'hunter2'
    const manifests = [
      object('Hub', { redis: { url: `redis://u:${secret}@redis` } }),
      object('Hub', { redis: { url: [secret] }, password: secret }),
      object('Device', { hubRef, password: secret, passwordSecretRef: { name: 'p', value: secret } }),
      object('Device', { hubRef, certificate: { provided: { pem: secret } } }),
      object('Route', { hubRef, topic: '#', rest: { url: `https://u:${secret}@sink` } }),
      object('Route', {
        hubRef,
        topic: '#',
        rest: { url: 'https://s', headers: [{ name: 'A', value: `${secret}\n` }] },
      }),
    ]
    for (const manifest of manifests) {
      const errors = errorsOf(manifest)
      expect(errors).not.toEqual([])
      expect(errors.join('\n')).not.toContain(secret)
    }
  })

  test('keys that every object inherits are unknown fields like others', () => {
    const manifest = JSON.parse(
      '{"spec": {"constructor": 1, "__proto__": {"enabled": false}, "toString": {}}}',
    ) as object
    const errors = errorsOf({ ...object('Hub'), ...manifest })
    expect(errors.map((error) => error.split(':')[0])).toEqual([
      'spec.constructor',
      'spec.__proto__',
      'spec.toString',
    ])
  })
})
