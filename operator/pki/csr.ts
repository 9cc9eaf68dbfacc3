import { createPublicKey, type KeyObject } from 'node:crypto'
import { PkiError } from './pki-error.ts'
import { Pkcs10CertificateRequest } from './x509.ts'

/** A certificate signing request that was made by whoever has the key. */
export interface CertificateRequest {
  /** Subject CN, as it stands there; empty: none. */
  commonName: string
  /** SubjectPublicKeyInfo, DER. */
  publicKey: Buffer
}

/** An RSA-4096 request with some attributes has 2 KB. */
export const MAX_CSR_BYTES = 8 * 1024
const CURVES: ReadonlySet<string> = new Set(['prime256v1', 'secp384r1'])
const RSA_BITS = { from: 2048, to: 4096 }

/**
 * Reads a PKCS #10 request (DER) and checks that its maker holds the private key. What it asks for beside the key
 * and the name (extensions, validity) is left aside: the issuer decides.
 * @throws PkiError `CSR_INVALID`, `KEY_UNSUPPORTED`
 */
export async function readCsr(der: Uint8Array): Promise<CertificateRequest> {
  if (der.length > MAX_CSR_BYTES) throw invalid(`at most ${MAX_CSR_BYTES} bytes`, `${der.length}`)
  let request: Pkcs10CertificateRequest
  try {
    request = new Pkcs10CertificateRequest(new Uint8Array(der))
  } catch {
    throw invalid('a PKCS #10 request', 'something else')
  }
  const publicKey = Buffer.from(request.publicKey.rawData)
  checkKey(publicKey)
  if (!(await isSigned(request))) throw invalid('a signature by its own key', 'another')
  const names = request.subjectName.getField('CN')
  // Two names are no name: which of them a reader takes must not decide whose certificate it becomes.
  if (names.length > 1) throw invalid('one common name', `${names.length}`)
  return { commonName: names[0] ?? '', publicKey }
}

async function isSigned(request: Pkcs10CertificateRequest): Promise<boolean> {
  try {
    return await request.verify()
  } catch {
    return false
  }
}

function checkKey(spki: Buffer): void {
  let key: KeyObject
  try {
    key = createPublicKey({ key: spki, format: 'der', type: 'spki' })
  } catch {
    throw unsupported('one that cannot be read')
  }
  const { asymmetricKeyType: type, asymmetricKeyDetails: details = {} } = key
  const { modulusLength = 0, publicExponent = 0n, namedCurve = '' } = details
  if (type === 'ed25519' || (type === 'ec' && CURVES.has(namedCurve))) return
  const isUsual = modulusLength >= RSA_BITS.from && modulusLength <= RSA_BITS.to && publicExponent >= 65_537n
  if (type === 'rsa' && isUsual) return
  throw unsupported(type === 'rsa' ? `RSA-${modulusLength}` : type === 'ec' ? namedCurve : String(type))
}

const unsupported = (got: string) =>
  new PkiError('KEY_UNSUPPORTED', 'csr', {
    expected: `a key of P-256, P-384, Ed25519 or RSA with ${RSA_BITS.from} to ${RSA_BITS.to} bits`,
    got,
  })

const invalid = (expected: string, got: string) => new PkiError('CSR_INVALID', 'csr', { expected, got })
