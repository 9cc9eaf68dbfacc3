import { describe, expect, it } from 'vitest'
import type { EventCode } from '../../contract/hub-event.ts'
import type { DeviceRecord, HubRecord, RevocationList } from '../../contract/hub-state.ts'
import { attempt, connectAs, resultOf } from './attempt.fixture.ts'
import type { PeerCertificate } from './link.ts'
import {
  aCertificate,
  aDevice,
  aHub,
  aLink,
  DEVICE_ID,
  FINGERPRINT,
  NOW,
  OTHER_FINGERPRINT,
  OTHER_ID,
  ownCAHub,
} from './records.fixture.ts'

describe('certificates', () => {
  const provided = aDevice({ certificate: { source: 'Provided', fingerprints: [FINGERPRINT] } })
  const ownCA = aDevice({ certificate: { source: 'HubCA', fingerprints: [] } })
  const untrusted = { chainTrusted: false, chainError: 'DEPTH_ZERO_SELF_SIGNED_CERT' }

  type Row = [
    device: DeviceRecord,
    hub: HubRecord,
    certificate: PeerCertificate,
    expected: 'Accepted' | EventCode,
  ]
  const rows: Record<string, Row> = {
    'a managed one is found by fingerprint, whatever its name': [
      aDevice(),
      aHub(),
      aCertificate({ commonName: 'someone-else' }),
      'Accepted',
    ],
    'a provided one may be self-signed and without a name': [
      provided,
      aHub(),
      aCertificate({ ...untrusted, commonName: '' }),
      'Accepted',
    ],
    'a provided one is found on a hub with an own CA as well': [
      provided,
      ownCAHub(),
      aCertificate({ ...untrusted, commonName: '' }),
      'Accepted',
    ],
    'both are accepted while a rotation overlaps': [
      aDevice({ certificate: { source: 'Managed', fingerprints: [OTHER_FINGERPRINT, FINGERPRINT] } }),
      aHub(),
      aCertificate(),
      'Accepted',
    ],
    'the old one is refused when a rotation is over': [
      aDevice({ certificate: { source: 'Managed', fingerprints: [OTHER_FINGERPRINT] } }),
      aHub(),
      aCertificate(),
      'INVALID_DEVICE_CERTIFICATE',
    ],
    'a pinned device takes no other certificate of the own CA': [
      provided,
      ownCAHub(),
      aCertificate({ fingerprint: OTHER_FINGERPRINT }),
      'INVALID_DEVICE_CERTIFICATE',
    ],
    'an expired managed one is refused': [
      aDevice(),
      aHub(),
      aCertificate({ notAfter: NOW - 1 }),
      'INVALID_DEVICE_CERTIFICATE',
    ],
    'a provided one that is not valid yet is refused': [
      provided,
      aHub(),
      aCertificate({ notBefore: NOW + 1 }),
      'INVALID_DEVICE_CERTIFICATE',
    ],
    'both ends of the validity count as valid': [
      aDevice(),
      aHub(),
      aCertificate({ notBefore: NOW, notAfter: NOW }),
      'Accepted',
    ],
    'one of the own CA is found by its name': [ownCA, ownCAHub(), aCertificate(), 'Accepted'],
    'one of a foreign CA with a known name is refused': [
      ownCA,
      ownCAHub(),
      aCertificate(untrusted),
      'INVALID_DEVICE_CERTIFICATE',
    ],
    'a listed fingerprint does not replace the chain where the own CA decides': [
      aDevice({ certificate: { source: 'HubCA', fingerprints: [FINGERPRINT] } }),
      ownCAHub(),
      aCertificate(untrusted),
      'INVALID_DEVICE_CERTIFICATE',
    ],
    'a listed fingerprint does not replace the name where the own CA decides': [
      aDevice({ certificate: { source: 'HubCA', fingerprints: [FINGERPRINT] } }),
      ownCAHub(),
      aCertificate({ commonName: 'stranger' }),
      'INVALID_DEVICE_CERTIFICATE',
    ],
    'a nameless one is not that of a record whose name was lost': [
      aDevice({ name: '', certificate: { source: 'HubCA', fingerprints: [FINGERPRINT] } }),
      ownCAHub(),
      aCertificate({ commonName: '' }),
      'INVALID_DEVICE_CERTIFICATE',
    ],
    'one of the own CA without a name is refused by its own code': [
      ownCA,
      ownCAHub(),
      aCertificate({ commonName: '' }),
      'EMPTY_COMMON_NAME',
    ],
    'one of a foreign CA without a name is just invalid': [
      ownCA,
      ownCAHub(),
      aCertificate({ ...untrusted, commonName: '' }),
      'INVALID_DEVICE_CERTIFICATE',
    ],
    'one of the own CA with a name that no device has is refused': [
      ownCA,
      ownCAHub(),
      aCertificate({ commonName: 'stranger' }),
      'UNKNOWN_DEVICE',
    ],
    'an expired one of the own CA with an unknown name is invalid': [
      ownCA,
      ownCAHub(),
      aCertificate({ commonName: 'stranger', notAfter: NOW - 1 }),
      'INVALID_DEVICE_CERTIFICATE',
    ],
    'names compare exactly': [ownCA, ownCAHub(), aCertificate({ commonName: 'LAMP' }), 'UNKNOWN_DEVICE'],
    'a name alone proves nothing where the hub issues the certificates': [
      aDevice(),
      aHub(),
      aCertificate({ fingerprint: OTHER_FINGERPRINT }),
      'INVALID_DEVICE_CERTIFICATE',
    ],
    'a record of an own CA is not served by a hub that has none': [
      ownCA,
      aHub(),
      aCertificate(),
      'INVALID_DEVICE_CERTIFICATE',
    ],
    'taking an own CA voids managed certificates': [
      aDevice(),
      ownCAHub(),
      aCertificate(),
      'INVALID_DEVICE_CERTIFICATE',
    ],
    'a device without a certificate takes none': [
      aDevice({ allowInsecure: true, certificate: { source: 'None', fingerprints: [FINGERPRINT] } }),
      aHub(),
      aCertificate(),
      'INVALID_DEVICE_CERTIFICATE',
    ],
    'a revoked one is refused although the record still lists it': [
      aDevice({ revokedFingerprints: [{ fingerprint: FINGERPRINT, until: '2031-01-01T00:00:00Z' }] }),
      aHub(),
      aCertificate(),
      'DEVICE_REVOKED',
    ],
    'a revoked one that the record has forgotten is told as revoked': [
      aDevice({
        certificate: { source: 'Managed', fingerprints: [OTHER_FINGERPRINT] },
        revokedFingerprints: [{ fingerprint: FINGERPRINT, until: '2031-01-01T00:00:00Z' }],
      }),
      aHub(),
      aCertificate(),
      'DEVICE_REVOKED',
    ],
    'a revoked one of the own CA is refused': [
      aDevice({
        certificate: { source: 'HubCA', fingerprints: [] },
        revokedFingerprints: [{ fingerprint: FINGERPRINT, until: '2031-01-01T00:00:00Z' }],
      }),
      ownCAHub(),
      aCertificate(),
      'DEVICE_REVOKED',
    ],
    'a revocation does not end before the certificate does': [
      aDevice({ revokedFingerprints: [{ fingerprint: FINGERPRINT, until: '2020-01-01T00:00:00Z' }] }),
      aHub(),
      aCertificate(),
      'DEVICE_REVOKED',
    ],
  }
  it.each(Object.entries(rows))('%s', (_, [device, hub, certificate, expected]) => {
    for (const listener of ['mqtts', 'wss'] as const) {
      expect(resultOf({ link: aLink(listener, certificate), hub, devices: [device] })).toBe(expected)
    }
  })

  describe('on a hub with a revocation list', () => {
    const issued = { by: 'ca', serial: 'a1' }
    const listing = (list: Partial<RevocationList>): HubRecord => {
      const hub = ownCAHub()
      const revocationLists = [{ issuers: ['ca'], serials: ['a1'], ...list }]
      return { ...hub, deviceTrust: { ...hub.deviceTrust, revocationLists } }
    }
    const past = new Date(NOW - 1).toISOString()
    const future = new Date(NOW + 1).toISOString()
    it.each<[string, HubRecord, DeviceRecord[], 'Accepted' | EventCode]>([
      ['are refused when it names them', listing({}), [ownCA], 'DEVICE_REVOKED'],
      ['are refused when it names them, provided ones too', listing({}), [provided], 'DEVICE_REVOKED'],
      ['make no new device when it names them', listing({}), [], 'DEVICE_REVOKED'],
      ['are accepted when it names others', listing({ serials: ['b2'] }), [ownCA], 'Accepted'],
      ['are accepted when it is that of another CA', listing({ issuers: ['x'] }), [ownCA], 'Accepted'],
      [
        'are refused once it is out of date, where the hub wants that',
        listing({ serials: [], refuseAfter: past }),
        [ownCA],
        'INVALID_DEVICE_CERTIFICATE',
      ],
      ['are accepted until then', listing({ serials: [], refuseAfter: future }), [ownCA], 'Accepted'],
    ])('%s', (_, hub, devices, expected) => {
      const link = aLink('mqtts', aCertificate({ issued }))
      expect(resultOf({ link, hub, devices })).toBe(expected)
    })
  })

  it.each([
    ['comes back', [provided]],
    ['would be made anew', []],
  ])('that were revoked are refused when their device was deleted and %s', (_, devices) => {
    const hub = ownCAHub({
      revokedFingerprints: [{ fingerprint: FINGERPRINT, until: '2020-01-01T00:00:00Z' }],
    })
    const link = aLink('wss', aCertificate())
    expect(resultOf({ link, hub, devices })).toBe('DEVICE_REVOKED')
    const other = aLink('wss', aCertificate({ fingerprint: OTHER_FINGERPRINT }))
    expect(resultOf({ link: other, hub, devices: [ownCA] })).toBe('Accepted')
  })

  it('decide the identity even when the client id names another device', () => {
    const other = aDevice({ id: OTHER_ID, name: 'other', certificate: { source: 'None', fingerprints: [] } })
    const verdict = attempt({
      link: aLink('mqtts', aCertificate()),
      connect: connectAs(OTHER_ID, { username: OTHER_ID }),
      devices: [other, aDevice()],
    })
    expect(verdict).toMatchObject({ allowed: true, value: { device: { id: DEVICE_ID }, clientId: OTHER_ID } })
  })

  it('stand in for the password', () => {
    const device = aDevice({ passwordVerifier: 'scrypt$…' })
    expect(resultOf({ link: aLink('mqtts', aCertificate()), devices: [device] })).toBe('Accepted')
  })
})
