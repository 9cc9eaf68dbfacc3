import { createHash, type X509Certificate } from 'node:crypto'
import type { TLSSocket } from 'node:tls'
import type { PeerCertificate } from '../policy/link.ts'

/**
 * What the client showed; undefined: nothing. Never throws: a certificate that cannot be understood becomes one
 * that was never valid, so that it is refused as a bad certificate and not taken for a client without one.
 */
export function peerCertificate(socket: TLSSocket): PeerCertificate | undefined {
  let certificate: X509Certificate | undefined
  try {
    certificate = socket.getPeerX509Certificate()
  } catch {
    return { fingerprint: '', commonName: '', ...NEVER_VALID, ...chainVerdict(socket) }
  }
  if (certificate === undefined) return undefined
  return {
    fingerprint: fingerprintOf(certificate),
    commonName: commonNameOf(certificate),
    ...validityOf(certificate),
    ...chainVerdict(socket),
  }
}

const NEVER_VALID = { notBefore: Number.MAX_SAFE_INTEGER, notAfter: 0 }

function fingerprintOf(certificate: X509Certificate): string {
  try {
    return createHash('sha256').update(certificate.raw).digest('hex')
  } catch {
    return ''
  }
}

/** Two names are no name: which of them a reader takes must not decide who the client is. */
function commonNameOf(certificate: X509Certificate): string {
  try {
    // By entries and not by `subject`: in that text a value may imitate a second line.
    const name: unknown = certificate.toLegacyObject().subject?.CN
    return typeof name === 'string' ? name : ''
  } catch {
    return ''
  }
}

function validityOf(certificate: X509Certificate): { notBefore: number; notAfter: number } {
  try {
    // Not `validToDate`: for a date that OpenSSL can't read it holds whatever was in memory, while the text
    // then says "Bad time value".
    const notBefore = Date.parse(certificate.validFrom)
    const notAfter = Date.parse(certificate.validTo)
    // NaN compares false with every date, which would read as valid.
    return Number.isNaN(notBefore) || Number.isNaN(notAfter) ? NEVER_VALID : { notBefore, notAfter }
  } catch {
    return NEVER_VALID
  }
}

function chainVerdict(socket: TLSSocket): { chainTrusted: boolean; chainError?: string } {
  if (socket.authorized) return { chainTrusted: true }
  // Node declares an Error, but a server socket holds OpenSSL's code as a string.
  const error = socket.authorizationError as unknown
  return { chainTrusted: false, chainError: typeof error === 'string' ? error : 'UNKNOWN' }
}
