import 'reflect-metadata'
import { createHash, webcrypto } from 'node:crypto'
import { once } from 'node:events'
import { connect } from 'node:tls'
import { type JsonName, X509CertificateGenerator } from '@peculiar/x509'
import { beforeAll, describe, expect, it } from 'vitest'
import { waitUntil } from '../../test-support/wait.ts'
import type { PeerCertificate } from '../policy/link.ts'
import { peerCertificate } from './peer-certificate.ts'
import { type TestListeners, testListeners } from './test-listeners.fixture.ts'

// Certificates of any shape, also such as openssl would not write, shown to a real TLS listener.

const ECDSA = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' }
const HOUR = 3_600_000

interface Made {
  cert: string
  key: string
  der: Buffer
}

async function make(name: JsonName, dates: { notBefore?: Date; notAfter?: Date } = {}): Promise<Made> {
  const keys = await webcrypto.subtle.generateKey(ECDSA, true, ['sign', 'verify'])
  const certificate = await X509CertificateGenerator.createSelfSigned({
    serialNumber: '01',
    name,
    notBefore: new Date(Date.now() - HOUR),
    notAfter: new Date(Date.now() + HOUR),
    ...dates,
    signingAlgorithm: ECDSA,
    keys,
  })
  const key = Buffer.from(await webcrypto.subtle.exportKey('pkcs8', keys.privateKey)).toString('base64')
  return {
    cert: certificate.toString('pem'),
    key: `-----BEGIN PRIVATE KEY-----\n${key}\n-----END PRIVATE KEY-----\n`,
    der: Buffer.from(certificate.rawData),
  }
}

let server: Made
beforeAll(async () => {
  server = await make([{ CN: ['localhost'] }])
})

async function seen(listeners: TestListeners, client?: Made): Promise<PeerCertificate | undefined> {
  const count = listeners.host.links.length
  const socket = connect({
    port: listeners.port('mqtts'),
    host: '127.0.0.1',
    rejectUnauthorized: false,
    ...(client === undefined ? {} : { cert: client.cert, key: client.key }),
  })
  socket.on('error', () => {})
  await once(socket, 'secureConnect')
  const { facts } = await waitUntil('the link', () => listeners.host.links[count])
  socket.destroy()
  return facts.peerCertificate
}

async function start(): Promise<TestListeners> {
  const listeners = await testListeners(['mqtts'], {
    credentials: { certificateChain: server.cert, privateKey: server.key },
  })
  listeners.host.record = { ...listeners.host.record, deviceTrust: { mode: 'HubCA', caCertificates: [] } }
  return listeners
}

describe('the certificate of a client', () => {
  it('is told by its fingerprint, name and dates', async () => {
    await using listeners = await start()
    const notBefore = new Date(Date.UTC(2020, 1, 3, 4, 5, 6))
    const notAfter = new Date(Date.UTC(2051, 1, 3, 4, 5, 6))
    const client = await make([{ CN: ['lamp'] }, { O: ['factory'] }], { notBefore, notAfter })
    expect(await seen(listeners, client)).toEqual({
      fingerprint: createHash('sha256').update(client.der).digest('hex'),
      commonName: 'lamp',
      notBefore: notBefore.getTime(),
      notAfter: notAfter.getTime(),
      chainTrusted: false,
      chainError: 'DEPTH_ZERO_SELF_SIGNED_CERT',
    })
  })

  it('is undefined when none was shown', async () => {
    await using listeners = await start()
    expect(await seen(listeners)).toBeUndefined()
  })

  it.each<[string, JsonName, string]>([
    ['without a subject has no name', [], ''],
    ['without a CN has no name', [{ O: ['factory'] }], ''],
    ['with an empty CN has no name', [{ CN: [''] }], ''],
    ['with two CNs has no name', [{ CN: ['lamp'] }, { CN: ['other'] }], ''],
    ['with two CNs in one part has no name', [{ CN: ['lamp', 'other'] }], ''],
    ['whose CN imitates a second line has that odd name', [{ CN: ['x\nCN=lamp'] }], 'x\nCN=lamp'],
    ['whose CN goes on after a NUL has all of it', [{ CN: ['lamp\0.x'] }], 'lamp\0.x'],
    ['whose O imitates a CN has none', [{ O: ['x\nCN=lamp'] }], ''],
    ['with a name beyond ASCII has it', [{ CN: ['lämp/日本,+="'] }], 'lämp/日本,+="'],
    ['with a CN that is long has all of it', [{ CN: ['x'.repeat(5_000)] }], 'x'.repeat(5_000)],
  ])('%s', async (_, name, commonName) => {
    await using listeners = await start()
    const client = await make(name)
    expect(await seen(listeners, client)).toMatchObject({
      commonName,
      fingerprint: createHash('sha256').update(client.der).digest('hex'),
    })
  })

  it('that never ends is valid to the year 9999', async () => {
    await using listeners = await start()
    const notAfter = new Date(Date.UTC(9999, 11, 31, 23, 59, 59))
    const client = await make([{ CN: ['lamp'] }], { notAfter })
    expect((await seen(listeners, client))?.notAfter).toBe(notAfter.getTime())
  })

  it.each<[string, (text: string) => string]>([
    ['a month that does not exist', (time) => time.replace(/^(..)../, '$199')],
    ['letters for digits', (time) => time.replace(/^.{4}/, 'abcd')],
    ['no zone', (time) => time.replace('Z', '0')],
  ])('whose end has %s was never valid, and is no exception', async (_, spoil) => {
    await using listeners = await start()
    const notAfter = new Date(Date.UTC(2040, 1, 3, 4, 5, 6))
    const client = await make([{ CN: ['lamp'] }], { notAfter })
    const der = Buffer.from(client.der)
    const at = der.indexOf('400203040506Z')
    der.write(spoil('400203040506Z'), at)
    const cert = `-----BEGIN CERTIFICATE-----\n${der.toString('base64')}\n-----END CERTIFICATE-----\n`
    expect(await seen(listeners, { ...client, cert, der })).toMatchObject({
      fingerprint: createHash('sha256').update(der).digest('hex'),
      commonName: 'lamp',
      notBefore: Number.MAX_SAFE_INTEGER,
      notAfter: 0,
      chainTrusted: false,
    })
  })

  it('that Node cannot read at all is one that was never valid, and no exception', () => {
    // No certificate is known that OpenSSL takes in a handshake and Node then fails to read; this is the net.
    const socket = {
      authorized: false,
      authorizationError: 'X',
      getPeerX509Certificate() {
        throw new Error('asn1 encoding routines')
      },
    }
    expect(peerCertificate(socket as never, { mode: 'HubCA', caCertificates: [] })).toEqual({
      fingerprint: '',
      commonName: '',
      notBefore: Number.MAX_SAFE_INTEGER,
      notAfter: 0,
      chainTrusted: false,
      chainError: 'UNREADABLE',
    })
  })
})
