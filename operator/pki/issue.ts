import type { webcrypto } from 'node:crypto'
import { isIP } from 'node:net'
import { openCa, type SigningCa } from './certificate-authority.ts'
import type { CertificateRequest } from './csr.ts'
import { generateKeys, isRsa, type KeyAlgorithm, privateKeyToPem } from './keys.ts'
import { PkiError } from './pki-error.ts'
import { type CertificateWithKey, checkSerial, commonNameOf, validity } from './profile.ts'
import {
  AuthorityKeyIdentifierExtension,
  BasicConstraintsExtension,
  ExtendedKeyUsage,
  ExtendedKeyUsageExtension,
  type Extension,
  KeyUsageFlags,
  KeyUsagesExtension,
  PublicKey,
  SubjectAlternativeNameExtension,
  SubjectKeyIdentifierExtension,
  X509CertificateGenerator,
} from './x509.ts'

interface Signing {
  ca: CertificateWithKey
  /** ms; cut to the end of the CA, because a leaf that outlives it helps nobody. */
  duration: number
  /** ms since the epoch. */
  now: number
  /** From `newSerial`. */
  serial: string
}

interface LeafRequest extends Signing {
  keyAlgorithm: KeyAlgorithm
}

export interface EnrolledCertificateRequest extends Signing {
  /** The device's name, taken literally; 1 to 64 characters. */
  commonName: string
  key: Pick<CertificateRequest, 'publicKey'>
}

export interface DeviceCertificateRequest extends LeafRequest {
  /** The device's name, taken literally; 1 to 64 characters. */
  commonName: string
}

export interface ServerCertificateRequest extends LeafRequest {
  /** At least one of both lists has an entry; the first one becomes the CN when it is short enough. */
  dnsNames: readonly string[]
  ipAddresses: readonly string[]
}

/** What a leaf is for. */
interface Purpose {
  extensions: readonly Extension[]
  /** Key usage of an RSA key; every other key signs. */
  rsaUsage: number
}

/** A client only ever signs, whatever its key could do (RFC 5280 §4.2.1.12). */
const CLIENT: Purpose = {
  extensions: [new ExtendedKeyUsageExtension([ExtendedKeyUsage.clientAuth])],
  rsaUsage: KeyUsageFlags.digitalSignature,
}

const DNS_NAME =
  /^(\*\.)?[a-z0-9_]([-a-z0-9_]{0,61}[a-z0-9_])?(\.[a-z0-9_]([-a-z0-9_]{0,61}[a-z0-9_])?)*\.?$/i

/**
 * A client certificate for one device: CN = its name, client authentication only.
 * @throws PkiError naming the field that is wrong.
 */
export async function issueDeviceCertificate(request: DeviceCertificateRequest): Promise<CertificateWithKey> {
  return await issueLeaf(request, request.commonName, CLIENT)
}

/**
 * The same for a key that the device made and keeps. PEM.
 * @throws PkiError naming the field that is wrong.
 */
export async function issueEnrolledCertificate(request: EnrolledCertificateRequest): Promise<string> {
  const publicKey = new PublicKey(new Uint8Array(request.key.publicKey))
  return await signLeaf(request, { commonName: request.commonName, publicKey, isRsa: false }, CLIENT)
}

/**
 * A server certificate for the given names and addresses, server authentication only.
 * @throws PkiError naming the field that is wrong.
 */
export async function issueServerCertificate(request: ServerCertificateRequest): Promise<CertificateWithKey> {
  const { dnsNames, ipAddresses } = request
  dnsNames.forEach((name, index) => {
    if (name.length > 253 || !DNS_NAME.test(name)) throw invalidName(`dnsNames[${index}]`, 'a DNS name', name)
  })
  ipAddresses.forEach((address, index) => {
    if (isIP(address) === 0) throw invalidName(`ipAddresses[${index}]`, 'an IP address', address)
  })
  const names = [...dnsNames, ...ipAddresses]
  if (names.length === 0)
    throw new PkiError('INVALID_NAME', 'dnsNames', { expected: 'a name or an address', got: 'neither' })
  const alternatives = [
    ...dnsNames.map((value) => ({ type: 'dns' as const, value })),
    ...ipAddresses.map((value) => ({ type: 'ip' as const, value })),
  ]
  return await issueLeaf(request, names.find((name) => name.length <= 64) ?? 'hublet', {
    extensions: [
      new ExtendedKeyUsageExtension([ExtendedKeyUsage.serverAuth]),
      new SubjectAlternativeNameExtension(alternatives),
    ],
    rsaUsage: KeyUsageFlags.digitalSignature | KeyUsageFlags.keyEncipherment,
  })
}

const invalidName = (field: string, expected: string, name: string) =>
  new PkiError('INVALID_NAME', field, { expected, got: JSON.stringify(name.slice(0, 64)) })

async function issueLeaf(
  request: LeafRequest,
  commonName: string,
  purpose: Purpose,
): Promise<CertificateWithKey> {
  const keys = await generateKeys(request.keyAlgorithm)
  const leaf = { commonName, publicKey: keys.publicKey, isRsa: isRsa(request.keyAlgorithm) }
  return {
    certificatePem: await signLeaf(request, leaf, purpose),
    privateKeyPem: await privateKeyToPem(keys.privateKey),
  }
}

interface Leaf {
  commonName: string
  publicKey: PublicKey | webcrypto.CryptoKey
  isRsa: boolean
}

async function signLeaf(request: Signing, leaf: Leaf, purpose: Purpose): Promise<string> {
  const subject = commonNameOf(leaf.commonName, 'commonName')
  const serialNumber = checkSerial(request.serial)
  const ca = openCa(request.ca, request.now)
  const period = withinCa(ca, validity(request.now, request.duration, 'duration'))
  const { publicKey } = leaf
  const keyUsage = leaf.isRsa ? purpose.rsaUsage : KeyUsageFlags.digitalSignature
  const certificate = await X509CertificateGenerator.create({
    subject,
    // As the parsed CA has it, byte for byte: OpenSSL compares encodings, not texts.
    issuer: ca.certificate.subjectName,
    publicKey,
    signingKey: ca.key,
    signingAlgorithm: ca.algorithm,
    serialNumber,
    ...period,
    extensions: [
      new BasicConstraintsExtension(false, undefined, true),
      new KeyUsagesExtension(keyUsage, true),
      ...purpose.extensions,
      await SubjectKeyIdentifierExtension.create(publicKey),
      await authorityKeyIdentifier(ca),
    ],
  })
  return `${certificate.toString('pem')}\n`
}

/** The CA's own key identifier where it has one: a CA of the user's may have formed it in another way. */
export async function authorityKeyIdentifier(ca: SigningCa): Promise<AuthorityKeyIdentifierExtension> {
  const own = ca.certificate.getExtension(SubjectKeyIdentifierExtension)
  if (own !== null) return new AuthorityKeyIdentifierExtension(own.keyId)
  return await AuthorityKeyIdentifierExtension.create(new PublicKey(ca.certificate.publicKey.rawData))
}

function withinCa(
  ca: SigningCa,
  period: { notBefore: Date; notAfter: Date },
): { notBefore: Date; notAfter: Date } {
  const later = (a: Date, b: Date) => (a > b ? a : b)
  const earlier = (a: Date, b: Date) => (a < b ? a : b)
  return {
    notBefore: later(period.notBefore, ca.certificate.notBefore),
    notAfter: earlier(period.notAfter, ca.certificate.notAfter),
  }
}
