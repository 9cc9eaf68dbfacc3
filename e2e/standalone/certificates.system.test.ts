import { randomUUID } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { EventCode } from '../../contract/hub-event.ts'
import type { DeviceRecord, HubRecord } from '../../contract/hub-state.ts'
import { device } from '../../test-support/hub-state.ts'
import {
  type CertificateOptions,
  KEY_TYPES,
  type KeyType,
  type MadeCertificate,
  makeCertificate,
} from '../../test-support/openssl.ts'
import { startBroker, type TestBroker } from '../../test-support/start-broker.ts'
import { waitUntil } from '../../test-support/wait.ts'

// Certificates as a factory, or an attacker, would make them: by openssl, never by our own code. Every kind of fault,
// in each of the three ways to a certificate, with every kind of key, on every listener that takes certificates.

const LISTENERS = ['mqtts', 'wss'] as const
const SET_UPS = ['Managed', 'Provided', 'HubCA'] as const
const HOUR_MS = 3_600_000

type SetUp = (typeof SET_UPS)[number]

/** Name of the device that the client has become, or the event of its refusal. */
type Outcome = 'lamp' | 'pump' | EventCode

/** Keys and authority of one type. */
interface Kit {
  ca: MadeCertificate
  /** Whose key all devices of the table have. */
  keyOf: MadeCertificate
}

interface Shown {
  certificate: MadeCertificate
  /** Sent along. */
  chain?: readonly MadeCertificate[]
  /** What the hub trusts; default: the authority of the kit. */
  trusted?: MadeCertificate
  /** The certificate that the device is known by; default: the one that is shown. */
  known?: MadeCertificate
}

interface Row {
  show: (kit: Kit) => Promise<Shown>
  expected: Record<SetUp, Outcome>
}

/** Where the exact bytes count nothing else does, as in the original service; in the third way the chain decides. */
const byBytes = (hubCa: Outcome): Row['expected'] => ({ Managed: 'lamp', Provided: 'lamp', HubCA: hubCa })
const INVALID = 'INVALID_DEVICE_CERTIFICATE'
const REFUSED = { Managed: INVALID, Provided: INVALID, HubCA: INVALID } as const

const leaf = (kit: Kit, options: Partial<CertificateOptions> = {}) =>
  makeCertificate({ commonName: 'lamp', issuer: kit.ca, keyOf: kit.keyOf, ...options })
const authority = (kit: Kit, options: Partial<CertificateOptions>) =>
  makeCertificate({ commonName: 'another CA', authority: true, keyOf: kit.ca, ...options })
const selfSigned = async ({ keyOf }: Kit) => ({
  certificate: await makeCertificate({ commonName: '', extendedKeyUsage: 'serverAuth', keyOf }),
})
const of = (options: Partial<CertificateOptions>) => async (kit: Kit) => ({
  certificate: await leaf(kit, options),
})

const ROWS: Record<string, Row> = {
  'with nothing wrong about it': { show: of({ extendedKeyUsage: 'clientAuth' }), expected: byBytes('lamp') },
  'that has expired': { show: of({ notBefore: at(-2), notAfter: at(-1) }), expected: REFUSED },
  'that is not valid yet': { show: of({ notBefore: at(1), notAfter: at(2) }), expected: REFUSED },
  'that is meant for servers': { show: of({ extendedKeyUsage: 'serverAuth' }), expected: byBytes(INVALID) },
  'that its device signed itself, for servers and without a name': {
    show: selfSigned,
    expected: byBytes(INVALID),
  },
  'with the chain to its authority': {
    show: async (kit) => {
      const line = await authority(kit, { commonName: 'line 1', issuer: kit.ca, pathLength: 0 })
      return { certificate: await leaf(kit, { issuer: line }), chain: [line] }
    },
    expected: byBytes('lamp'),
  },
  'without the chain to its authority': {
    show: async (kit) => {
      const line = await makeCertificate({ commonName: 'line 1', authority: true, issuer: kit.ca })
      return { certificate: await leaf(kit, { issuer: line }) }
    },
    expected: byBytes(INVALID),
  },
  'that breaks the path length of its authority': {
    show: async (kit) => {
      const trusted = await authority(kit, { pathLength: 0 })
      const line = await makeCertificate({ commonName: 'line 1', authority: true, issuer: trusted })
      return { certificate: await leaf(kit, { issuer: line }), chain: [line], trusted }
    },
    expected: byBytes(INVALID),
  },
  'that breaks the name constraint of its authority': {
    show: async (kit) => {
      const trusted = await authority(kit, { nameConstraints: 'permitted;DNS:factory.example' })
      const subjectAltName = 'DNS:elsewhere.example'
      return { certificate: await leaf(kit, { issuer: trusted, subjectAltName }), trusted }
    },
    expected: byBytes(INVALID),
  },
  'of an authority with the same name and another key': {
    show: async (kit) => {
      const commonName = `factory ${kit.ca.fingerprint.slice(0, 8)}`
      const trusted = await authority(kit, { commonName })
      const other = await makeCertificate({ commonName, authority: true })
      return { certificate: await leaf(kit, { issuer: other }), trusted }
    },
    expected: byBytes(INVALID),
  },
  'that another device signed': {
    show: async (kit) => {
      const thief = await leaf(kit, { commonName: 'pump' })
      return { certificate: await leaf(kit, { issuer: thief }), chain: [thief] }
    },
    expected: byBytes(INVALID),
  },
  'with two common names': {
    show: of({ secondCommonName: 'pump' }),
    expected: byBytes('EMPTY_COMMON_NAME'),
  },
  'without a common name': { show: of({ commonName: '' }), expected: byBytes('EMPTY_COMMON_NAME') },
  'with the common name of another device': { show: of({ commonName: 'pump' }), expected: byBytes('pump') },
  'with a common name that no device has': {
    show: of({ commonName: 'stranger' }),
    expected: byBytes('UNKNOWN_DEVICE'),
  },
  'with its common name in other letters': {
    show: of({ commonName: 'LAMP' }),
    expected: byBytes('UNKNOWN_DEVICE'),
  },
  // A second one with the same name: enough where the chain decides, worth nothing where the bytes do.
  'that has the common name and is another than the known one': {
    show: async (kit) => ({ certificate: await leaf(kit), known: await leaf(kit) }),
    expected: { Managed: INVALID, Provided: INVALID, HubCA: 'lamp' },
  },
  // OpenSSL takes 100 KiB of a client, chain included.
  'of just under 100 KiB': { show: of({ paddingBytes: 100_000 }), expected: byBytes('lamp') },
  'of more than 100 KiB': {
    show: of({ paddingBytes: 102_400 }),
    expected: {
      Managed: 'TLS_HANDSHAKE_FAILED',
      Provided: 'TLS_HANDSHAKE_FAILED',
      HubCA: 'TLS_HANDSHAKE_FAILED',
    },
  },
}

