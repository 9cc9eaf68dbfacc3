import { describe, expect, it } from 'vitest'
import { EVENT_CODES, type EventCode } from '../../contract/hub-event.ts'
import type { DeviceRecord, HubRecord } from '../../contract/hub-state.ts'
import { closeReason, disconnectCode, type LiveLink, surplusLinks } from './disconnects.ts'
import {
  aCertificate,
  aDevice,
  aHub,
  aLink,
  FINGERPRINT,
  MQTT_LISTENERS,
  NOW,
  OTHER_FINGERPRINT,
  ownCAHub,
} from './records.fixture.ts'

const UNTIL = '2031-01-01T00:00:00Z'

interface Change {
  hub?: HubRecord
  device?: DeviceRecord | undefined
  now?: number
}

function reasonAfter(live: LiveLink, change: Change): EventCode | undefined {
  const current = { ...live.admitted, ...change }
  return closeReason(live, current, change.now ?? NOW)
}

const managed = aDevice()
const open = aDevice({ allowInsecure: true })
const locked = aDevice({ allowInsecure: true, passwordVerifier: 'scrypt$1' })
const named = aDevice({ certificate: { source: 'HubCA', fingerprints: [] } })

const mutualLink = (device = managed, hub = aHub()): LiveLink => ({
  link: aLink('mqtts', aCertificate()),
  mutual: true,
  admitted: { hub, device },
})
const insecureLink = (device = open, listener: (typeof MQTT_LISTENERS)[number] = 'mqtt'): LiveLink => ({
  link: aLink(listener),
  mutual: false,
  admitted: { hub: aHub(), device },
})

const ISSUER = { issuer: 'https://k', audience: 'hub', keys: [{ kid: '1', kty: 'RSA' as const }] }
const account = aDevice({ serviceAccount: 'backend' })
const tokenLink = (): LiveLink => ({
  link: aLink('mqtts'),
  mutual: false,
  tokenUntil: NOW + 1,
  admitted: { hub: aHub({ tokenIssuer: ISSUER }), device: account },
})
const otherIssuer = (change: Partial<typeof ISSUER>) => ({
  hub: aHub({ tokenIssuer: { ...ISSUER, ...change } }),
})

