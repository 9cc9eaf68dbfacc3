import { once } from 'node:events'
import { join } from 'node:path'
import { type ConnectionOptions, connect, type TLSSocket } from 'node:tls'
import { beforeAll, describe, expect, it } from 'vitest'
import { WebSocket } from 'ws'
import type { HubEvent } from '../../contract/hub-event.ts'
import type { ServerCredentials } from '../../contract/hub-state.ts'
import { type MadeCertificate, makeCertificate, makeServerCertificate } from '../../test-support/openssl.ts'
import { runProgram } from '../../test-support/run-program.ts'
import { PATIENCE_MS, waitUntil, within } from '../../test-support/wait.ts'
import type { OpenedLink } from './listener-host.fixture.ts'
import { type TestListeners, testListeners } from './test-listeners.fixture.ts'

const asCredentials = ({ certPem, keyPem }: MadeCertificate): ServerCredentials => ({
  certificateChain: certPem,
  privateKey: keyPem,
})

let server: MadeCertificate
let other: MadeCertificate
let deviceCa: MadeCertificate
let lamp: MadeCertificate

beforeAll(async () => {
  server = (await makeServerCertificate()).server
  other = await makeCertificate({ commonName: 'localhost', subjectAltName: 'DNS:localhost' })
  deviceCa = await makeCertificate({ commonName: 'device CA', authority: true })
  lamp = await makeCertificate({ commonName: 'lamp', issuer: deviceCa, extendedKeyUsage: 'clientAuth' })
})

type TlsListener = 'mqtts' | 'wss'

const start = async (names: ReadonlyArray<TlsListener | 'https'> = ['mqtts']): Promise<TestListeners> =>
  await testListeners(names, { credentials: asCredentials(server) })

interface Dialled {
  /** Of the server's certificate. */
  fingerprint: string
  link: OpenedLink
  send(text: string): void
  close(): void
}

async function dial(
  listeners: TestListeners,
  listener: TlsListener,
  client?: MadeCertificate,
  options: ConnectionOptions = {},
): Promise<Dialled> {
  const tls = {
    rejectUnauthorized: false,
    ...(client === undefined ? {} : { cert: client.certPem, key: client.keyPem }),
    ...options,
  }
  const count = listeners.host.links.length
  const port = listeners.port(listener)
  if (listener === 'wss') {
    const webSocket = new WebSocket(`wss://127.0.0.1:${port}/mqtt`, 'mqtt', tls)
    const [[response]] = await Promise.all([once(webSocket, 'upgrade'), once(webSocket, 'open')])
    webSocket.on('error', () => {})
    return {
      fingerprint: fingerprintOf(response.socket as TLSSocket),
      link: await listeners.link(count),
      send: (text) => webSocket.send(Buffer.from(text)),
      close: () => webSocket.terminate(),
    }
  }
  const socket = connect({ port, host: '127.0.0.1', ...tls })
  socket.on('error', () => {})
  await once(socket, 'secureConnect')
  return {
    fingerprint: fingerprintOf(socket),
    link: await listeners.link(count),
    send: (text) => socket.write(text),
    close: () => socket.destroy(),
  }
}

/** Connects and leaves without a word; resolves when the listener has noticed. */
async function probe(listeners: TestListeners, listener: TlsListener | 'https'): Promise<void> {
  const { socket, closed } = await listeners.dial(listener)
  socket.end()
  await closed
}

const fingerprintOf = (socket: TLSSocket) =>
  socket.getPeerX509Certificate()?.fingerprint256.replaceAll(':', '').toLowerCase() ?? ''

function trust(listeners: TestListeners, ...authorities: MadeCertificate[]): void {
  const { host } = listeners
  const caCertificates = authorities.map(({ certPem }) => certPem)
  host.record = { ...host.record, deviceTrust: { mode: 'HubCA', caCertificates } }
  listeners.open.setDeviceCa()
}