let broker: TestBroker
beforeAll(async () => {
  broker = await startBroker({}, { listeners: LISTENERS })
})
afterAll(async () => await broker.stop())

describe.each(KEY_TYPES)('a certificate with a key of %s', (keyType) => {
  let kit: Kit
  beforeAll(async () => {
    kit = await kitOf(keyType)
  })

  it.each(Object.entries(ROWS))('%s', async (_, { show, expected }) => {
    const shown = await show(kit)
    for (const setUp of SET_UPS) {
      arrange(setUp, shown, kit)
      for (const listener of LISTENERS)
        expect(await outcome(listener, shown), `${setUp} on ${listener}`).toBe(expected[setUp])
    }
  })
})

async function kitOf(keyType: KeyType): Promise<Kit> {
  const ca = await makeCertificate({ commonName: 'factory', authority: true, keyType })
  return { ca, keyOf: await makeCertificate({ commonName: 'lamp', keyType }) }
}

/** A lamp that its id alone would let in, so that nothing but the certificate can be what keeps it out. */
function arrange(setUp: SetUp, { certificate, trusted, known = certificate }: Shown, { ca }: Kit): void {
  const deviceTrust: HubRecord['deviceTrust'] = {
    mode: setUp === 'HubCA' ? 'HubCA' : 'Managed',
    caCertificates: [(trusted ?? ca).certPem],
  }
  const fingerprints = setUp === 'HubCA' ? [] : [known.fingerprint]
  const lamp = device({ id: randomUUID(), name: 'lamp', certificate: { source: setUp, fingerprints } })
  const pump = device({ name: 'pump', certificate: { source: setUp, fingerprints: [] } })
  broker.change((state) => ({
    ...state,
    hub: { ...state.hub, deviceTrust },
    devices: [lamp, pump],
  }))
}

const deviceNamed = (name: string): DeviceRecord => broker.state.devices.find((one) => one.name === name)!

async function outcome(listener: (typeof LISTENERS)[number], shown: Shown): Promise<string> {
  const connected = () => broker.broker.activity().filter(({ connections }) => connections > 0)
  await waitUntil('nobody is connected', () => connected().length === 0)
  broker.events.length = 0
  const cert = [shown.certificate, ...(shown.chain ?? [])].map(({ certPem }) => certPem).join('\n')
  try {
    const client = await broker.open({ listener, tls: { cert, key: shown.certificate.keyPem } })
    const { returnCode } = await client.connect({ clientId: deviceNamed('lamp').id })
    if (returnCode === 0) {
      const ids = connected().map(({ deviceId }) => deviceId)
      client.close()
      return broker.state.devices.find(({ id }) => ids[0] === id)?.name ?? 'nobody'
    }
  } catch {
    // Cut off before an answer; the event says why.
  }
  return (await waitUntil('an event', () => broker.events[0])).code
}

function at(hours: number): Date {
  return new Date(Date.now() + hours * HOUR_MS)
}
