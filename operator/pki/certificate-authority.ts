import type { webcrypto } from 'node:crypto'
import { readCertificate, timeOf } from './facts.ts'
import { generateKeys, type KeyAlgorithm, privateKeyToPem, readPrivateKey, toSigningKey } from './keys.ts'
import { PkiError } from './pki-error.ts'
import { type CertificateWithKey, checkSerial, commonNameOf, validity } from './profile.ts'
import {
  BasicConstraintsExtension,
  KeyUsageFlags,
  KeyUsagesExtension,
  SubjectKeyIdentifierExtension,
  X509Certificate,
  X509CertificateGenerator,
} from './x509.ts'

const DAY_MS = 86_400_000

export interface CaRequest {
  /** 1 to 64 characters. The CA of devices and the CA of the server never share a certificate or a name. */
  commonName: string
  keyAlgorithm: KeyAlgorithm
  /** ms since the epoch. */
  now: number
  days: number
  /** From `newSerial`. */
  serial: string
}

/** A CA that is ready to sign. */
export interface SigningCa {
  certificate: X509Certificate
  key: webcrypto.CryptoKey
  algorithm: webcrypto.Algorithm & { hash?: string }
}

/**
 * A new self-signed CA: path length 0, so a leaf it signs can never sign in its turn.
 * @throws PkiError `INVALID_NAME`, `INVALID_DURATION`, `INVALID_SERIAL`.
 */
export async function createCa(request: CaRequest): Promise<CertificateWithKey> {
  const name = commonNameOf(request.commonName, 'commonName')
  const serialNumber = checkSerial(request.serial)
  const period = validity(request.now, request.days * DAY_MS, 'days')
  const keys = await generateKeys(request.keyAlgorithm)
  const certificate = await X509CertificateGenerator.createSelfSigned({
    name,
    keys,
    serialNumber,
    ...period,
    signingAlgorithm: { name: keys.privateKey.algorithm.name, hash: 'SHA-256' },
    extensions: [
      new BasicConstraintsExtension(true, 0, true),
      new KeyUsagesExtension(KeyUsageFlags.keyCertSign | KeyUsageFlags.cRLSign, true),
      await SubjectKeyIdentifierExtension.create(keys.publicKey),
    ],
  })
  return {
    certificatePem: `${certificate.toString('pem')}\n`,
    privateKeyPem: await privateKeyToPem(keys.privateKey),
  }
}

/** Reading a CA takes longer than signing with it, and thousands of certificates are signed by one. */
const opened = new WeakMap<CertificateWithKey, SigningCa & { endsAt: number }>()

/**
 * Reads a CA and makes sure it can sign at `now`: key and certificate belong together, it is a CA, not expired. What
 * was read is remembered with the object, which must not be changed.
 * @throws PkiError naming `ca.certificatePem` or `ca.privateKeyPem`.
 */
export function openCa(ca: CertificateWithKey, now: number): SigningCa {
  const known = opened.get(ca) ?? readCa(ca)
  if (known.endsAt <= now) {
    const got = `one that ended ${new Date(known.endsAt).toISOString()}`
    throw new PkiError('CA_EXPIRED', 'ca.certificatePem', { expected: 'a CA that has not expired', got })
  }
  opened.set(ca, known)
  return known
}

function readCa(ca: CertificateWithKey): SigningCa & { endsAt: number } {
  const parsed = readCertificate(ca.certificatePem, 'ca.certificatePem')
  const key = readPrivateKey(ca.privateKeyPem, 'ca.privateKeyPem')
  if (!parsed.checkPrivateKey(key)) {
    const expected = 'the key of ca.certificatePem'
    throw new PkiError('KEY_MISMATCH', 'ca.privateKeyPem', { expected, got: 'another one' })
  }
  if (!parsed.ca)
    throw new PkiError('NOT_A_CA', 'ca.certificatePem', { expected: 'a CA certificate', got: 'another kind' })
  const certificate = new X509Certificate(new Uint8Array(parsed.raw))
  return { certificate, ...toSigningKey(key, 'ca.privateKeyPem'), endsAt: timeOf(parsed.validTo) }
}
