import { connectAsync } from 'mqtt'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { ListenerName } from '../../broker/policy/link.ts'
import type { EventCode } from '../../contract/hub-event.ts'
import { device } from '../../test-support/hub-state.ts'
import { mosquittoPub } from '../../test-support/mosquitto.ts'
import { type MadeCertificate, makeCertificate } from '../../test-support/openssl.ts'
import { startBroker, type TestBroker } from '../../test-support/start-broker.ts'

// The connection security matrix (docs: security model), every row on every listener it can happen on, asked
// by real clients: mosquitto_pub on TCP and TLS, MQTT.js on WebSocket, certificates made by openssl.

type Link = Extract<ListenerName, 'mqtt' | 'mqtts' | 'ws' | 'wss'>
const PLAIN: readonly Link[] = ['mqtt', 'ws']
const ENCRYPTED: readonly Link[] = ['mqtts', 'wss']
const ALL: readonly Link[] = [...PLAIN, ...ENCRYPTED]

type Shown =
  | 'its certificate'
  | 'its id as client id'
  | 'its id as user name'
  | 'an unknown certificate and its id'
  | 'its expired certificate and its id'
  | 'the certificate of another CA with its name'
  | 'nothing but a made-up id'
  | 'an empty client id'

interface Row {
  allowInsecure: readonly boolean[]
  links: readonly Link[]
  shown: Shown
  device?: 'disabled' | 'revoked' | 'deleted'
  result: 'accepted' | EventCode
}

const EITHER = [true, false]

const MATRIX: readonly Row[] = [
  { allowInsecure: [false], links: ENCRYPTED, shown: 'its certificate', result: 'accepted' },
  { allowInsecure: [false], links: ENCRYPTED, shown: 'its id as client id', result: 'MTLS_REQUIRED' },
  { allowInsecure: [false], links: PLAIN, shown: 'its id as client id', result: 'MTLS_REQUIRED' },
  { allowInsecure: [false], links: ALL, shown: 'its id as user name', result: 'MTLS_REQUIRED' },
  { allowInsecure: [true], links: ENCRYPTED, shown: 'its certificate', result: 'accepted' },
  { allowInsecure: [true], links: ENCRYPTED, shown: 'its id as client id', result: 'accepted' },
  { allowInsecure: [true], links: PLAIN, shown: 'its id as client id', result: 'accepted' },
  { allowInsecure: [true], links: ALL, shown: 'its id as user name', result: 'accepted' },
  {
    allowInsecure: EITHER,
    links: ENCRYPTED,
    shown: 'an unknown certificate and its id',
    result: 'INVALID_DEVICE_CERTIFICATE',
  },
  {
    allowInsecure: EITHER,
    links: ENCRYPTED,
    shown: 'its expired certificate and its id',
    result: 'INVALID_DEVICE_CERTIFICATE',
  },
  {
    allowInsecure: EITHER,
    links: ENCRYPTED,
    shown: 'the certificate of another CA with its name',
    result: 'INVALID_DEVICE_CERTIFICATE',
  },
  {
    allowInsecure: EITHER,
    links: ENCRYPTED,
    shown: 'its certificate',
    device: 'disabled',
    result: 'DEVICE_DISABLED',
  },
  {
    allowInsecure: EITHER,
    links: ALL,
    shown: 'its id as client id',
    device: 'disabled',
    result: 'DEVICE_DISABLED',
  },
  {
    allowInsecure: EITHER,
    links: ENCRYPTED,
    shown: 'its certificate',
    device: 'revoked',
    result: 'DEVICE_REVOKED',
  },
  {
    allowInsecure: EITHER,
    links: ALL,
    shown: 'its id as client id',
    device: 'revoked',
    result: 'DEVICE_REVOKED',
  },
  // A deleted device leaves no record: its certificate is then one nobody knows, its id one nobody has.
  {
    allowInsecure: EITHER,
    links: ENCRYPTED,
    shown: 'its certificate',
    device: 'deleted',
    result: 'INVALID_DEVICE_CERTIFICATE',
  },
  {
    allowInsecure: EITHER,
    links: ALL,
    shown: 'its id as client id',
    device: 'deleted',
    result: 'UNKNOWN_DEVICE',
  },
  { allowInsecure: EITHER, links: ALL, shown: 'nothing but a made-up id', result: 'UNKNOWN_DEVICE' },
  { allowInsecure: EITHER, links: ALL, shown: 'an empty client id', result: 'UNKNOWN_DEVICE' },
]

