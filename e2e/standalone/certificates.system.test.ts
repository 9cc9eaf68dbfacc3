import { describe, expect, it } from 'vitest'
import type { EventCode } from '../../contract/hub-event.ts'
import { device, hub } from '../../test-support/hub-state.ts'
import {
  type CertificateOptions,
  type KeyType,
  type MadeCertificate,
  makeCertificate,
} from '../../test-support/openssl.ts'
import { startBroker, type TestBroker } from '../../test-support/start-broker.ts'

// Certificates as a factory, or an attacker, would make them: by openssl, never by our own code.

const LISTENERS = ['mqtts', 'wss'] as const
const KEY_TYPES: readonly KeyType[] = ['P-256', 'P-384', 'RSA-2048', 'RSA-4096', 'Ed25519']
const HOUR_MS = 3_600_000

const trusting = (...cas: MadeCertificate[]) =>
  hub({ deviceTrust: { mode: 'HubCA', caCertificates: cas.map(({ certPem }) => certPem) } })

/** What each TLS listener answers to a client that shows this: 0, a CONNACK code, or `closed`. */
async function answers(
  broker: TestBroker,
  shown: { cert: string; key: string },
): Promise<Array<number | string>> {
  const answer = async (listener: (typeof LISTENERS)[number]) => {
    try {
      const client = await broker.open({ listener, tls: shown })
      const connack = await client.connect({ clientId: `client-${listener}` })
      client.close()
      return connack.returnCode ?? 'none'
    } catch {
      return 'closed'
    }
  }
  return [await answer('mqtts'), await answer('wss')]
}

const shownBy = ({ certPem, keyPem }: MadeCertificate, ...chain: MadeCertificate[]) => ({
  cert: [certPem, ...chain.map((one) => one.certPem)].join('\n'),
  key: keyPem,
})

describe('a certificate of the own CA', () => {
  it.each(KEY_TYPES)('is accepted with keys of %s, of the CA and of the device', async (keyType) => {
    const ca = await makeCertificate({ commonName: 'factory', authority: true, keyType })
    const lamp = device({ name: 'lamp', allowInsecure: false, certificate: { source: 'HubCA' } })
    await using broker = await startBroker({ hub: trusting(ca), devices: [lamp] }, { listeners: LISTENERS })
    const certificate = await makeCertificate({ commonName: 'lamp', issuer: ca, keyType })
    expect(await answers(broker, shownBy(certificate))).toEqual([0, 0])
  })

  it('is accepted by way of an intermediate that the client sends along, and not without it', async () => {
    const root = await makeCertificate({ commonName: 'root', authority: true })
    const line = await makeCertificate({ commonName: 'line 1', authority: true, issuer: root, pathLength: 0 })
    const certificate = await makeCertificate({ commonName: 'lamp', issuer: line })
    const lamp = device({ name: 'lamp', allowInsecure: false, certificate: { source: 'HubCA' } })
    await using broker = await startBroker({ hub: trusting(root), devices: [lamp] }, { listeners: LISTENERS })
    expect(await answers(broker, shownBy(certificate, line))).toEqual([0, 0])
    expect(await answers(broker, shownBy(certificate))).toEqual([5, 5])
    await broker.waitForEvent('INVALID_DEVICE_CERTIFICATE')
  })

  const REFUSED: Record<string, { make: () => Promise<Refused>; event: EventCode }> = {
    'has expired': of({ notBefore: at(-2), notAfter: at(-1) }),
    'is not valid yet': of({ notBefore: at(1), notAfter: at(2) }),
    'is meant for servers': of({ extendedKeyUsage: 'serverAuth' }),
    'names a device that another CA signed': {
      event: 'INVALID_DEVICE_CERTIFICATE',
      make: async () => {
        const ca = await makeCertificate({ commonName: 'factory', authority: true })
        const other = await makeCertificate({ commonName: 'factory', authority: true })
        return { ca, shown: shownBy(await makeCertificate({ commonName: 'lamp', issuer: other })) }
      },
    },
    'was signed by another device': {
      event: 'INVALID_DEVICE_CERTIFICATE',
      make: async () => {
        const ca = await makeCertificate({ commonName: 'factory', authority: true })
        const thief = await makeCertificate({ commonName: 'pump', issuer: ca })
        return { ca, shown: shownBy(await makeCertificate({ commonName: 'lamp', issuer: thief }), thief) }
      },
    },
    'breaks the path length of its CA': {
      event: 'INVALID_DEVICE_CERTIFICATE',
      make: async () => {
        const ca = await makeCertificate({ commonName: 'factory', authority: true, pathLength: 0 })
        const line = await makeCertificate({ commonName: 'line', authority: true, issuer: ca })
        return { ca, shown: shownBy(await makeCertificate({ commonName: 'lamp', issuer: line }), line) }
      },
    },
    'breaks the name constraint of its CA': {
      event: 'INVALID_DEVICE_CERTIFICATE',
      make: async () => {
        const ca = await makeCertificate({
          commonName: 'factory',
          authority: true,
          nameConstraints: 'permitted;DNS:factory.example',
        })
        const options = { commonName: 'lamp', issuer: ca, subjectAltName: 'DNS:elsewhere.example' }
        return { ca, shown: shownBy(await makeCertificate(options)) }
      },
    },
    'has no common name': of({ commonName: '' }, 'EMPTY_COMMON_NAME'),
    'names no device': of({ commonName: 'stranger' }, 'UNKNOWN_DEVICE'),
    'names the device in other letters': of({ commonName: 'LAMP' }, 'UNKNOWN_DEVICE'),
  }

  it.each(Object.entries(REFUSED))('that %s is refused on every TLS listener', async (_, { make, event }) => {
    const { ca, shown } = await make()
    const lamp = device({ name: 'lamp', allowInsecure: true, certificate: { source: 'HubCA' } })
    await using broker = await startBroker({ hub: trusting(ca), devices: [lamp] }, { listeners: LISTENERS })
    const told = await answers(broker, shown)
    for (const answer of told) expect([4, 5, 'closed']).toContain(answer)
    await broker.waitForEvent(event)
    expect(broker.broker.activity().every(({ connections }) => connections === 0)).toBe(true)
  })

  it('of 100 KB is refused or taken, and the hub goes on', async () => {
    const ca = await makeCertificate({ commonName: 'factory', authority: true })
    const lamp = device({ name: 'lamp', allowInsecure: false, certificate: { source: 'HubCA' } })
    await using broker = await startBroker({ hub: trusting(ca), devices: [lamp] }, { listeners: LISTENERS })
    const huge = await makeCertificate({ commonName: 'lamp', issuer: ca, paddingBytes: 100_000 })
    for (const answer of await answers(broker, shownBy(huge))) expect([0, 'closed']).toContain(answer)
    const plain = await makeCertificate({ commonName: 'lamp', issuer: ca })
    expect(await answers(broker, shownBy(plain))).toEqual([0, 0])
  })
})

