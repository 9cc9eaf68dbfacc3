import { connectAsync } from 'mqtt'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { ListenerName } from '../../broker/policy/link.ts'
import type { EventCode } from '../../contract/hub-event.ts'
import { device } from '../../test-support/hub-state.ts'
import { mosquittoPub } from '../../test-support/mosquitto.ts'
import { KEY_TYPES, type KeyType, type MadeCertificate, makeCertificate } from '../../test-support/openssl.ts'
import { startBroker, type TestBroker } from '../../test-support/start-broker.ts'

// The connection security matrix (docs: security model), every row on every listener it can happen on, asked
// by real clients: mosquitto_pub on TCP and TLS, MQTT.js on WebSocket, certificates made by openssl.

type Link = Extract<ListenerName, 'mqtt' | 'mqtts' | 'ws' | 'wss'>
const PLAIN: readonly Link[] = ['mqtt', 'ws']
const ENCRYPTED: readonly Link[] = ['mqtts', 'wss']
const ALL: readonly Link[] = [...PLAIN, ...ENCRYPTED]

type Shown =
  | 'its certificate'
  | 'its certificate and the id of another device'
  | 'its id as client id'
  | 'its id as user name'
  | 'an unknown certificate and its id'
  | 'its expired certificate and its id'
  | 'the certificate of another CA with its name'
  | 'a certificate of the hub with its name that is not its own'
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
  {
    allowInsecure: EITHER,
    links: ENCRYPTED,
    shown: 'its certificate and the id of another device',
    result: 'accepted',
  },
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
    shown: 'a certificate of the hub with its name that is not its own',
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

interface Case extends Omit<Row, 'allowInsecure' | 'links'> {
  allowInsecure: boolean
  link: Link
  keyType: KeyType | undefined
}

const CASES: readonly Case[] = MATRIX.flatMap((row) =>
  row.allowInsecure.flatMap((allowInsecure) =>
    row.links.flatMap((link) => keysOf(row).map((keyType) => ({ ...row, allowInsecure, link, keyType }))),
  ),
)

const titleOf = ({ device: standing, allowInsecure, link, shown, keyType, result }: Case) =>
  `${standing ? `${standing}, ` : ''}${allowInsecure ? 'allowing' : 'denying'} insecure, ` +
  `on ${link} showing ${shown}${keyType ? ` (${keyType})` : ''}: ${result}`

/** Every row that shows a certificate is asked with every kind of key. */
function keysOf({ shown }: Row): ReadonlyArray<KeyType | undefined> {
  return shown.includes('certificate') ? KEY_TYPES : [undefined]
}

const NAME = 'boiler-7'
const MADE_UP_ID = 'c0ffee00-0000-4000-8000-00000000dead'

interface Certificates {
  own: MadeCertificate
  unknown: MadeCertificate
  expired: MadeCertificate
  foreign: MadeCertificate
  /** A second one with the name of the first. */
  sibling: MadeCertificate
}

let broker: TestBroker
const certificates = new Map<KeyType | undefined, Certificates>()
const target = device({ name: NAME })
const other = device({ name: 'boiler-8' })

beforeAll(async () => {
  const authority = await makeCertificate({ commonName: 'device CA', authority: true })
  const otherAuthority = await makeCertificate({ commonName: 'another CA', authority: true })
  for (const keyType of KEY_TYPES)
    certificates.set(keyType, await makeCertificates(keyType, authority, otherAuthority))
  broker = await startBroker({ devices: [target, other] }, { listeners: ALL })
  broker.change((state) => ({
    ...state,
    hub: { ...state.hub, deviceTrust: { mode: 'Managed', caCertificates: [authority.certPem] } },
  }))
})
afterAll(async () => await broker.stop())

async function makeCertificates(
  keyType: KeyType,
  issuer: MadeCertificate,
  otherAuthority: MadeCertificate,
): Promise<Certificates> {
  const own = await makeCertificate({ commonName: NAME, issuer, extendedKeyUsage: 'clientAuth', keyType })
  const notBefore = new Date('2020-01-01T00:00:00Z')
  const notAfter = new Date('2021-01-01T00:00:00Z')
  const keyOf = own
  return {
    own,
    unknown: await makeCertificate({ commonName: 'who knows', keyOf }),
    expired: await makeCertificate({ commonName: NAME, issuer, notBefore, notAfter, keyOf }),
    foreign: await makeCertificate({ commonName: NAME, issuer: otherAuthority, keyOf }),
    sibling: await makeCertificate({ commonName: NAME, issuer, extendedKeyUsage: 'clientAuth', keyOf }),
  }
}

interface Credentials {
  clientId: string
  username?: string
  certificate?: MadeCertificate | undefined
}

function credentials(shown: Shown, keyType: KeyType | undefined): Credentials {
  const { own, unknown, expired, foreign, sibling } = certificates.get(keyType) ?? {}
  const table: Record<Shown, Credentials> = {
    'its certificate': { clientId: 'any client id', certificate: own },
    'its certificate and the id of another device': { clientId: other.id, certificate: own },
    'its id as client id': { clientId: target.id },
    'its id as user name': { clientId: 'short', username: target.id },
    'an unknown certificate and its id': { clientId: target.id, certificate: unknown },
    'its expired certificate and its id': { clientId: target.id, certificate: expired },
    'the certificate of another CA with its name': { clientId: target.id, certificate: foreign },
    'a certificate of the hub with its name that is not its own': {
      clientId: target.id,
      certificate: sibling,
    },
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
  it.each(CASES.map((one) => [titleOf(one), one] as const))('%s', async (_, asked) => {
    const { allowInsecure, link, shown, keyType, device: standing, result } = asked
    const record = {
      ...target,
      allowInsecure,
      enabled: standing !== 'disabled',
      revoked: standing === 'revoked',
      certificate: {
        source: 'Managed' as const,
        // The expired one is a fingerprint that still counts: only its date is wrong.
        fingerprints: [...certificates.values()].flatMap(({ own, expired }) => [
          own.fingerprint,
          expired.fingerprint,
        ]),
      },
    }
    const devices = standing === 'deleted' ? [other] : [record, other]
    broker.change((state) => ({ ...state, devices }))
    broker.events.length = 0

    expect(await connects(link, credentials(shown, keyType))).toBe(result === 'accepted')

    const codes = broker.events.filter((event) => event.code !== 'CONNECTION_REPLACED')
    if (result === 'accepted') expect(codes).toEqual([])
    else expect(codes.map((event) => event.code)).toEqual([result])
    if (result === 'MTLS_REQUIRED' || result === 'DEVICE_DISABLED') {
      expect(codes[0]).toMatchObject({ objectType: 'device', objectId: target.id })
    }
    if (result === 'UNKNOWN_DEVICE') expect(codes[0]?.objectId).toBe('unknown')
    // Whatever id was given beside a certificate: nobody was ever taken for the other device.
    expect(broker.broker.activity().map(({ deviceId }) => deviceId)).not.toContain(other.id)
  })
})
