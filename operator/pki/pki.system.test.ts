import { execFile, execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createServer, type Server } from 'node:tls'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { issueDeviceCertificate, issueServerCertificate } from './issue.ts'
import type { KeyAlgorithm } from './keys.ts'
import { ALGORITHMS, DAY, makeCa, NOW, ODD_NAMES, serial } from './pki.fixture.ts'
import type { CertificateWithKey } from './profile.ts'

const directory = mkdtempSync(join(tmpdir(), 'hublet-pki-'))
afterAll(() => rmSync(directory, { recursive: true, force: true }))

let files = 0
function file(content: string): string {
  const path = join(directory, `${files++}.pem`)
  writeFileSync(path, content)
  return path
}

const openssl = (...args: string[]): string =>
  execFileSync('openssl', args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] })

const verify = (ca: CertificateWithKey, leaf: CertificateWithKey, purpose: string): string => {
  try {
    const args = ['-x509_strict', '-CAfile', file(ca.certificatePem), '-purpose', purpose]
    return openssl('verify', ...args, file(leaf.certificatePem)).trim()
  } catch (error) {
    return String((error as { stderr: string }).stderr)
  }
}

const deviceOf = (ca: CertificateWithKey, commonName: string, keyAlgorithm: KeyAlgorithm) =>
  issueDeviceCertificate({ ca, commonName, keyAlgorithm, duration: 30 * DAY, now: NOW, serial: serial() })

const serverOf = (ca: CertificateWithKey, keyAlgorithm: KeyAlgorithm) =>
  issueServerCertificate({
    ca,
    dnsNames: ['localhost'],
    ipAddresses: ['127.0.0.1', '::1'],
    keyAlgorithm,
    duration: 30 * DAY,
    now: NOW,
    serial: serial(),
  })

const pairs = ALGORITHMS.flatMap((ca) => ALGORITHMS.map((leaf) => [ca, leaf] as const))

describe.each(pairs)('with a CA of %s and leaves of %s', (caAlgorithm, leafAlgorithm) => {
  let ca: CertificateWithKey
  beforeAll(async () => {
    ca = await makeCa(caAlgorithm)
  })

  it('openssl verify takes a device certificate as a client and not as a server', async () => {
    const leaf = await deviceOf(ca, 'thermometer', leafAlgorithm)
    expect(verify(ca, leaf, 'sslclient')).toMatch(/: OK$/)
    expect(verify(ca, leaf, 'sslserver')).toMatch(/unsuitable certificate purpose/)
  })

  it('openssl verify takes a server certificate as a server and not as a client', async () => {
    const leaf = await serverOf(ca, leafAlgorithm)
    expect(verify(ca, leaf, 'sslserver')).toMatch(/: OK$/)
    expect(verify(ca, leaf, 'sslclient')).toMatch(/unsuitable certificate purpose/)
  })

  it('openssl verify refuses it below another CA of the same name', async () => {
    const other = await makeCa(caAlgorithm)
    expect(verify(other, await deviceOf(ca, 'thermometer', leafAlgorithm), 'sslclient')).toMatch(/error/)
  })

  it('openssl reads the key, and it is the key of the certificate', async () => {
    const leaf = await deviceOf(ca, 'thermometer', leafAlgorithm)
    expect(openssl('pkey', '-in', file(leaf.privateKeyPem), '-pubout')).toBe(
      openssl('x509', '-in', file(leaf.certificatePem), '-noout', '-pubkey'),
    )
  })
})

