import { describe, expect, test } from 'vitest'
import type { Device } from '../../crds/device.ts'
import type { Hub } from '../../crds/hub.ts'
import { certificateSource, deviceRecord, isIssued } from './device-record.ts'
import type { DeviceFacts } from './facts.ts'
import {
  FINGERPRINT,
  HUB_UID,
  makeDevice,
  makeHub,
  managedCertificate,
  NOW,
  OTHER_FINGERPRINT,
} from './manifests.fixture.ts'

const ID = '11111111-2222-4333-8444-555555555555'
const PEM = '-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n'

const HUBS = {
  managed: makeHub(),
  secretRef: makeHub({ deviceCA: { secretRef: { name: 'ca' } } }),
  provided: makeHub({ deviceCA: { provided: { certificate: PEM, challengeCertificate: PEM } } }),
}

const compile = (device: Device, facts: DeviceFacts = {}, hub: Hub = HUBS.managed) =>
  deviceRecord({ device, id: ID, hub: { object: hub, uid: HUB_UID }, facts, now: NOW })

test('a device without settings may do everything with its certificate, and nothing without', () => {
  const facts = { certificate: managedCertificate(OTHER_FINGERPRINT, FINGERPRINT) }
  expect(compile(makeDevice('lamp'), facts)).toEqual({
    record: {
      id: ID,
      name: 'lamp',
      enabled: true,
      revoked: false,
      allowInsecure: false,
      allowMultipleConnections: false,
      filters: { publish: { policy: 'Reject', topics: [] }, subscribe: { policy: 'Reject', topics: [] } },
      templateErrors: [],
      certificate: { source: 'Managed', fingerprints: [FINGERPRINT, OTHER_FINGERPRINT] },
      revokedFingerprints: [],
    },
    remarks: [],
  })
})

test.each([
  [{}, true],
  [{ enabled: false }, false],
  [{ approved: false }, false],
  [{ approved: true }, true],
  [{ approved: true, enabled: false }, false],
])('a device with %j is enabled: %s', (spec, enabled) => {
  expect(compile(makeDevice('lamp', spec)).record.enabled).toBe(enabled)
})

test('spec.name is the name, not that of the object', () => {
  expect(compile(makeDevice('lamp-1', { name: 'Lamp №1' })).record.name).toBe('Lamp №1')
})

describe('how a certificate is matched', () => {
  const provided = { certificate: { provided: { pem: PEM } } }
  const hubCA = { certificate: { hubCA: {} } }
  const managed = { certificate: { managed: {} } }
  test.each([
    ['managed', 'nothing', {}, 'Managed', true],
    ['managed', 'managed', managed, 'Managed', true],
    ['managed', 'provided', provided, 'Provided', false],
    ['managed', 'hubCA', hubCA, 'None', false],
    ['secretRef', 'nothing', {}, 'HubCA', true],
    ['secretRef', 'managed', managed, 'HubCA', true],
    ['secretRef', 'provided', provided, 'Provided', false],
    ['secretRef', 'hubCA', hubCA, 'HubCA', false],
    ['provided', 'nothing', {}, 'HubCA', false],
    ['provided', 'managed', managed, 'None', false],
    ['provided', 'provided', provided, 'Provided', false],
    ['provided', 'hubCA', hubCA, 'HubCA', false],
  ] as const)('deviceCA.%s and certificate.%s', (hub, _, spec, source, issued) => {
    const device = makeDevice('lamp', spec)
    expect(certificateSource(HUBS[hub], device)).toBe(source)
    expect(isIssued(HUBS[hub], device)).toBe(issued)
  })

  test('what the hub cannot give is closed and explained', () => {
    const { record, remarks } = compile(
      makeDevice('lamp', managed),
      { certificate: managedCertificate(FINGERPRINT) },
      HUBS.provided,
    )
    expect(record.certificate).toEqual({ source: 'None', fingerprints: [] })
    expect(remarks).toEqual([
      {
        reason: 'CertificateNotPossible',
        message: 'certificate.managed is not possible on a hub with deviceCA.provided',
      },
    ])
  })

  test('a certificate from where the spec no longer looks is not accepted', () => {
    const facts = { certificate: managedCertificate(FINGERPRINT) }
    expect(compile(makeDevice('lamp', provided), facts).record.certificate).toEqual({
      source: 'None',
      fingerprints: [],
    })
  })

  test('a certificate past its end is reported', () => {
    const certificate = { ...managedCertificate(FINGERPRINT), notAfter: '2026-05-31T00:00:00Z' }
    expect(compile(makeDevice('lamp'), { certificate }).remarks).toEqual([
      { reason: 'CertificateInvalid', message: 'the certificate has expired on 2026-05-31T00:00:00Z' },
    ])
  })
})

describe('passwords', () => {
  const spec = { allowInsecure: true, passwordSecretRef: { name: 'lamp-password' } }

  test('a known verifier is handed on', () => {
    const { record, remarks } = compile(makeDevice('lamp', spec), { passwordVerifier: 'scrypt$x' })
    expect([record.allowInsecure, record.passwordVerifier, remarks]).toEqual([true, 'scrypt$x', []])
  })

  test('a password that is asked for and unknown closes links without a certificate', () => {
    const { record, remarks } = compile(makeDevice('lamp', spec))
    expect([record.allowInsecure, record.passwordVerifier]).toEqual([false, undefined])
    expect(remarks).toEqual([
      {
        reason: 'SecretNotFound',
        message:
          'key password of Secret lamp-password is not there: links without a client certificate are refused',
      },
    ])
  })

  test('a verifier that the spec does not ask for is not handed on', () => {
    const { record } = compile(makeDevice('lamp', { allowInsecure: true }), { passwordVerifier: 'scrypt$x' })
    expect(record).not.toHaveProperty('passwordVerifier')
  })
})

test('revoked certificates of status and facts are kept until the later end, and no longer', () => {
  const device = makeDevice('lamp')
  device.status = {
    revokedFingerprints: [
      { fingerprint: OTHER_FINGERPRINT, until: '2027-01-01T00:00:00Z' },
      { fingerprint: 'c'.repeat(64), until: '2026-06-01T00:00:00Z' },
      { fingerprint: FINGERPRINT, until: '2026-05-01T00:00:00Z' },
    ],
  }
  const facts = { revokedFingerprints: [{ fingerprint: FINGERPRINT, until: '2026-07-01T00:00:00Z' }] }
  expect(compile(device, facts).record.revokedFingerprints).toEqual([
    { fingerprint: FINGERPRINT, until: '2026-07-01T00:00:00Z' },
    { fingerprint: OTHER_FINGERPRINT, until: '2027-01-01T00:00:00Z' },
  ])
})

test('templates get the ids and names, and a fault closes its direction only', () => {
  const messageFilters = {
    publish: { policy: 'Accept', topics: ['{{hub.name}}/{{ hub.id }}/{{ device.name }}/{{device.id}}/#'] },
    subscribe: { policy: 'Reject', topics: ['ok', '{{ device.nmae }}/#'] },
  }
  const { record, remarks } = compile(makeDevice('lamp', { messageFilters }))
  expect(record.filters).toEqual({
    publish: { policy: 'Accept', topics: [`home/${HUB_UID}/lamp/${ID}/#`] },
    subscribe: { policy: 'Accept', topics: [] },
  })
  const error = 'subscribe.topics[1] "{{ device.nmae }}/#": unknown variable device.nmae'
  expect(record.templateErrors).toEqual([error])
  expect(remarks).toEqual([{ reason: 'FilterTemplateInvalid', message: error }])
})
