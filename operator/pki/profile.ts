/** What all our certificates have in common: names, serial numbers, dates. */
import { PkiError } from './pki-error.ts'
import { Name } from './x509.ts'

export interface CertificateWithKey {
  /** One PEM certificate. */
  certificatePem: string
  /** PEM, PKCS #8. */
  privateKeyPem: string
}

/** Clocks of devices run behind; a certificate that is valid only from now on would be refused by them. */
export const BACKDATE_MS = 3_600_000

/** ub-common-name of X.520, which OpenSSL enforces. */
const COMMON_NAME_MAX = 64
const SERIAL_BYTES = 20

/**
 * A random serial number, 20 bytes, positive and of full length (RFC 5280 §4.1.2.2).
 * @param random `n` random bytes, such as node:crypto's `randomBytes`.
 * @returns 40 lower-case hex digits.
 */
export function newSerial(random: (size: number) => Uint8Array): string {
  const bytes = Buffer.from(random(SERIAL_BYTES))
  // The top bit would make it negative; the one below it keeps leading zeros from being cut.
  bytes[0] = ((bytes[0] ?? 0) & 0x7f) | 0x40
  return bytes.toString('hex')
}

export function checkSerial(serial: string): string {
  if (!/^[0-7][0-9a-f]([0-9a-f]{2}){7,19}$/.test(serial) || /^0+$/.test(serial))
    throw new PkiError('INVALID_SERIAL', 'serial', {
      expected: '8 to 20 bytes in hex, a positive number (newSerial)',
      got: JSON.stringify(serial.slice(0, 64)),
    })
  return serial
}

/** Always UTF8String: taken literally, whereas the library reads `#`, quotes and commas in plain text. */
export function commonNameOf(commonName: string, field: string): Name {
  const length = [...commonName].length
  if (length < 1 || length > COMMON_NAME_MAX)
    throw new PkiError('INVALID_NAME', field, {
      expected: `1 to ${COMMON_NAME_MAX} characters`,
      got: `${length} characters`,
    })
  // A NUL ends the name for some readers, so the same certificate would be two devices.
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is refused here
  if (/[\u0000-\u001f\u007f]/.test(commonName) || !commonName.isWellFormed())
    throw new PkiError('INVALID_NAME', field, { expected: 'text without control characters', got: 'some' })
  return new Name([{ CN: [{ utf8String: commonName }] }])
}

/** X.509 dates have whole seconds; both ends are cut so that what is asked for is what is read back. */
export function validity(
  now: number,
  durationMs: number,
  field: string,
): { notBefore: Date; notAfter: Date } {
  if (!Number.isFinite(durationMs) || durationMs < 1000)
    throw new PkiError('INVALID_DURATION', field, {
      expected: 'at least one second',
      got: `${durationMs} ms`,
    })
  const wholeSeconds = (ms: number) => new Date(Math.floor(ms / 1000) * 1000)
  return { notBefore: wholeSeconds(now - BACKDATE_MS), notAfter: wholeSeconds(now + durationMs) }
}
