import type { X509Certificate } from 'node:crypto'

/**
 * The CAs that decide who is a device. One that stands after a CA that it has signed is there only so that OpenSSL
 * finds an end of the chain (cert-manager puts the issuer of an intermediate CA beside it): whoever else issues below
 * it could otherwise name any device of this hub.
 */
export const ownCas = (cas: readonly X509Certificate[]): X509Certificate[] =>
  cas.filter((ca, index) => !cas.slice(0, index).some((earlier) => isAbove(ca, earlier)))

/** A CA that was issued anew with its key is one and the same. */
const isAbove = (ca: X509Certificate, other: X509Certificate): boolean =>
  isSignedBy(other, ca) && !other.publicKey.equals(ca.publicKey)

/** By name and by signature: a name alone can be anybody's. */
export function isSignedBy(certificate: X509Certificate, ca: X509Certificate): boolean {
  try {
    return certificate.checkIssued(ca) && certificate.verify(ca.publicKey)
  } catch {
    // A key or signature that OpenSSL cannot work with proves nothing.
    return false
  }
}