describe('closeReason', () => {
  type Row = [live: LiveLink, change: Change, expected: EventCode | undefined]
  const rows: Record<string, Row> = {
    'nothing changed, mutual': [mutualLink(), {}, undefined],
    'nothing changed, insecure': [insecureLink(), {}, undefined],
    'nothing changed, by token': [tokenLink(), {}, undefined],
    'the token has ended': [tokenLink(), { now: NOW + 1 }, 'SERVICE_TOKEN_REFUSED'],
    'the account is another': [
      tokenLink(),
      { device: aDevice({ serviceAccount: 'x' }) },
      'DEVICE_SECURITY_CHANGED',
    ],
    'there is no account any more': [tokenLink(), { device: aDevice() }, 'DEVICE_SECURITY_CHANGED'],
    'no tokens are taken any more': [tokenLink(), { hub: aHub() }, 'DEVICE_SECURITY_CHANGED'],
    'a key was taken back': [tokenLink(), otherIssuer({ keys: [] }), 'DEVICE_SECURITY_CHANGED'],
    'a key was added': [
      tokenLink(),
      otherIssuer({ keys: [...ISSUER.keys, { kid: '2', kty: 'RSA' }] }),
      undefined,
    ],
    'the issuer is another': [tokenLink(), otherIssuer({ issuer: 'x' }), 'DEVICE_SECURITY_CHANGED'],
    'by token, device revoked': [tokenLink(), { device: { ...account, revoked: true } }, 'DEVICE_REVOKED'],
    'nothing changed, with password': [insecureLink(locked), {}, undefined],
    'nothing changed, own CA': [mutualLink(named, ownCAHub()), {}, undefined],

    'hub disabled': [mutualLink(), { hub: aHub({ enabled: false }) }, 'HUB_DISABLED'],
    'hub disabled and device removed': [
      mutualLink(),
      { hub: aHub({ enabled: false }), device: undefined },
      'HUB_DISABLED',
    ],
    'device removed, mutual': [mutualLink(), { device: undefined }, 'DEVICE_DELETED'],
    'device removed, insecure': [insecureLink(), { device: undefined }, 'DEVICE_DELETED'],
    'device disabled, mutual': [mutualLink(), { device: aDevice({ enabled: false }) }, 'DEVICE_DISABLED'],
    'device disabled, insecure': [insecureLink(), { device: { ...open, enabled: false } }, 'DEVICE_DISABLED'],
    'device revoked, mutual': [mutualLink(), { device: aDevice({ revoked: true }) }, 'DEVICE_REVOKED'],
    'device revoked, insecure': [insecureLink(), { device: { ...open, revoked: true } }, 'DEVICE_REVOKED'],

    'its certificate revoked': [
      mutualLink(),
      { device: aDevice({ revokedFingerprints: [{ fingerprint: FINGERPRINT, until: UNTIL }] }) },
      'DEVICE_REVOKED',
    ],
    'another certificate revoked': [
      mutualLink(),
      { device: aDevice({ revokedFingerprints: [{ fingerprint: OTHER_FINGERPRINT, until: UNTIL }] }) },
      undefined,
    ],
    'a certificate revoked that this insecure link never used': [
      insecureLink(),
      { device: { ...open, revokedFingerprints: [{ fingerprint: FINGERPRINT, until: UNTIL }] } },
      undefined,
    ],
    'rotation begun: a second certificate beside its own': [
      mutualLink(),
      {
        device: aDevice({
          certificate: { source: 'Managed', fingerprints: [OTHER_FINGERPRINT, FINGERPRINT] },
        }),
      },
      undefined,
    ],
    'rotation over: its certificate is gone': [
      mutualLink(),
      { device: aDevice({ certificate: { source: 'Managed', fingerprints: [OTHER_FINGERPRINT] } }) },
      'INVALID_DEVICE_CERTIFICATE',
    ],
    'own certificate provided in place of the managed one': [
      mutualLink(),
      { device: aDevice({ certificate: { source: 'Provided', fingerprints: [OTHER_FINGERPRINT] } }) },
      'INVALID_DEVICE_CERTIFICATE',
    ],
    'the same certificate provided that was managed': [
      mutualLink(),
      { device: aDevice({ certificate: { source: 'Provided', fingerprints: [FINGERPRINT] } }) },
      undefined,
    ],
    'certificates taken from the device altogether': [
      mutualLink(),
      { device: aDevice({ certificate: { source: 'None', fingerprints: [] } }) },
      'INVALID_DEVICE_CERTIFICATE',
    ],
    'its certificate has expired meanwhile': [
      mutualLink(),
      { now: aCertificate().notAfter + 1 },
      'INVALID_DEVICE_CERTIFICATE',
    ],
    'time goes by on an insecure link': [insecureLink(), { now: NOW * 2 }, undefined],

    'hub took an own CA, device managed': [mutualLink(), { hub: ownCAHub() }, 'INVALID_DEVICE_CERTIFICATE'],
    'hub took an own CA and the device with it, though the names agree': [
      mutualLink(),
      { hub: ownCAHub(), device: named },
      'DEVICE_SECURITY_CHANGED',
    ],
    'hub took an own CA, certificate provided': [
      mutualLink(aDevice({ certificate: { source: 'Provided', fingerprints: [FINGERPRINT] } })),
      { hub: ownCAHub() },
      undefined,
    ],
    'own CA got a second one beside it': [
      mutualLink(named, ownCAHub()),
      { hub: ownCAHub({ deviceTrust: { mode: 'HubCA', caCertificates: ['CA 2', 'CA 1'] } }) },
      undefined,
    ],
    'own CA replaced': [
      mutualLink(named, ownCAHub()),
      { hub: ownCAHub({ deviceTrust: { mode: 'HubCA', caCertificates: ['CA 2'] } }) },
      'DEVICE_SECURITY_CHANGED',
    ],
    'own CA replaced, on an insecure link': [
      insecureLink(),
      { hub: aHub({ deviceTrust: { mode: 'Managed', caCertificates: ['CA 2'] } }) },
      undefined,
    ],
    'device renamed, found by name': [
      mutualLink(named, ownCAHub()),
      { device: { ...named, name: 'lantern' } },
      'INVALID_DEVICE_CERTIFICATE',
    ],
    'device renamed, found by fingerprint': [
      mutualLink(),
      { device: aDevice({ name: 'lantern' }) },
      undefined,
    ],

    'insecure links forbidden, insecure': [insecureLink(), { device: managed }, 'DEVICE_SECURITY_CHANGED'],
    'insecure links forbidden, mutual': [mutualLink(open), { device: managed }, undefined],
    'insecure links allowed, mutual': [mutualLink(), { device: open }, undefined],
    'password set, insecure': [insecureLink(), { device: locked }, 'DEVICE_SECURITY_CHANGED'],
    'password changed, insecure': [
      insecureLink(locked),
      { device: { ...locked, passwordVerifier: 'scrypt$2' } },
      'DEVICE_SECURITY_CHANGED',
    ],
    'password taken away, insecure': [insecureLink(locked), { device: open }, undefined],
    'password set, mutual': [mutualLink(open), { device: locked }, undefined],

    'filters closed': [
      insecureLink(),
      {
        device: {
          ...open,
          filters: { publish: { policy: 'Accept', topics: [] }, subscribe: { policy: 'Accept', topics: [] } },
        },
      },
      undefined,
    ],
    'limits, messaging and events changed': [
      insecureLink(),
      {
        hub: aHub({
          limits: { payloadBytes: 1 },
          messaging: { maxQoS: 0, persistentSessions: false },
          events: { enabled: false, topicPrefix: 'x' },
        }),
      },
      undefined,
    ],
  }
  it.each(Object.entries(rows))('%s', (_, [live, change, expected]) => {
    expect(reasonAfter(live, change)).toBe(expected)
  })

  it('cuts an insecure link on every listener when insecure links are forbidden', () => {
    for (const listener of MQTT_LISTENERS) {
      expect(reasonAfter(insecureLink(open, listener), { device: managed })).toBe('DEVICE_SECURITY_CHANGED')
    }
  })

  it('cuts nobody when a password is changed and changed back, seen as one', () => {
    expect(reasonAfter(insecureLink(locked), { device: { ...locked } })).toBeUndefined()
  })
})

