import { X509Certificate } from 'node:crypto'
import { copyFileSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type ProgramResult, runProgram } from './run-program.ts'
import { makeTempDir } from './temp-dir.ts'

/** A certificate and its key as files and as texts. */
export interface MadeCertificate {
  certPath: string
  keyPath: string
  certPem: string
  keyPem: string
  /** SHA-256 of the DER, 64 lower-case hex digits. */
  fingerprint: string
}

export interface CertificateOptions {
  /** Subject CN; empty: a subject without CN. */
  commonName: string
  /** A second CN in the same subject. */
  secondCommonName?: string
  /** Who signs; absent: self-signed. */
  issuer?: MadeCertificate
  authority?: boolean
  /** e.g. `DNS:localhost,IP:127.0.0.1` */
  subjectAltName?: string
  extendedKeyUsage?: 'clientAuth' | 'serverAuth'
  /** Default P-256. */
  keyType?: KeyType
  /** Whose key to use once more: making one of RSA takes a second. */
  keyOf?: MadeCertificate
  /** Of an authority: how many authorities may stand below it. */
  pathLength?: number
  /** Of an authority: `permitted;dirName:…` and the like, as OpenSSL writes them. */
  nameConstraints?: string
  /** Extra bytes in a private extension: makes a certificate as large as wanted. */
  paddingBytes?: number
  notBefore?: Date
  notAfter?: Date
}

export const KEY_TYPES = ['P-256', 'P-384', 'RSA-2048', 'RSA-4096', 'Ed25519'] as const
export type KeyType = (typeof KEY_TYPES)[number]

const KEY_ARGUMENTS: Readonly<Record<KeyType, readonly string[]>> = {
  'P-256': ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256'],
  'P-384': ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-384'],
  'RSA-2048': ['-newkey', 'rsa:2048'],
  'RSA-4096': ['-newkey', 'rsa:4096'],
  Ed25519: ['-newkey', 'ed25519'],
}

const HOUR_MS = 3_600_000
let made = 0
let workDir: string | undefined

export async function openssl(args: readonly string[], input = ''): Promise<ProgramResult> {
  const result = await runProgram('openssl', args, { input })
  if (result.code !== 0) throw new Error(`openssl ${args[0]}: ${result.stderr}`)
  return result
}

/**
 * Makes a key and a certificate with the openssl program, independent of the code under test. Goes through
 * `openssl ca`, the one subcommand of OpenSSL 3.0 that can set both dates.
 */
export async function makeCertificate(options: CertificateOptions): Promise<MadeCertificate> {
  workDir ??= makeTempDir('openssl')
  const dir = join(workDir, String(++made))
  mkdirSync(dir)
  const file = (name: string) => join(dir, name)
  const { issuer, keyOf, keyType = 'P-256' } = options

  writeFileSync(file('config'), configText(dir, options))
  writeFileSync(file('index.txt'), '')
  const subject = ['-utf8', '-subj', subjectOf(options)]
  // Key and request by one process: starting it takes most of the time.
  const newKey = [...KEY_ARGUMENTS[keyType], '-nodes', '-keyout', file('key.pem')]
  if (keyOf !== undefined) copyFileSync(keyOf.keyPath, file('key.pem'))
  const key = keyOf === undefined ? newKey : ['-new', '-key', file('key.pem')]
  await openssl(['req', ...key, '-config', file('config'), ...subject, '-out', file('request.pem')])

  const now = Date.now()
  const { notBefore = new Date(now - HOUR_MS), notAfter = new Date(now + 24 * HOUR_MS) } = options
  const signer = issuer
    ? ['-cert', issuer.certPath, '-keyfile', issuer.keyPath]
    : ['-selfsign', '-keyfile', file('key.pem')]
  const dates = ['-startdate', asn1Time(notBefore), '-enddate', asn1Time(notAfter)]
  const output = ['-in', file('request.pem'), '-out', file('cert.pem')]
  await openssl([
    'ca',
    '-batch',
    '-notext',
    '-utf8',
    '-config',
    file('config'),
    ...signer,
    ...dates,
    ...output,
  ])
  return readCertificate(file('cert.pem'), file('key.pem'))
}

