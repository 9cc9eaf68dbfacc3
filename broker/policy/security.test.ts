import { describe, expect, it } from 'vitest'
import type { EventCode } from '../../contract/hub-event.ts'
import type { DeviceRecord, HubRecord } from '../../contract/hub-state.ts'
import { type Attempt, connectAs, resultOf } from './attempt.fixture.ts'
import type { ConnectFacts } from './identity.ts'
import type { PeerCertificate } from './link.ts'
import {
  aCertificate,
  aDevice,
  aHub,
  aLink,
  MQTT_LISTENERS,
  OTHER_FINGERPRINT,
  OTHER_ID,
} from './records.fixture.ts'
import { judgeSecurity, SECURITY_MATRIX, type SecurityCase } from './security.ts'

describe('the security matrix, every row on every listener', () => {
  const secure = aDevice()
  const insecure = aDevice({ allowInsecure: true })
  const valid = aCertificate()
  const unknown = aCertificate({ fingerprint: OTHER_FINGERPRINT })
  const both = (device: DeviceRecord) => [
    device,
    aDevice({
      id: OTHER_ID,
      name: 'other',
      allowInsecure: true,
      certificate: { source: 'Managed', fingerprints: [OTHER_FINGERPRINT] },
    }),
  ]

  type Row = {
    devices: DeviceRecord[]
    certificate?: PeerCertificate
    connect?: ConnectFacts
    hub?: HubRecord
    results: readonly [
      'Accepted' | EventCode,
      'Accepted' | EventCode,
      'Accepted' | EventCode,
      'Accepted' | EventCode,
    ]
  }
  const all = (code: 'Accepted' | EventCode): Row['results'] => [code, code, code, code]
  const plainOr = (plain: 'Accepted' | EventCode, encrypted: 'Accepted' | EventCode): Row['results'] => [
    plain,
    encrypted,
    plain,
    encrypted,
  ]

  // Results in the order mqtt, mqtts, ws, wss. A certificate on a plain listener cannot be; that it counts for
  // nothing there is the point of the first column.
  const rows: Record<string, Row> = {
    'denies insecure, valid certificate': {
      devices: [secure],
      certificate: valid,
      results: plainOr('MTLS_REQUIRED', 'Accepted'),
    },
    'denies insecure, no certificate, device id': { devices: [secure], results: all('MTLS_REQUIRED') },
    'allows insecure, valid certificate': {
      devices: [insecure],
      certificate: valid,
      results: all('Accepted'),
    },
    'allows insecure, no certificate, device id': { devices: [insecure], results: all('Accepted') },
    'allows insecure, unknown certificate with a valid id': {
      devices: [insecure],
      certificate: unknown,
      results: plainOr('Accepted', 'INVALID_DEVICE_CERTIFICATE'),
    },
    'denies insecure, unknown certificate': {
      devices: [secure],
      certificate: unknown,
      results: plainOr('MTLS_REQUIRED', 'INVALID_DEVICE_CERTIFICATE'),
    },
    'certificate of another device, which then is the identity': {
      devices: both(secure),
      certificate: unknown,
      results: plainOr('MTLS_REQUIRED', 'Accepted'),
    },
    'disabled, valid certificate': {
      devices: [aDevice({ enabled: false })],
      certificate: valid,
      results: all('DEVICE_DISABLED'),
    },
    'disabled, device id, allows insecure': {
      devices: [aDevice({ enabled: false, allowInsecure: true })],
      results: all('DEVICE_DISABLED'),
    },
    'deleted, certificate of before': {
      devices: [],
      certificate: valid,
      results: plainOr('UNKNOWN_DEVICE', 'INVALID_DEVICE_CERTIFICATE'),
    },
    'deleted or never known, device id': { devices: [], results: all('UNKNOWN_DEVICE') },
    'no id at all': { devices: [insecure], connect: connectAs(''), results: all('UNKNOWN_DEVICE') },
    'revoked device, valid certificate': {
      devices: [aDevice({ revoked: true })],
      certificate: valid,
      results: all('DEVICE_REVOKED'),
    },
    'revoked and disabled device that allows insecure, device id': {
      devices: [aDevice({ revoked: true, enabled: false, allowInsecure: true })],
      results: all('DEVICE_REVOKED'),
    },
    'hub disabled, valid certificate': {
      devices: [insecure],
      certificate: valid,
      hub: aHub({ enabled: false }),
      results: all('HUB_DISABLED'),
    },
  }
  const cases = Object.entries(rows).flatMap(([name, row]) =>
    MQTT_LISTENERS.map((listener, i) => ({ name, listener, row, expected: row.results[i] })),
  )
  it.each(cases)('$name, on $listener: $expected', ({ row, listener, expected }) => {
    const { devices, certificate, connect, hub } = row
    const given: Attempt = { link: aLink(listener, certificate), devices }
    if (connect !== undefined) given.connect = connect
    if (hub !== undefined) given.hub = hub
    expect(resultOf(given)).toBe(expected)
  })
})

describe('the table behind it', () => {
  const flags = [false, true]
  const certificates: SecurityCase['certificate'][] = ['None', 'Valid', 'Nameless', 'Invalid', 'Revoked']
  const devices: SecurityCase['device'][] = ['Enabled', 'Disabled', 'Revoked', 'Unknown']
  const everyCase: SecurityCase[] = flags.flatMap((encrypted) =>
    flags.flatMap((allowInsecure) =>
      certificates.flatMap((certificate) =>
        devices.map((device) => ({ encrypted, allowInsecure, certificate, device })),
      ),
    ),
  )

  it('accepts an enabled device with a valid certificate or, where it allows that, with none, and nothing else', () => {
    for (const facts of everyCase) {
      const { encrypted, certificate, device, allowInsecure } = facts
      const proven = (encrypted && certificate === 'Valid') || (allowInsecure && certificate === 'None')
      expect(judgeSecurity(facts) === 'Accepted', JSON.stringify(facts)).toBe(proven && device === 'Enabled')
    }
  })

  it('has no row that another row makes useless', () => {
    const rows = Object.entries(SECURITY_MATRIX)
    const holds = (when: Partial<SecurityCase>, facts: SecurityCase) =>
      Object.entries(when).every(([key, value]) => facts[key as keyof SecurityCase] === value)
    const deciding = new Set(everyCase.map((facts) => rows.find(([, { when }]) => holds(when, facts))?.[0]))
    expect(rows.map(([name]) => name).filter((name) => !deciding.has(name))).toEqual([])
  })
})
