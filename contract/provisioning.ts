/** What a broker asks for when it meets a device that nobody has declared, and what it is told. */

/** A client whose certificate the hub's own CA vouches for, and whose common name no device has. */
export interface ProvisioningRequest {
  /** Name of the device to be: 1 to 64 characters, no control characters. */
  commonName: string
  /** SHA-256 of the DER, 64 lower-case hex digits. */
  fingerprint: string
  /** `ip:port` of the client. */
  sourceAddress: string
  /** ms since the epoch. */
  time: number
}

/**
 * `Created`: the device has a record now, enabled or (mode Approve) not yet. `Existed`: somebody else was quicker.
 * The others leave nothing behind.
 */
export type ProvisioningAnswer = 'Created' | 'Existed' | 'QuotaReached' | 'Failed'

/** Names that a certificate may hold and a device may have (X.520 bounds them by 64 characters). */
export const isProvisionableName = (commonName: string): boolean =>
  commonName.length >= 1 && commonName.length <= 64 && !/\p{Cc}/u.test(commonName)
