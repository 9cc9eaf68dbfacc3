import { createHash, X509Certificate } from 'node:crypto'
import type { TLSSocket } from 'node:tls'
import type { HubRecord } from '../../contract/hub-state.ts'
import { plainSerial } from '../../contract/serial.ts'
import type { PeerCertificate } from '../policy/link.ts'
import { isSignedBy, ownCas } from './hub-chain.ts'

/**
 * What the client showed; undefined: nothing. Never throws: a certificate that cannot be understood becomes one
 * that was never valid, so that it is refused as a bad certificate and not taken for a client without one.
 */
export function peerCertificate(socket: TLSSocket, trust: DeviceTrust): PeerCertificate | undefined {
  let certificate: X509Certificate | undefined
  try {
    certificate = socket.getPeerX509Certificate()
  } catch {
    return { fingerprint: '', commonName: '', ...NEVER_VALID, chainTrusted: false, chainError: 'UNREADABLE' }
  }
  if (certificate === undefined) return undefined
  return {
    fingerprint: fingerprintOf(certificate),
    commonName: commonNameOf(certificate),
    ...validityOf(certificate),
    ...(trust.mode === 'HubCA'
      ? hubCaVerdict(socket, certificate, trust)
      : managedVerdict(certificate, trust.caCertificates)),
  }
}

function hubCaVerdict(socket: TLSSocket, certificate: X509Certificate, trust: DeviceTrust) {
  const { all, own } = parsed(trust.caCertificates)
  const isIssuer = (ca: X509Certificate) => isSignedBy(certificate, ca)
  const ownIssuer = own.find(isIssuer)
  const issuer = ownIssuer ?? all.find(isIssuer)
  const issued = issuer && { by: fingerprintOf(issuer), serial: plainSerial(certificate.serialNumber) }
  // Mostly every CA is the hub's own, and OpenSSL has said all there is to say. If not, or where what it says has
  // to be looked up in a list, the way has to be one step: Node does not show a server the certificates between.
  const hasToBeDirect = own.length !== all.length || (trust.revocationLists ?? []).length > 0
  return {
    ...chainVerdict(socket, ownIssuer !== undefined || !hasToBeDirect),
    ...(issued === undefined ? {} : { issued }),
  }
}

type DeviceTrust = HubRecord['deviceTrust']

/**
 * The CAs that the TLS layer itself is given. Their names go out to every client, and some (Go's among them)
 * then hold back a certificate that none of them signed, so that a device with a certificate of its own looks
 * like one without. Where the fingerprint decides, no names need go out.
 */
export const advertisedCas = ({ mode, caCertificates }: DeviceTrust): readonly string[] =>
  mode === 'HubCA' ? caCertificates : []

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

interface ParsedCas {
  all: X509Certificate[]
  own: X509Certificate[]
}

const parsedCas = new WeakMap<readonly string[], ParsedCas>()

function parsed(caCertificates: readonly string[]): ParsedCas {
  let cas = parsedCas.get(caCertificates)
  if (cas === undefined) {
    const all = caCertificates.flatMap(readable)
    cas = { all, own: ownCas(all) }
    parsedCas.set(caCertificates, cas)
  }
  return cas
}

interface ChainVerdict {
  chainTrusted: boolean
  chainError?: string
}

/**
 * Whether the managed CA issued the certificate. It signs nothing but leaves, so one step is the whole chain;
 * and no decision hangs on it, only which device the reason of a refusal may name.
 */
function managedVerdict(certificate: X509Certificate, caCertificates: readonly string[]): ChainVerdict {
  if (parsed(caCertificates).all.some((ca) => isSignedBy(certificate, ca))) return { chainTrusted: true }
  return { chainTrusted: false, chainError: 'NOT_ISSUED_BY_HUB' }
}

function readable(pem: string): X509Certificate[] {
  try {
    return [new X509Certificate(pem)]
  } catch {
    return []
  }
}

function chainVerdict(socket: TLSSocket, isAllowedWay: boolean): ChainVerdict {
  if (!socket.authorized) {
    // Node declares an Error, but a server socket holds OpenSSL's code as a string.
    const error = socket.authorizationError as unknown
    return { chainTrusted: false, chainError: typeof error === 'string' ? error : 'UNKNOWN' }
  }
  return isAllowedWay ? { chainTrusted: true } : { chainTrusted: false, chainError: 'NOT_ISSUED_BY_HUB_CA' }
}