describe.each(['mqtts', 'wss'] as const)('%s', (listener) => {
  it('tells what the client showed, and takes one that shows nothing', async () => {
    await using listeners = await start([listener])
    trust(listeners, deviceCa)
    const shown = await dial(listeners, listener, lamp)
    expect(shown.link.facts).toMatchObject({
      listener,
      encrypted: true,
      peerCertificate: { fingerprint: lamp.fingerprint, commonName: 'lamp', chainTrusted: true },
    })
    expect(shown.link.facts.peerCertificate).not.toHaveProperty('chainError')
    const silent = await dial(listeners, listener)
    expect(silent.link.facts).toMatchObject({ listener, encrypted: true })
    expect(silent.link.facts).not.toHaveProperty('peerCertificate')
    shown.close()
    silent.close()
  })

  it('presents a new certificate to new clients and leaves the old ones alone', async () => {
    await using listeners = await start([listener])
    trust(listeners, deviceCa)
    const before = await dial(listeners, listener, lamp)
    expect(before.fingerprint).toBe(server.fingerprint)
    listeners.open.setCredentials(asCredentials(other))
    const after = await dial(listeners, listener, lamp)
    expect(after.fingerprint).toBe(other.fingerprint)
    // The device CA has outlived the new certificate.
    expect(after.link.facts.peerCertificate?.chainTrusted).toBe(true)
    before.send('still here')
    await waitUntil('the old link goes on', () => before.link.received.toString() === 'still here')
    expect(before.link.closes).toBe(0)
    for (const { close } of [before, after]) close()
  })

  it('keeps the old certificate when the new one cannot be read', async () => {
    await using listeners = await start([listener])
    const broken = { certificateChain: server.certPem, privateKey: other.keyPem }
    expect(() => listeners.open.setCredentials(broken)).toThrow()
    const client = await dial(listeners, listener)
    expect(client.fingerprint).toBe(server.fingerprint)
    client.close()
  })
})

describe('the device CA', () => {
  const namesSent = async (listeners: TestListeners) => {
    const target = ['-connect', `127.0.0.1:${listeners.port('mqtts')}`]
    const { stdout } = await runProgram('openssl', ['s_client', ...target], { input: '' })
    return stdout.toString()
  }

  it('of our own is not named to clients: some would hold back a certificate that it did not sign', async () => {
    await using listeners = await start()
    const { record } = listeners.host
    const caCertificates = [deviceCa.certPem]
    listeners.host.record = { ...record, deviceTrust: { mode: 'Managed', caCertificates } }
    listeners.open.setDeviceCa()
    expect(await namesSent(listeners)).toContain('No client certificate CA names sent')
    const { link, close } = await dial(listeners, 'mqtts', lamp)
    close()
    expect(link.facts.peerCertificate?.chainTrusted).toBe(true)
    const self = await makeCertificate({ commonName: 'lamp' })
    const stranger = await dial(listeners, 'mqtts', self)
    stranger.close()
    expect(stranger.link.facts.peerCertificate).toMatchObject({
      chainTrusted: false,
      fingerprint: self.fingerprint,
    })
  })

  it('of the user is named to clients, which choose by it', async () => {
    await using listeners = await start()
    trust(listeners, deviceCa)
    expect(await namesSent(listeners)).toContain('Acceptable client certificate CA names')
  })

  it.each(['mqtts', 'wss'] as const)(
    'that stands below another lets nobody in whom that one, or a CA beside it, has certified, on %s',
    async (listener) => {
      const root = await makeCertificate({ commonName: 'company root', authority: true })
      const [hubCa, sibling] = await Promise.all(
        ['hub CA', 'CA of others'].map((commonName) =>
          makeCertificate({ commonName, authority: true, issuer: root }),
        ),
      )
      const factory = await makeCertificate({ commonName: 'factory', authority: true, issuer: hubCa! })
      const shown = async (issuer: MadeCertificate, ...sent: MadeCertificate[]) => {
        const made = await makeCertificate({ commonName: 'lamp', issuer, extendedKeyUsage: 'clientAuth' })
        const certPem = [made, ...sent].map((one) => one.certPem).join('')
        const { link, close } = await dial(listeners, listener, { ...made, certPem })
        close()
        return link.facts.peerCertificate
      }
      await using listeners = await start([listener])
      // As cert-manager writes it: the CA itself, and the one that issued it.
      trust(listeners, hubCa!, root)
      expect(await shown(hubCa!)).toMatchObject({ chainTrusted: true })
      expect(await shown(hubCa!, hubCa!)).toMatchObject({ chainTrusted: true })
      const refused = { chainTrusted: false, chainError: 'NOT_ISSUED_BY_HUB_CA' }
      expect(await shown(factory, factory)).toMatchObject(refused)
      expect(await shown(sibling!, sibling!)).toMatchObject(refused)
      expect(await shown(sibling!, sibling!, hubCa!)).toMatchObject(refused)
      expect(await shown(root)).toMatchObject(refused)
      // The one before it, kept for devices that have not moved yet, and one below it that the user names.
      trust(listeners, hubCa!, root, deviceCa, factory)
      for (const issuer of [hubCa!, deviceCa, factory])
        expect(await shown(issuer)).toMatchObject({ chainTrusted: true })
      expect(await shown(sibling!, sibling!)).toMatchObject(refused)
      // A root of the user's own comes first, what stands below it after.
      trust(listeners, root, sibling!)
      expect(await shown(root)).toMatchObject({ chainTrusted: true })
      expect(await shown(sibling!)).toMatchObject({ chainTrusted: true })
    },
  )

  it('is exchanged for new handshakes', async () => {
    await using listeners = await start()
    trust(listeners)
    const factory = await makeCertificate({ commonName: 'factory CA', authority: true })
    const verdict = async () => {
      const { link, close } = await dial(listeners, 'mqtts', lamp)
      close()
      return link.facts.peerCertificate
    }
    expect(await verdict()).toMatchObject({
      chainTrusted: false,
      chainError: 'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
    })
    trust(listeners, factory, deviceCa)
    expect(await verdict()).toMatchObject({ chainTrusted: true })
    trust(listeners, factory)
    expect(await verdict()).toMatchObject({ chainTrusted: false })
    trust(listeners)
    expect(await verdict()).toMatchObject({ chainTrusted: false })
  })

  it.each([
    ['is no PEM', () => 'no PEM'],
    ['is broken', () => deviceCa.certPem.replace(/\n..../, '\nAAAA')],
  ])('that %s trusts nobody, and that is logged', async (_, spoil) => {
    await using listeners = await start()
    trust(listeners, deviceCa)
    trust(listeners, { ...deviceCa, certPem: spoil() })
    const before = await dial(listeners, 'mqtts', lamp)
    expect(before.link.facts.peerCertificate?.chainTrusted).toBe(false)
    expect(listeners.host.logged.join()).toContain('a device CA certificate cannot be read')
    // One that is good beside it counts.
    trust(listeners, { ...deviceCa, certPem: spoil() }, deviceCa)
    const after = await dial(listeners, 'mqtts', lamp)
    expect(after.link.facts.peerCertificate?.chainTrusted).toBe(true)
    before.close()
    after.close()
  })

  it('is never the system’s roots, not even while the list is empty', async () => {
    const files = [server.certPath, server.keyPath, lamp.certPath, lamp.keyPath]
    const child = join(import.meta.dirname, 'extra-roots-child.fixture.ts')
    const env = { NODE_EXTRA_CA_CERTS: deviceCa.certPath }
    const { stdout, stderr } = await runProgram(process.execPath, [child, ...files], { env })
    expect(stderr).toBe('')
    expect(JSON.parse(stdout.toString())).toEqual({ control: true, trusted: [false, false, false] })
  })

  it('says why it does not trust', async () => {
    await using listeners = await start()
    trust(listeners, deviceCa)
    const past = { notBefore: new Date('2020-01-01T00:00:00Z'), notAfter: new Date('2021-01-01T00:00:00Z') }
    const expired = await makeCertificate({ commonName: 'lamp', issuer: deviceCa, ...past })
    const forServers = await makeCertificate({
      commonName: 'lamp',
      issuer: deviceCa,
      extendedKeyUsage: 'serverAuth',
    })
    const reason = async (client: MadeCertificate) => {
      const { link, close } = await dial(listeners, 'mqtts', client)
      close()
      return link.facts.peerCertificate?.chainError
    }
    expect(await reason(expired)).toBe('CERT_HAS_EXPIRED')
    expect(await reason(forServers)).toBe('INVALID_PURPOSE')
    expect(await reason(other)).toBe('DEPTH_ZERO_SELF_SIGNED_CERT')
  })
})

