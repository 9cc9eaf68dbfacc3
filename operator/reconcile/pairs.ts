/** Certificates in Secrets. Reading one takes a while, so what was read is kept as long as the Secret is as it was. */

import type { Secret } from '../api/resources.ts'
import { isIssuedBy, type Pair, readPair } from '../pki/pair.ts'
import { PkiError } from '../pki/pki-error.ts'
import { secretText } from '../watch/secret-reader.ts'

/** By the object of the copy, which is another one after every change. */
const pairs = new WeakMap<Secret, Pair | 'unreadable'>()
const issuers = new WeakMap<Secret, string>()

/** The pair of a Secret of ours; 'unreadable': somebody edited it. */
export function pairOf(secret: Secret): Pair | 'unreadable' {
  const known = pairs.get(secret)
  if (known !== undefined) return known
  const pair = read(secret)
  pairs.set(secret, pair)
  return pair
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
  if (issuers.get(secret) === ca.facts.fingerprint) return true
  if (!isIssuedBy(pair.certificatePem, ca.certificatePem)) return false
  issuers.set(secret, ca.facts.fingerprint)
  return true
}

const BLOCK = /-----BEGIN CERTIFICATE-----[\sA-Za-z0-9+/=]+-----END CERTIFICATE-----/g

/** Each certificate of a text with several, with a line feed at its end. */
export const certificatesIn = (pem: string): string[] => (pem.match(BLOCK) ?? []).map((block) => `${block}\n`)