describe('surplusLinks', () => {
  const links = [
    { id: 'b', connectedAt: 2 },
    { id: 'c', connectedAt: 3 },
    { id: 'a', connectedAt: 1 },
  ]

  it('keeps the newest connection of a device that may have one', () => {
    expect(surplusLinks(aDevice(), links).map(({ id }) => id)).toEqual(['a', 'b'])
    expect(surplusLinks(aDevice(), links.slice(0, 1))).toEqual([])
    expect(surplusLinks(aDevice(), [])).toEqual([])
  })

  it('keeps all of a device that may have several', () => {
    expect(surplusLinks(aDevice({ allowMultipleConnections: true }), links)).toEqual([])
  })
})

describe('disconnectCode', () => {
  // What MQTT 5 §3.14.2.1 lets a server send.
  const allowed = new Set([
    0x80, 0x81, 0x82, 0x83, 0x87, 0x89, 0x8b, 0x8d, 0x8e, 0x8f, 0x90, 0x93, 0x94, 0x95, 0x96, 0x97, 0x98,
    0x99, 0x9a, 0x9b, 0x9c, 0x9d, 0x9e, 0x9f, 0xa0, 0xa1, 0xa2,
  ])

  it('gives every code one that a server may send', () => {
    for (const code of Object.keys(EVENT_CODES) as EventCode[]) {
      expect(allowed.has(disconnectCode(code)), code).toBe(true)
    }
  })

  it('tells a take-over, an administrator and a slow reader apart', () => {
    expect(disconnectCode('CONNECTION_REPLACED')).toBe(0x8e)
    expect(disconnectCode('DEVICE_DISABLED')).toBe(0x98)
    expect(disconnectCode('SLOW_CONSUMER')).toBe(0x97)
    expect(disconnectCode('DEVICE_SECURITY_CHANGED')).toBe(0x87)
  })
})
