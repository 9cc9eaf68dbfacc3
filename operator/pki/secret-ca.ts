import { openCa } from './certificate-authority.ts'
import { certificatesIn } from './facts.ts'
import { PkiError } from './pki-error.ts'
import type { CertificateWithKey } from './profile.ts'

/**
 * A CA of the user's with its key, as a Secret of type kubernetes.io/tls holds it, also one of cert-manager's: what
 * stands above an intermediate is in `ca.crt`.
 * @param besidePem what `ca.crt` holds, or nothing
 * @param field of the reference to the Secret
 * @param now ms since the epoch
 * @returns the certificates of the CA, PEM, one text each.
 * @throws PkiError naming `<field>[tls.crt]` or `<field>[tls.key]`.
 */
export function openSecretCa(
  pair: CertificateWithKey,
  besidePem: string,
  { field, now }: { field: string; now: number },
): string[] {
  try {
    openCa(pair, now)
  } catch (error) {
    // Seen from the hub, `ca.certificatePem` is a key of the Secret.
    if (!(error instanceof PkiError)) throw error
    const part = error.field === 'ca.privateKeyPem' ? 'tls.key' : 'tls.crt'
    throw new PkiError(error.code, `${field}[${part}]`, error.fault)
  }
  return [...new Set([...certificatesIn(pair.certificatePem), ...certificatesIn(besidePem)])]
}