describe('a TLS session', () => {
  it.each(['TLSv1.2', 'TLSv1.3'] as const)('of %s is never resumed', async (version) => {
    await using listeners = await start()
    const socket = connect({
      port: listeners.port('mqtts'),
      host: '127.0.0.1',
      rejectUnauthorized: false,
      maxVersion: version,
    })
    const sessions: Buffer[] = []
    socket.on('session', (session) => sessions.push(session))
    await once(socket, 'secureConnect')
    const link = await listeners.link()
    link.transport.write(Buffer.from('x'))
    await once(socket, 'data')
    const session = sessions.at(-1) ?? socket.getSession()
    expect(session).toBeDefined()
    socket.destroy()
    const again = connect({
      port: listeners.port('mqtts'),
      host: '127.0.0.1',
      rejectUnauthorized: false,
      ...(session === undefined ? {} : { session }),
    })
    await once(again, 'secureConnect')
    expect(again.isSessionReused()).toBe(false)
    again.destroy()
  })

  it('cannot be renegotiated', async () => {
    await using listeners = await start()
    const target = ['-connect', `127.0.0.1:${listeners.port('mqtts')}`, '-tls1_2']
    // `R` on its input makes s_client ask for one.
    const { stderr } = await runProgram('openssl', ['s_client', ...target], { input: 'R\n' })
    expect(stderr).toContain('RENEGOTIATING')
    expect(stderr).toContain('no renegotiation')
  })
})

