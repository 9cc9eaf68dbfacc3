import type { X509Certificate } from 'node:crypto'
import { type CertificateFacts, factsOf, readCertificate } from './facts.ts'
import { type KeyAlgorithm, readPrivateKey } from './keys.ts'
import { PkiError } from './pki-error.ts'
import type { CertificateWithKey } from './profile.ts'

/** A certificate with its key, both readable and fit for each other. */
export interface Pair extends CertificateWithKey {
  facts: CertificateFacts
  /** Undefined: an algorithm that we do not issue. */
  keyAlgorithm: KeyAlgorithm | undefined
}

/**
 * Reads a certificate (the first of a chain) and its key.
 * @param field where they come from, such as `spec.serverTLS.secretRef`; the key of the Secret is appended
 * @throws PkiError `CERTIFICATE_UNREADABLE`, `PRIVATE_KEY_UNREADABLE` or `KEY_MISMATCH`, naming the field.
 */
export function readPair(pair: CertificateWithKey, field: string): Pair {
  const certificate = readCertificate(pair.certificatePem, `${field}[tls.crt]`)
  const key = readPrivateKey(pair.privateKeyPem, `${field}[tls.key]`)
  if (!certificate.checkPrivateKey(key))
    throw new PkiError('KEY_MISMATCH', `${field}[tls.key]`, {
      expected: 'the key of tls.crt',
      got: 'another one',
    })
  return {
    ...pair,
    facts: factsOf(certificate),
    keyAlgorithm: algorithmOf(certificate),
  }
}

/** Whether `caPem` signed the certificate: name, extensions and signature. Dates are not looked at. */
export function isIssuedBy(certificatePem: string, caPem: string): boolean {
  const certificate = readCertificate(certificatePem, 'certificate')
  const ca = readCertificate(caPem, 'ca')
  return certificate.checkIssued(ca) && certificate.verify(ca.publicKey)
}

/** Whether a server certificate is valid for each of these names and addresses. */
export function isValidFor(
  certificatePem: string,
  names: { dnsNames: readonly string[]; ipAddresses: readonly string[] },
): boolean {
  const certificate = readCertificate(certificatePem, 'certificate')
  // A wildcard is asked for as itself, which no host name is, so it is looked up in the text.
  const listed = new Set((certificate.subjectAltName ?? '').split(', '))
  return (
    names.dnsNames.every((name) => listed.has(`DNS:${name}`)) &&
    names.ipAddresses.every((address) => certificate.checkIP(address) !== undefined)
  )
}

function algorithmOf({ publicKey }: X509Certificate): KeyAlgorithm | undefined {
  const { asymmetricKeyType: type, asymmetricKeyDetails: details } = publicKey
  if (type === 'ec' && details?.namedCurve === 'prime256v1') return 'ECDSA-P256'
  if (type === 'rsa' && details?.modulusLength === 2048) return 'RSA-2048'
  return undefined
}
