/** Certificates in Secrets. Reading one takes a while, so what was read is kept as long as the Secret is as it was. */

import type { Secret } from '../api/resources.ts'
import { isIssuedBy, type Pair, readPair } from '../pki/pair.ts'
import { PkiError } from '../pki/pki-error.ts'
import { BoundedMap } from '../runtime/bounded-map.ts'
import { secretText } from '../watch/secret-reader.ts'

interface Known {
  /** Base64, as in the Secret. */
  key: string
  pair: Pair | 'unreadable'
  /** Fingerprint of the CA that was seen to have signed it. */
  issuer?: string
}

/** More than a hub of the largest size that was measured; beyond it certificates are read again. */
const MAX_KNOWN = 20_000
/** By the certificate as it stands in the Secret: the Secret itself is another object after each list and write. */
const known = new BoundedMap<string, Known>(MAX_KNOWN)

/** The pair of a Secret of ours; 'unreadable': somebody edited it. */
export const pairOf = (secret: Secret): Pair | 'unreadable' => knownOf(secret).pair

function knownOf(secret: Secret): Known {
  const { 'tls.crt': certificate = '', 'tls.key': key = '' } = secret.data ?? {}
  const found = known.get(certificate)
  if (found?.key === key) return found
  const made = { key, pair: read(secret) }
  known.set(certificate, made)
  return made
}

/** Takes note of a pair that was issued just now, so that it is not read back from its Secret. */
export function noteIssued(pair: Pair, ca: Pair): void {
  const base64 = (pem: string) => Buffer.from(pem).toString('base64')
  const issuer = ca.facts.fingerprint
  known.set(base64(pair.certificatePem), { key: base64(pair.privateKeyPem), pair, issuer })
}

function read(secret: Secret): Pair | 'unreadable' {
  const certificatePem = secretText(secret, 'tls.crt') ?? ''
  const privateKeyPem = secretText(secret, 'tls.key') ?? ''
  try {
    return readPair({ certificatePem, privateKeyPem }, 'data')
  } catch (error) {
    if (error instanceof PkiError) return 'unreadable'
    throw error
  }
}

/** Whether the certificate in the Secret was signed by that CA. */
export function isFromCa(secret: Secret, pair: Pair, ca: Pair): boolean {
  const found = knownOf(secret)
  if (found.issuer === ca.facts.fingerprint) return true
  if (!isIssuedBy(pair.certificatePem, ca.certificatePem)) return false
  found.issuer = ca.facts.fingerprint
  return true
}
