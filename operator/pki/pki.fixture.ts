import { randomBytes } from 'node:crypto'
import { createCa } from './certificate-authority.ts'
import type { KeyAlgorithm } from './keys.ts'
import { type CertificateWithKey, newSerial } from './profile.ts'

export const HOUR = 3_600_000
export const DAY = 24 * HOUR
/** Today, because openssl has only one clock. */
export const NOW = Date.now()
export const ALGORITHMS: readonly KeyAlgorithm[] = ['ECDSA-P256', 'RSA-2048']

export const serial = (): string => newSerial(randomBytes)

export const makeCa = (
  keyAlgorithm: KeyAlgorithm,
  commonName = 'garden device CA',
): Promise<CertificateWithKey> =>
  createCa({ commonName, keyAlgorithm, now: NOW, days: 3650, serial: serial() })

/** Names that break naive quoting, each a legal device name. */
export const ODD_NAMES: readonly string[] = [
  'plain-device',
  'Müller, Wärmepumpe',
  'a=b+c;d<e>f"g\\h',
  '#0500',
  ' leading and trailing ',
  '"quoted"',
  '温度计',
  '🌡'.repeat(3),
  'x'.repeat(64),
  '/CN=admin',
  'a, CN=admin',
]
