import { certificatesIn, facts, readCertificate, timeOf } from './facts.ts'
import { isIssuedBy } from './pair.ts'
import { PkiError } from './pki-error.ts'

export interface ProvidedCa {
  /** The CA, intermediates after it, PEM. */
  certificate: string
  /** PEM: only who holds the key of the CA can have made it. */
  challengeCertificate: string
}

/**
 * A CA of the user's without its key, once its challenge is proven (spec §1.6, design §8.21): the challenge is
 * signed by the CA and carries the hub's own name, so nobody can put up the CA of somebody else.
 * @param names common names that the challenge may have: uid of the hub, `<hub>.<namespace>`
 * @returns the certificates of the CA, PEM, one text each.
 * @throws PkiError naming `<field>.certificate` or `<field>.challengeCertificate`.
 */
export function openProvidedCa(
  provided: ProvidedCa,
  { field, names, now }: { field: string; names: readonly string[]; now: number },
): string[] {
  const certificates = readCas(provided.certificate, `${field}.certificate`, now)
  const challengeField = `${field}.challengeCertificate`
  const { commonName } = facts(provided.challengeCertificate, challengeField)
  if (!certificates.some((ca) => isIssuedBy(provided.challengeCertificate, ca))) {
    const fault = { expected: 'a certificate that the CA signed', got: 'another one' }
    throw new PkiError('CHALLENGE_FAILED', challengeField, fault)
  }
  if (!names.includes(commonName)) {
    const expected = `the common name ${names.join(' or ')}`
    throw new PkiError('CHALLENGE_FAILED', challengeField, { expected, got: JSON.stringify(commonName) })
  }
  return certificates
}

/**
 * The CA certificates in a text, PEM, one text each.
 * @throws PkiError naming `field`: there is none, one is no CA, or one has ended.
 */
export function readCas(pem: string, field: string, now: number): string[] {
  const certificates = certificatesIn(pem)
  // The first is read even if there is none, so that the error says so.
  for (const one of certificates.length > 0 ? certificates : [pem]) checkCa(one, field, now)
  return certificates
}

function checkCa(pem: string, field: string, now: number): void {
  const certificate = readCertificate(pem, field)
  if (!certificate.ca)
    throw new PkiError('NOT_A_CA', field, { expected: 'CA certificates', got: 'one of another kind' })
  const notAfter = timeOf(certificate.validTo)
  if (notAfter <= now) {
    const got = `one that ended ${new Date(notAfter).toISOString()}`
    throw new PkiError('CA_EXPIRED', field, { expected: 'a CA that has not expired', got })
  }
}
