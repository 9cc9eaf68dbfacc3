/** The revocation list of a CA of ours (RFC 5280 §5), for others who check what it has signed. */
import { openCa } from './certificate-authority.ts'
import { authorityKeyIdentifier } from './issue.ts'
import type { CertificateWithKey } from './profile.ts'
import { Extension, X509Crl, X509CrlGenerator, X509CrlReason } from './x509.ts'

export interface RevocationListRequest {
  ca: CertificateWithKey
  /** Hex, lower case. */
  serials: readonly string[]
  /** The list before, PEM: what it names keeps its date. */
  before?: string | undefined
  /** ms since the epoch. */
  now: number
  /** ms after which another list has to be there. */
  duration: number
}

const CRL_NUMBER = '2.5.29.20'

/**
 * Signs a complete list, PEM. Its number rises with the time.
 * @throws PkiError when the CA cannot sign.
 */
export async function signRevocationList(request: RevocationListRequest): Promise<string> {
  const { serials, before, now, duration } = request
  const ca = openCa(request.ca, now)
  const thisUpdate = new Date(Math.floor(now / 1000) * 1000)
  const known = new Map(
    (before === undefined ? [] : new X509Crl(derOf(before)).entries).map((entry) => [
      entry.serialNumber.toLowerCase(),
      entry.revocationDate,
    ]),
  )
  const crl = await X509CrlGenerator.create({
    issuer: ca.certificate.subjectName,
    thisUpdate,
    nextUpdate: new Date(thisUpdate.getTime() + duration),
    signingKey: ca.key,
    signingAlgorithm: ca.algorithm,
    entries: serials.map((serialNumber) => ({
      serialNumber,
      revocationDate: known.get(serialNumber) ?? thisUpdate,
      reason: X509CrlReason.privilegeWithdrawn,
    })),
    extensions: [
      await authorityKeyIdentifier(ca),
      new Extension(CRL_NUMBER, false, integer(thisUpdate.getTime() / 1000)),
    ],
  })
  // The library's own PEM says `CRL`, which OpenSSL does not know (RFC 7468 §6).
  const lines =
    Buffer.from(crl.rawData)
      .toString('base64')
      .match(/.{1,64}/g) ?? []
  return `-----BEGIN X509 CRL-----\n${lines.join('\n')}\n-----END X509 CRL-----\n`
}

/** DER of a positive number. */
function integer(value: number): Uint8Array<ArrayBuffer> {
  const hex = value.toString(16)
  const bytes = Buffer.from(hex.padStart(hex.length + (hex.length % 2), '0'), 'hex')
  const body = (bytes[0] ?? 0) < 0x80 ? [...bytes] : [0, ...bytes]
  return new Uint8Array([0x02, body.length, ...body])
}

const derOf = (pem: string): Uint8Array<ArrayBuffer> =>
  new Uint8Array(Buffer.from(pem.replace(/-----[^-]+-----/g, ''), 'base64'))
