import { X509Certificate } from 'node:crypto'
import { PkiError } from './pki-error.ts'

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
  /** The issuer's name as OpenSSL shows it, such as `CN=garden device CA`; several parts with commas. */
  issuer: string
}

const BLOCK = /-----BEGIN CERTIFICATE-----[\sA-Za-z0-9+/=]+-----END CERTIFICATE-----/

/** Each certificate of a text with several, with a line feed at its end. */
export const certificatesIn = (pem: string): string[] =>
  (pem.match(new RegExp(BLOCK, 'g')) ?? []).map((block) => `${block}\n`)

/**
 * Parses the first certificate in `pem` (a chain has the leaf first) with OpenSSL.
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
export const facts = (pem: string, field = 'certificate'): CertificateFacts =>
  factsOf(readCertificate(pem, field))

/** The facts of a certificate that is parsed already. */
export function factsOf(certificate: X509Certificate): CertificateFacts {
  return {
    fingerprint: fingerprintOf(certificate),
    commonName: commonNameOf(certificate),
    notBefore: timeOf(certificate.validFrom),
    notAfter: timeOf(certificate.validTo),
    serial: certificate.serialNumber.toLowerCase(),
    issuer: certificate.issuer.split('\n').join(', '),
  }
}

/**
 * By the text and not by `validToDate`: for a date that OpenSSL can't read that holds whatever was in memory. Such
 * a certificate has ended long ago, whichever of its dates it is.
 */
export function timeOf(text: string): number {
  const time = Date.parse(text)
  return Number.isNaN(time) ? 0 : time
}

/** The printed subject escapes characters; only the legacy object has the name as it is. */
function commonNameOf(certificate: X509Certificate): string {
  const subject = certificate.toLegacyObject().subject as { CN?: string | string[] } | undefined
  return [subject?.CN].flat()[0] ?? ''
}

/** Whether it is time for a successor: less than `renewBefore` ms are left at `now` (ms since the epoch). */
export const needsRenewal = (
  certificate: Pick<CertificateFacts, 'notAfter'>,
  renewBefore: number,
  now: number,
): boolean => certificate.notAfter - now < renewBefore

const fingerprintOf = ({ fingerprint256 }: X509Certificate): string =>
  fingerprint256.replaceAll(':', '').toLowerCase()