describe.each(ALGORITHMS)('openssl x509 -text of %s', (algorithm) => {
  const text = (certificate: CertificateWithKey) =>
    openssl('x509', '-in', file(certificate.certificatePem), '-noout', '-text').replaceAll(/\n\s+/g, '\n')
  const keyText = algorithm === 'RSA-2048' ? 'Public-Key: (2048 bit)' : 'NIST CURVE: P-256'
  const serverUsage = algorithm === 'RSA-2048' ? 'Digital Signature, Key Encipherment' : 'Digital Signature'

  it('shows a CA that can sign leaves and nothing else', async () => {
    const shown = text(await makeCa(algorithm))
    expect(shown).toContain(keyText)
    expect(shown).toContain('X509v3 Basic Constraints: critical\nCA:TRUE, pathlen:0\n')
    expect(shown).toContain('X509v3 Key Usage: critical\nCertificate Sign, CRL Sign\n')
    expect(shown).toContain('X509v3 Subject Key Identifier')
    expect(shown).not.toContain('Extended Key Usage')
  })

  it('shows a device certificate for client authentication only', async () => {
    const ca = await makeCa(algorithm)
    const shown = text(await deviceOf(ca, 'thermometer', algorithm))
    expect(shown).toContain(keyText)
    expect(shown).toContain('Issuer: CN = garden device CA\n')
    expect(shown).toContain('Subject: CN = thermometer\n')
    expect(shown).toContain('X509v3 Basic Constraints: critical\nCA:FALSE\n')
    expect(shown).toContain('X509v3 Key Usage: critical\nDigital Signature\n')
    expect(shown).toContain('X509v3 Extended Key Usage: \nTLS Web Client Authentication\n')
    const keyId = (of: string, name: string) => new RegExp(`${name} Key Identifier: \\n(\\S+)`).exec(of)?.[1]
    expect(keyId(shown, 'Authority')).toBe(keyId(text(ca), 'Subject'))
    expect(keyId(shown, 'Authority')).toMatch(/^[0-9A-F:]{59}$/)
  })

  it('shows a server certificate with names and addresses', async () => {
    const shown = text(await serverOf(await makeCa(algorithm), algorithm))
    expect(shown).toContain('DNS:localhost, IP Address:127.0.0.1, IP Address:0:0:0:0:0:0:0:1\n')
    expect(shown).toContain(`X509v3 Key Usage: critical\n${serverUsage}\n`)
    expect(shown).toContain('X509v3 Extended Key Usage: \nTLS Web Server Authentication\n')
  })
})

describe('a TLS 1.2 and 1.3 handshake by openssl s_client', () => {
  let server: Server | undefined
  afterAll(() => server?.close())

  const versions = ['-tls1_2', '-tls1_3'].flatMap((version) =>
    ALGORITHMS.map((key) => [version, key] as const),
  )
  it.each(versions)('shows the name of the device (%s, %s)', async (version, algorithm) => {
    const deviceCa = await makeCa(algorithm)
    const serverCa = await makeCa(algorithm, 'garden server CA')
    const { certificatePem: cert, privateKeyPem: key } = await serverOf(serverCa, algorithm)
    const seen: string[] = []
    server = createServer(
      { cert, key, ca: [deviceCa.certificatePem], requestCert: true, rejectUnauthorized: false },
      (socket) => {
        seen.push(`${socket.authorized} ${socket.getPeerCertificate().subject.CN}`)
        // Only now is the client's certificate verified in TLS 1.3; openssl leaves on Q.
        socket.write('hello')
      },
    )
    server.listen(0, '127.0.0.1')
    await new Promise((resolve) => server?.once('listening', resolve))
    const { port } = server.address() as AddressInfo
    const name = ODD_NAMES[2] as string
    const device = await deviceOf(deviceCa, name, algorithm)
    const client = promisify(execFile)('openssl', [
      ...['s_client', '-connect', `127.0.0.1:${port}`, '-CAfile', file(serverCa.certificatePem)],
      ...['-cert', file(device.certificatePem), '-key', file(device.privateKeyPem)],
      ...['-verify_return_error', '-verify_ip', '127.0.0.1', version],
    ])
    client.child.stdout?.on('data', (chunk) => {
      if (String(chunk).includes('hello')) client.child.stdin?.end('Q\n')
    })
    const { stdout } = await client
    expect(stdout).toContain('Verify return code: 0 (ok)')
    expect(stdout).toContain('hello')
    expect(seen).toEqual([`true ${name}`])
    server.close()
  })
})