function readCertificate(certPath: string, keyPath: string): MadeCertificate {
  const { fingerprint256 } = new X509Certificate(readFileSync(certPath))
  const fingerprint = fingerprint256.replaceAll(':', '').toLowerCase()
  return {
    certPath,
    keyPath,
    certPem: readFileSync(certPath, 'utf8'),
    keyPem: readFileSync(keyPath, 'utf8'),
    fingerprint,
  }
}

function subjectOf({ commonName, secondCommonName }: CertificateOptions): string {
  const names = [commonName, secondCommonName ?? ''].filter((name) => name !== '')
  if (names.length === 0) return '/O=hublet tests'
  return names.map((name) => `/CN=${name.replaceAll('/', '\\/')}`).join('')
}

export interface CrlOptions {
  issuer: MadeCertificate
  revoked: readonly MadeCertificate[]
  /** Default: now. */
  thisUpdate?: Date
  /** Default: a day from now. */
  nextUpdate?: Date
}

/** A certificate revocation list by the openssl program, PEM. */
export async function makeCrl(options: CrlOptions): Promise<string> {
  workDir ??= makeTempDir('openssl')
  const dir = join(workDir, String(++made))
  mkdirSync(dir)
  const { issuer, revoked } = options
  const now = Date.now()
  const { thisUpdate = new Date(now), nextUpdate = new Date(now + 24 * HOUR_MS) } = options
  const rows: string[] = []
  for (const { certPath } of revoked) {
    const { stdout } = await openssl(['x509', '-in', certPath, '-noout', '-serial'])
    const serial = stdout.toString().trim().replace('serial=', '')
    rows.push(`R\t491231235959Z\t250101000000Z\t${serial}\tunknown\t/CN=revoked\n`)
  }
  writeFileSync(join(dir, 'config'), configText(dir, { commonName: '' }))
  writeFileSync(join(dir, 'index.txt'), rows.join(''))
  const signer = ['-config', join(dir, 'config'), '-cert', issuer.certPath, '-keyfile', issuer.keyPath]
  const dates = ['-crl_lastupdate', asn1Time(thisUpdate), '-crl_nextupdate', asn1Time(nextUpdate)]
  const out = join(dir, 'crl.pem')
  await openssl(['ca', '-gencrl', ...signer, ...dates, '-out', out])
  return readFileSync(out, 'utf8')
}

const asn1Time = (date: Date) => `${date.toISOString().replace(/[-:T]/g, '').slice(0, 14)}Z`

function configText(dir: string, options: CertificateOptions): string {
  const {
    authority = false,
    extendedKeyUsage,
    subjectAltName,
    pathLength,
    nameConstraints,
    paddingBytes,
  } = options
  const constraint = pathLength === undefined ? '' : `, pathlen:${pathLength}`
  return `
[ca]
default_ca = made
[made]
database = ${join(dir, 'index.txt')}
new_certs_dir = ${dir}
rand_serial = yes
default_md = default
policy = any
x509_extensions = extensions
unique_subject = no
[any]
commonName = optional
organizationName = optional
[req]
distinguished_name = subject
string_mask = utf8only
[subject]
[extensions]
basicConstraints = critical, CA:${authority ? 'TRUE' : 'FALSE'}${constraint}
keyUsage = ${authority ? 'keyCertSign, cRLSign' : 'digitalSignature'}
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
${extendedKeyUsage === undefined ? '' : `extendedKeyUsage = ${extendedKeyUsage}`}
${subjectAltName === undefined ? '' : `subjectAltName = ${subjectAltName}`}
${nameConstraints === undefined ? '' : `nameConstraints = critical, ${nameConstraints}\n`}
${paddingBytes === undefined ? '' : `1.3.6.1.4.1.32473.1 = ASN1:FORMAT:UTF8,UTF8String:${'x'.repeat(paddingBytes)}`}
`
}

/** An authority and a certificate for `localhost` signed by it, as the TLS listeners present it. */
export async function makeServerCertificate(): Promise<{
  authority: MadeCertificate
  server: MadeCertificate
}> {
  const authority = await makeCertificate({ commonName: 'test server CA', authority: true })
  const server = await makeCertificate({
    commonName: 'localhost',
    issuer: authority,
    subjectAltName: 'DNS:localhost,IP:127.0.0.1',
    extendedKeyUsage: 'serverAuth',
  })
  return { authority, server }
}
