import type { KeyObject } from 'node:crypto'
import { createPrivateKey, webcrypto } from 'node:crypto'
import { PkiError } from './pki-error.ts'

/** As in the `keyAlgorithm` fields of the API. */
export type KeyAlgorithm = 'ECDSA-P256' | 'RSA-2048'

type SigningAlgorithm = webcrypto.EcKeyImportParams | webcrypto.RsaHashedImportParams | webcrypto.Algorithm

const GENERATE: Record<KeyAlgorithm, webcrypto.EcKeyGenParams | webcrypto.RsaHashedKeyGenParams> = {
  'ECDSA-P256': { name: 'ECDSA', namedCurve: 'P-256' },
  'RSA-2048': {
    name: 'RSASSA-PKCS1-v1_5',
    modulusLength: 2048,
    publicExponent: new Uint8Array([1, 0, 1]),
    hash: 'SHA-256',
  },
}

/** OpenSSL's curve names → WebCrypto's, with the hash that fits the strength of the curve. */
const CURVES: Record<string, { namedCurve: string; hash: string }> = {
  prime256v1: { namedCurve: 'P-256', hash: 'SHA-256' },
  secp384r1: { namedCurve: 'P-384', hash: 'SHA-384' },
  secp521r1: { namedCurve: 'P-521', hash: 'SHA-512' },
}

/** A fresh key pair from the operating system's randomness. */
export async function generateKeys(algorithm: KeyAlgorithm): Promise<webcrypto.CryptoKeyPair> {
  return await webcrypto.subtle.generateKey(GENERATE[algorithm], true, ['sign', 'verify'])
}

/** Whether keys of this algorithm also encrypt (RSA key exchange), which key usage has to say. */
export const isRsa = (algorithm: KeyAlgorithm): boolean => algorithm === 'RSA-2048'

/** PEM, PKCS #8, with a line feed at the end. */
export async function privateKeyToPem(key: webcrypto.CryptoKey): Promise<string> {
  const der = Buffer.from(await webcrypto.subtle.exportKey('pkcs8', key))
  const lines = der.toString('base64').match(/.{1,64}/g) ?? []
  return `-----BEGIN PRIVATE KEY-----\n${lines.join('\n')}\n-----END PRIVATE KEY-----\n`
}

/** Reads an unencrypted private key (PKCS #8, SEC 1 or PKCS #1). @throws PkiError naming `field`. */
export function readPrivateKey(pem: string, field: string): KeyObject {
  if (!pem.includes('PRIVATE KEY-----'))
    throw new PkiError('PRIVATE_KEY_UNREADABLE', field, { expected: 'a PEM private key', got: 'none' })
  try {
    return createPrivateKey(pem)
  } catch {
    // OpenSSL's own text may quote what it read, so it stays here.
    const got = pem.includes('ENCRYPTED') ? 'an encrypted one' : 'one that cannot be read'
    throw new PkiError('PRIVATE_KEY_UNREADABLE', field, { expected: 'an unencrypted PEM private key', got })
  }
}

/** The key as a signer, with the algorithm to sign certificates with. @throws PkiError naming `field`. */
export function toSigningKey(
  key: KeyObject,
  field: string,
): { key: webcrypto.CryptoKey; algorithm: webcrypto.Algorithm & { hash?: string } } {
  const { importAs, sign } = signingAlgorithm(key, field)
  return { key: key.toCryptoKey(importAs, false, ['sign']), algorithm: sign }
}

function signingAlgorithm(
  key: KeyObject,
  field: string,
): { importAs: SigningAlgorithm; sign: webcrypto.Algorithm & { hash?: string } } {
  const type = key.asymmetricKeyType
  if (type === 'rsa') {
    const name = 'RSASSA-PKCS1-v1_5'
    return { importAs: { name, hash: 'SHA-256' }, sign: { name, hash: 'SHA-256' } }
  }
  if (type === 'ed25519') return { importAs: { name: 'Ed25519' }, sign: { name: 'Ed25519' } }
  const curve = type === 'ec' ? CURVES[key.asymmetricKeyDetails?.namedCurve ?? ''] : undefined
  if (curve === undefined) {
    const got = type === 'ec' ? `curve ${key.asymmetricKeyDetails?.namedCurve}` : `${type}`
    const expected = 'RSA, ECDSA (P-256, P-384, P-521) or Ed25519'
    throw new PkiError('KEY_UNSUPPORTED', field, { expected, got })
  }
  return {
    importAs: { name: 'ECDSA', namedCurve: curve.namedCurve },
    sign: { name: 'ECDSA', hash: curve.hash },
  }
}