describe('a certificate of the device itself', () => {
  it.each(KEY_TYPES)(
    'is accepted by its exact bytes with a key of %s, whoever signed it',
    async (keyType) => {
      const own = await makeCertificate({ commonName: 'anything', keyType })
      const twin = await makeCertificate({ commonName: 'anything', keyType })
      const certificate = { source: 'Provided' as const, fingerprints: [own.fingerprint] }
      const lamp = device({ name: 'lamp', allowInsecure: false, certificate })
      await using broker = await startBroker({ devices: [lamp] }, { listeners: LISTENERS })
      expect(await answers(broker, shownBy(own))).toEqual([0, 0])
      for (const answer of await answers(broker, shownBy(twin))) expect(answer).not.toBe(0)
    },
  )

  it('counts for one device only, though another has its common name', async () => {
    const own = await makeCertificate({ commonName: 'pump' })
    const certificate = { source: 'Provided' as const, fingerprints: [own.fingerprint] }
    const lamp = device({ name: 'lamp', allowInsecure: false, certificate })
    const pump = device({ name: 'pump', allowInsecure: false, certificate: { source: 'HubCA' } })
    await using broker = await startBroker({ devices: [lamp, pump] }, { listeners: LISTENERS })
    expect(await answers(broker, shownBy(own))).toEqual([0, 0])
    const seen = broker.broker.activity().map(({ deviceId }) => deviceId)
    expect(seen).toEqual([lamp.id])
  })
})

interface Refused {
  ca: MadeCertificate
  shown: { cert: string; key: string }
}

function at(hours: number): Date {
  return new Date(Date.now() + hours * HOUR_MS)
}

/** A certificate of the right CA with something wrong about it. */
function of(
  options: Partial<CertificateOptions>,
  event: EventCode = 'INVALID_DEVICE_CERTIFICATE',
): { make: () => Promise<Refused>; event: EventCode } {
  return {
    event,
    make: async () => {
      const ca = await makeCertificate({ commonName: 'factory', authority: true })
      return { ca, shown: shownBy(await makeCertificate({ commonName: 'lamp', issuer: ca, ...options })) }
    },
  }
}