const cases = MATRIX.flatMap((row) =>
  row.allowInsecure.flatMap((allowInsecure) =>
    row.links.map((link) => ({
      ...row,
      allowInsecure,
      link,
      title:
        `${row.device ? `${row.device}, ` : ''}${allowInsecure ? 'allowing' : 'denying'} insecure, ` +
        `on ${link} showing ${row.shown}: ${row.result}`,
    })),
  ),
)

const NAME = 'boiler-7'
const MADE_UP_ID = 'c0ffee00-0000-4000-8000-00000000dead'

let broker: TestBroker
let certificates: {
  own: MadeCertificate
  unknown: MadeCertificate
  expired: MadeCertificate
  foreign: MadeCertificate
}
const target = device({ name: NAME })

beforeAll(async () => {
  const authority = await makeCertificate({ commonName: 'device CA', authority: true })
  const otherAuthority = await makeCertificate({ commonName: 'another CA', authority: true })
  certificates = {
    own: await makeCertificate({ commonName: NAME, issuer: authority, extendedKeyUsage: 'clientAuth' }),
    unknown: await makeCertificate({ commonName: 'who knows' }),
    expired: await makeCertificate({
      commonName: NAME,
      issuer: authority,
      notBefore: new Date('2020-01-01T00:00:00Z'),
      notAfter: new Date('2021-01-01T00:00:00Z'),
    }),
    foreign: await makeCertificate({ commonName: NAME, issuer: otherAuthority }),
  }
  broker = await startBroker({ devices: [target] }, { listeners: ALL })
  broker.change((state) => ({
    ...state,
    hub: { ...state.hub, deviceTrust: { mode: 'Managed', caCertificates: [authority.certPem] } },
  }))
})
afterAll(async () => await broker.stop())

interface Credentials {
  clientId: string
  username?: string
  certificate?: MadeCertificate
}

function credentials(shown: Shown): Credentials {
  const { own, unknown, expired, foreign } = certificates
  const table: Record<Shown, Credentials> = {
    'its certificate': { clientId: 'any client id', certificate: own },
    'its id as client id': { clientId: target.id },
    'its id as user name': { clientId: 'short', username: target.id },
    'an unknown certificate and its id': { clientId: target.id, certificate: unknown },
    'its expired certificate and its id': { clientId: target.id, certificate: expired },
    'the certificate of another CA with its name': { clientId: target.id, certificate: foreign },
    'nothing but a made-up id': { clientId: MADE_UP_ID },
    'an empty client id': { clientId: '' },
  }
  return table[shown]
}

/** True: connected and published. */
async function connects(link: Link, { clientId, username, certificate }: Credentials): Promise<boolean> {
  if (link === 'mqtt' || link === 'mqtts') {
    const result = await mosquittoPub({
      port: broker.port(link),
      topic: 'hello',
      payload: 'x',
      qos: 1,
      ...(clientId === '' ? {} : { clientId }),
      ...(username === undefined ? {} : { username }),
      ...(link === 'mqtts' ? { cafile: broker.authority.certPath } : {}),
      ...(certificate === undefined ? {} : { cert: certificate.certPath, key: certificate.keyPath }),
    })
    expect(result.timedOut).toBe(false)
    return result.code === 0
  }
  try {
    const client = await connectAsync(`${link}://localhost:${broker.port(link)}/mqtt`, {
      clientId,
      reconnectPeriod: 0,
      connectTimeout: 5_000,
      ca: broker.authority.certPem,
      ...(username === undefined ? {} : { username }),
      ...(certificate === undefined ? {} : { cert: certificate.certPem, key: certificate.keyPem }),
    })
    await client.publishAsync('hello', 'x', { qos: 1 })
    await client.endAsync()
    return true
  } catch {
    return false
  }
}

