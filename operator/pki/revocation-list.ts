/** Certificate revocation lists (RFC 5280 §5) of CAs of the user's. */
import { createHash, type X509Certificate } from 'node:crypto'
import { plainSerial } from '../../contract/serial.ts'
import type { DatedRevocationList } from '../compile/revocation.ts'
import { BoundedMap } from '../runtime/bounded-map.ts'
import { factsOf, readCertificate } from './facts.ts'
import { PkiError } from './pki-error.ts'
import { PublicKey, X509Crl } from './x509.ts'

/** What a Secret can hold; brokers get less. */
const MAX_BYTES = 1_048_576
/** Over all lists of a hub. A broker holds them in memory. */
export const MAX_REVOKED_SERIALS = 10_000

const BLOCK = /-----BEGIN X509 CRL-----([\sA-Za-z0-9+/=]+)-----END X509 CRL-----/g

/**
 * Reads the lists in a text (PEM, several may follow one another) or in one DER file. One of a CA that is not among
 * `cas`, such as one that was trusted once, counts for nothing.
 * @throws PkiError `CRL_INVALID` naming `field`: not readable, not complete, too long, or all of other CAs.
 */
export async function readRevocationLists(
  content: Buffer,
  source: { field: string; cas: readonly string[] },
): Promise<DatedRevocationList[]> {
  const key = createHash('sha256').update(content).update(source.cas.join('')).digest('hex')
  const found = known.get(key)
  if (found !== undefined) return found
  const lists = await readAll(content, source)
  known.set(key, lists)
  return lists
}

/** A list of thousands takes a second to read, and a hub is looked at often. */
const MAX_KNOWN = 64
const known = new BoundedMap<string, DatedRevocationList[]>(MAX_KNOWN)

async function readAll(
  content: Buffer,
  { field, cas }: { field: string; cas: readonly string[] },
): Promise<DatedRevocationList[]> {
  if (content.length > MAX_BYTES) throw invalid(field, `at most ${MAX_BYTES} bytes`, `${content.length}`)
  const blocks = Array.from(content.toString('latin1').matchAll(BLOCK), ([, base64 = '']) =>
    Buffer.from(base64, 'base64'),
  )
  const certificates = cas.map((pem) => readCertificate(pem, field))
  const all: DatedRevocationList[] = []
  for (const der of blocks.length > 0 ? blocks : [content]) all.push(await readList(der, certificates, field))
  const lists = all.filter(({ issuers }) => issuers.length > 0)
  if (lists.length === 0) throw invalid(field, 'a CRL that a CA of the hub has signed', 'one of another CA')
  const count = lists.reduce((sum, { serials }) => sum + serials.length, 0)
  if (count > MAX_REVOKED_SERIALS)
    throw invalid(field, `at most ${MAX_REVOKED_SERIALS} revoked certificates`, `${count}`)
  return lists
}

async function readList(
  der: Buffer,
  cas: readonly X509Certificate[],
  field: string,
): Promise<DatedRevocationList> {
  const crl = parse(der, field)
  checkScope(crl, field)
  const issuers: string[] = []
  for (const ca of cas) if (await isSignedBy(crl, ca)) issuers.push(factsOf(ca).fingerprint)
  const { thisUpdate, nextUpdate } = crl
  return {
    issuers,
    serials: crl.entries.map(({ serialNumber }) => plainSerial(serialNumber)),
    thisUpdate: time(thisUpdate),
    ...(nextUpdate === undefined ? {} : { nextUpdate: time(nextUpdate) }),
  }
}

function parse(der: Buffer, field: string): X509Crl {
  try {
    const crl = new X509Crl(new Uint8Array(der))
    // Read lazily: a fault in them has to show here.
    void [crl.entries.length, crl.extensions.length, crl.issuerName, crl.thisUpdate]
    return crl
  } catch {
    throw invalid(field, 'a CRL (PEM or DER)', 'something else')
  }
}

/** `cas` but for those that another one of them has revoked: what brokers may trust. */
export function unrevokedCas(cas: readonly string[], lists: readonly DatedRevocationList[]): string[] {
  const revoked = revokedCas(cas, lists)
  return cas.filter((pem) => !revoked.includes(pem))
}

/** Those of `cas` that another one of them has revoked. */
export function revokedCas(cas: readonly string[], lists: readonly DatedRevocationList[]): string[] {
  if (lists.length === 0) return []
  const all = cas.map((pem) => ({ pem, certificate: readCertificate(pem, 'ca') }))
  return all
    .filter(({ certificate }) => {
      const serial = plainSerial(certificate.serialNumber)
      const listed = lists.filter(({ serials }) => serials.includes(serial))
      if (listed.length === 0) return false
      const issuers = all.filter(
        (ca) => certificate.checkIssued(ca.certificate) && certificate.verify(ca.certificate.publicKey),
      )
      const names = issuers.map((ca) => factsOf(ca.certificate).fingerprint)
      return listed.some(({ issuers: by }) => by.some((issuer) => names.includes(issuer)))
    })
    .map(({ pem }) => pem)
}

async function isSignedBy(crl: X509Crl, ca: X509Certificate): Promise<boolean> {
  try {
    const publicKey = new PublicKey(new Uint8Array(ca.publicKey.export({ type: 'spki', format: 'der' })))
    return await crl.verify({ publicKey })
  } catch {
    // A key of another kind than the signature.
    return false
  }
}

const DISTRIBUTION_POINT = '2.5.29.28'

/** A list that tells of some certificates only would be taken for all there is to know. */
function checkScope(crl: X509Crl, field: string): void {
  for (const { type, critical, value } of crl.extensions) {
    const isHarmless = type === DISTRIBUTION_POINT ? isOfAllLeaves(new Uint8Array(value)) : !critical
    if (!isHarmless) throw invalid(field, 'a complete CRL of one CA', `one with the extension ${type}`)
  }
}

/** Of IssuingDistributionPoint (RFC 5280 §5.2.5): where it is to be had, and that it holds no CAs. */
function isOfAllLeaves(sequence: Uint8Array): boolean {
  const [tag, length = 0x80] = sequence
  // Longer ones than a byte can say have a long URL, or much else.
  let offset = length < 0x80 ? 2 : 2 + (length & 0x7f)
  if (tag !== 0x30) return false
  while (offset < sequence.length) {
    const field = (sequence[offset] ?? 0) & 0x1f
    const size = sequence[offset + 1] ?? 0x80
    if (field > 1 || size >= 0x80) return false
    offset += 2 + size
  }
  return true
}

/** Whole seconds, as X.509 has them. */
const time = (date: Date): string => date.toISOString().replace(/\.\d{3}Z$/, 'Z')

const invalid = (field: string, expected: string, got: string) =>
  new PkiError('CRL_INVALID', field, { expected, got })
