import { createHash } from 'node:crypto'
import { PkiError } from './pki-error.ts'
import { X509Certificate } from './x509.ts'

/** What a certificate says about itself, for records, status and renewal. */
export interface CertificateFacts {
  /** SHA-256 of the DER, 64 lower-case hex digits. */
  fingerprint: string
  /** Subject CN; empty when there is none. */
  commonName: string
  /** ms since the epoch. */
  notBefore: number
  notAfter: number
  /** Hex, lower case. */
  serial: string
  /** Issuer as an RFC 4514 string. */
  issuer: string
}

const BLOCK = /-----BEGIN CERTIFICATE-----[\sA-Za-z0-9+/=]+-----END CERTIFICATE-----/

/**
 * Parses the first certificate in `pem` (a chain has the leaf first).
 * @throws PkiError `CERTIFICATE_UNREADABLE` naming `field`.
 */
export function readCertificate(pem: string, field: string): X509Certificate {
  const block = BLOCK.exec(pem)?.[0]
  if (block === undefined)
    throw new PkiError('CERTIFICATE_UNREADABLE', field, { expected: 'a PEM certificate', got: 'none' })
  try {
    return new X509Certificate(block)
  } catch {
    const got = 'one that cannot be read'
    throw new PkiError('CERTIFICATE_UNREADABLE', field, { expected: 'a PEM certificate', got })
  }
}

/** SHA-256 of the DER of the first certificate in `pem`, 64 lower-case hex digits. @throws PkiError. */
export const fingerprint = (pem: string, field = 'certificate'): string =>
  fingerprintOf(readCertificate(pem, field))

/** The facts of the first certificate in `pem`. @throws PkiError naming `field`. */
export function facts(pem: string, field = 'certificate'): CertificateFacts {
  const certificate = readCertificate(pem, field)
  return {
    fingerprint: fingerprintOf(certificate),
    commonName: certificate.subjectName.getField('CN')[0] ?? '',
    notBefore: certificate.notBefore.getTime(),
    notAfter: certificate.notAfter.getTime(),
    serial: certificate.serialNumber.toLowerCase(),
    issuer: certificate.issuer,
  }
}

/** Whether it is time for a successor: less than `renewBefore` ms are left at `now` (ms since the epoch). */
export const needsRenewal = (
  certificate: Pick<CertificateFacts, 'notAfter'>,
  renewBefore: number,
  now: number,
): boolean => certificate.notAfter - now < renewBefore

const fingerprintOf = (certificate: X509Certificate): string =>
  createHash('sha256').update(new Uint8Array(certificate.rawData)).digest('hex')