describe('the security matrix', () => {
  it.each(cases)('$title', async ({ allowInsecure, link, shown, device: standing, result }) => {
    const record = {
      ...target,
      allowInsecure,
      enabled: standing !== 'disabled',
      revoked: standing === 'revoked',
      certificate: {
        source: 'Managed' as const,
        // The expired one is a fingerprint that still counts: only its date is wrong.
        fingerprints: [certificates.own.fingerprint, certificates.expired.fingerprint],
      },
    }
    broker.change((state) => ({ ...state, devices: standing === 'deleted' ? [] : [record] }))
    broker.events.length = 0

    expect(await connects(link, credentials(shown))).toBe(result === 'accepted')

    const codes = broker.events.filter((event) => event.code !== 'CONNECTION_REPLACED')
    if (result === 'accepted') expect(codes).toEqual([])
    else expect(codes.map((event) => event.code)).toEqual([result])
    if (result === 'MTLS_REQUIRED' || result === 'DEVICE_DISABLED') {
      expect(codes[0]).toMatchObject({ objectType: 'device', objectId: target.id })
    }
    if (result === 'UNKNOWN_DEVICE') expect(codes[0]?.objectId).toBe('unknown')
  })
})

describe('a hub with a device CA of its own', () => {
  it.each(ENCRYPTED)('finds the device on %s by a trusted chain and its common name only', async (link) => {
    const authority = await makeCertificate({ commonName: 'factory CA', authority: true })
    const good = await makeCertificate({ commonName: NAME, issuer: authority })
    const nameless = await makeCertificate({ commonName: '', issuer: authority })
    const stranger = await makeCertificate({ commonName: 'not registered', issuer: authority })
    const hubCa = { mode: 'HubCA' as const, caCertificates: [authority.certPem] }
    const record = {
      ...target,
      allowInsecure: false,
      certificate: { source: 'HubCA' as const, fingerprints: [] },
    }
    await using own = await startBroker({ devices: [record] }, { listeners: ALL })
    own.change((state) => ({ ...state, hub: { ...state.hub, deviceTrust: hubCa } }))
    const attempt = async ({ certPem: cert, keyPem: key }: MadeCertificate) => {
      const client = await own.open({ listener: link, tls: { cert, key, ca: own.authority.certPem } })
      const connack = await client.connect({ clientId: 'x' }).finally(() => client.close())
      return connack.returnCode
    }

    expect(await attempt(good)).toBe(0)
    expect(await attempt(nameless)).not.toBe(0)
    await own.waitForEvent('EMPTY_COMMON_NAME', 'unknown')
    expect(await attempt(stranger)).not.toBe(0)
    await own.waitForEvent('UNKNOWN_DEVICE', 'unknown')
    expect(await attempt(certificates.foreign)).not.toBe(0)
    await own.waitForEvent('INVALID_DEVICE_CERTIFICATE')
  })
})

describe('a provided certificate', () => {
  it.each(ENCRYPTED)('is accepted on %s by its exact bytes, self-signed and without a name', async (link) => {
    const uploaded = await makeCertificate({ commonName: '', extendedKeyUsage: 'serverAuth' })
    const { certPem: cert, keyPem: key, fingerprint } = uploaded
    const record = {
      ...target,
      allowInsecure: false,
      certificate: { source: 'Provided' as const, fingerprints: [fingerprint] },
    }
    await using own = await startBroker({ devices: [record] }, { listeners: ALL })
    const client = await own.connect(record, {
      listener: link,
      tls: { cert, key, ca: own.authority.certPem },
    })
    await client.ping()
  })
})
