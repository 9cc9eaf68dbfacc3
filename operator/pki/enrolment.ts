/** What becomes of a request for a certificate of a key that a device made itself (EST), here and in `hublet dev`. */
import { createHash, timingSafeEqual } from 'node:crypto'
import type { EnrolmentAnswer, EnrolmentRequest } from '../../contract/asks.ts'
import { type CertificateRequest, readCsr } from './csr.ts'
import { issueEnrolledCertificate } from './issue.ts'
import { PkiError } from './pki-error.ts'
import { type CertificateWithKey, newSerial } from './profile.ts'

const TOKEN_BYTES = 32

/** `random`: `n` random bytes, such as node:crypto's `randomBytes`. */
export const newToken = (random: (size: number) => Uint8Array): string =>
  Buffer.from(random(TOKEN_BYTES)).toString('base64url')

export const sha256 = (text: string | Uint8Array): string => createHash('sha256').update(text).digest('hex')

/** Both SHA-256 in hex. */
function isSameDigest(one: string, other: string): boolean {
  const [a, b] = [Buffer.from(one, 'hex'), Buffer.from(other, 'hex')]
  return a.length === 32 && a.length === b.length && timingSafeEqual(a, b)
}

export interface TokenInput {
  hasCertificate: boolean
  /** What a person asks for now; empty: nothing. */
  rotation: string
  /** The one that the newest certificate answers. */
  handledRotation: string
  /** The token that there is, with the rotation that it was made for. */
  known: { until: number; rotation: string } | undefined
  /** ms since the epoch, as `until`. */
  now: number
}

/**
 * A token is made for the first certificate, and again when a person asks for a rotation; it goes when its time is
 * up. One that nobody has used in time stays (`Expired`), and says so by its date, until a person asks for another.
 */
export function tokenStep(input: TokenInput): 'Make' | 'Use' | 'Expired' | 'None' {
  const { hasCertificate, rotation, handledRotation, known, now } = input
  const isWanted = !hasCertificate || rotation !== handledRotation
  if (known !== undefined && (known.rotation === rotation || !isWanted)) {
    if (known.until > now) return 'Use'
    return isWanted ? 'Expired' : 'None'
  }
  return isWanted ? 'Make' : 'None'
}

/** What a request is judged by. */
export interface Grounds {
  /** Fingerprints of the certificates that are accepted; `Chain`: any of the CA, which the broker has verified. */
  accepted: readonly string[] | 'Chain'
  /** SHA-256 of the token that may be used, hex; undefined: none. */
  token: string | undefined
  /** The token that was used last, and for what: both SHA-256 in hex. */
  used: { token: string; request: string } | undefined
}

/** By what is known here, whatever the broker has let through. Undefined: it may have its certificate. */
export function enrolmentRefusal(
  { csr, tokenSha256, fingerprint }: EnrolmentRequest,
  { accepted, token, used }: Grounds,
): EnrolmentAnswer | undefined {
  if (tokenSha256 === undefined) {
    if (accepted === 'Chain' || (fingerprint !== undefined && accepted.includes(fingerprint)))
      return undefined
    return { refusal: 'CERTIFICATE_REFUSED', detail: 'the certificate is not that of the device' }
  }
  if (token === undefined || !isSameDigest(token, tokenSha256))
    return { refusal: 'TOKEN_REFUSED', detail: 'the token is wrong or has expired' }
  // The same request again is whoever lost the answer.
  if (used !== undefined && isSameDigest(used.token, tokenSha256) && used.request !== sha256(csr))
    return { refusal: 'TOKEN_REFUSED', detail: 'the token was used already' }
  return undefined
}

export interface EnrolmentIssue {
  ca: CertificateWithKey
  /** Name of the device. */
  commonName: string
  /** ms */
  duration: number
  /** ms since the epoch. */
  now: number
  random: (size: number) => Uint8Array
}

/**
 * Issues what a request asks for, or says what is wrong with it.
 * @throws PkiError when the CA cannot sign.
 */
export async function issueEnrolment(
  { csr }: EnrolmentRequest,
  { ca, commonName, duration, now, random }: EnrolmentIssue,
): Promise<EnrolmentAnswer> {
  const invalid = (detail: string): EnrolmentAnswer => ({ refusal: 'CSR_INVALID', detail })
  let key: CertificateRequest
  try {
    key = await readCsr(Buffer.from(csr, 'base64'))
  } catch (error) {
    if (!(error instanceof PkiError)) throw error
    return invalid(error.message)
  }
  if (key.commonName !== commonName) return invalid('csr: expected the name of the device as common name')
  const serial = newSerial(random)
  return { certificate: await issueEnrolledCertificate({ ca, commonName, key, duration, now, serial }) }
}