const failed = (detail: unknown, address: string): HubEvent => ({
  code: 'TLS_HANDSHAKE_FAILED',
  objectType: 'hub',
  objectId: expect.any(String) as unknown as string,
  detail: detail as string,
  extra: { 'source-address': address },
})

describe.each(['mqtts', 'wss', 'https'] as const)('on %s', (listener) => {
  it.each<[string, string | Buffer, unknown]>([
    ['plain HTTP', 'GET / HTTP/1.1\r\n\r\n', 'ERR_SSL_HTTP_REQUEST'],
    [
      'plain MQTT',
      Buffer.from('101000044d5154540402003c00046e6f7065', 'hex'),
      expect.stringMatching(/^ERR_SSL_/),
    ],
    ['noise', Buffer.alloc(300, 7), expect.stringMatching(/^ERR_SSL_/)],
    [
      'a ClientHello full of nonsense',
      Buffer.concat([Buffer.from([22, 3, 1, 0, 200, 1, 0, 0, 196]), Buffer.alloc(196, 9)]),
      expect.stringMatching(/^ERR_SSL_/),
    ],
  ])('%s is turned away and told of once', async (_, bytes, detail) => {
    await using listeners = await start([listener])
    const client = await listeners.dial(listener)
    client.socket.write(bytes)
    await within('closed', PATIENCE_MS, client.closed)
    await waitUntil('the event', () => listeners.host.events.length > 0)
    expect(listeners.host.events).toEqual([failed(detail, client.address)])
    expect(listeners.host.links).toEqual([])
  })

  it('a client that leaves in the middle of the handshake is told of; a port probe is not', async () => {
    await using listeners = await start([listener])
    await probe(listeners, listener)
    const half = await listeners.dial(listener)
    half.socket.write(Buffer.from([22, 3, 1, 2, 0, 1]))
    // Whoever came later was served, so these bytes have been read: a reset would take them along.
    await probe(listeners, listener)
    half.socket.resetAndDestroy()
    await waitUntil('the event', () => listeners.host.events.length > 0)
    expect(listeners.host.events).toEqual([failed(expect.any(String), half.address)])
  })

  it('a client that does not trust us is told of', async () => {
    await using listeners = await start([listener])
    const target = ['-connect', `127.0.0.1:${listeners.port(listener)}`, '-CAfile', deviceCa.certPath]
    await runProgram('openssl', ['s_client', ...target, '-verify_return_error'])
    await waitUntil('the event', () => listeners.host.events.length > 0)
    expect(listeners.host.events).toEqual([
      failed('ERR_SSL_TLSV1_ALERT_UNKNOWN_CA', expect.any(String) as unknown as string),
    ])
  })
})

describe('a handshake that is not finished', () => {
  it.each(['mqtts', 'wss'] as const)(
    'counts into the time for CONNECT on %s: one event',
    async (listener) => {
      await using listeners = await testListeners([listener], {
        credentials: asCredentials(server),
        connectTimeoutMs: 300,
      })
      const client = await listeners.dial(listener)
      client.socket.write(Buffer.from([22, 3, 1, 2, 0, 1]))
      await within('closed', PATIENCE_MS, client.closed)
      expect(listeners.host.codes()).toEqual(['CONNECT_TIMEOUT'])
      // Its second event would come with the end of the TLS socket, before this probe has ended.
      await probe(listeners, listener)
      expect(listeners.host.codes()).toEqual(['CONNECT_TIMEOUT'])
    },
  )

  it('takes a pending place, so that many of them push each other out', async () => {
    await using listeners = await start(['mqtts', 'wss'])
    listeners.setLimits({ pendingConnections: 5 })
    const clients = []
    for (let i = 0; i < 20; i++) {
      const client = await listeners.dial(i % 2 === 0 ? 'mqtts' : 'wss')
      client.socket.write(Buffer.from([22, 3, 1, 2, 0, 1]))
      clients.push(client)
    }
    await Promise.all(clients.slice(0, 15).map(async ({ closed }) => await closed))
    expect(clients.slice(15).some(({ socket }) => socket.destroyed)).toBe(false)
    expect(listeners.host.codes()).toEqual(Array(15).fill('CONNECT_TIMEOUT'))
  })

  it('is cut off on https after 10 s', async () => {
    await using listeners = await start(['https'])
    const client = await listeners.dial('https')
    client.socket.write(Buffer.from([22, 3, 1, 2, 0, 1]))
    await within('closed', PATIENCE_MS, client.closed)
    await waitUntil('the event', () => listeners.host.events.length > 0)
    expect(listeners.host.events).toEqual([failed('ERR_TLS_HANDSHAKE_TIMEOUT', client.address)])
  })
})
