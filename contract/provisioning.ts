/** What a broker asks for when it meets a device that nobody has declared, and what it is told. */
import { type Static, Type } from 'typebox'

/** A client whose certificate the hub's own CA vouches for, and whose common name no device has. */
export const ProvisioningRequest = Type.Object({
  /** Name of the device to be: 1 to 64 characters, no control characters. */
  commonName: Type.String({ maxLength: 64 }),
  /** SHA-256 of the DER, 64 lower-case hex digits. */
  fingerprint: Type.String({ maxLength: 64 }),
  /** `ip:port` of the client. */
  sourceAddress: Type.String({ maxLength: 64 }),
  /** ms since the epoch. */
  time: Type.Number(),
})
export type ProvisioningRequest = Static<typeof ProvisioningRequest>

/**
 * `Created`: the device has a record now, enabled or (mode Approve) not yet. `Existed`: somebody else was quicker.
 * The others leave nothing behind. `Deleted`: a device of this name was deleted, and only a person brings it back.
 * `Late`: nobody has answered in time; the device may be there at the next attempt.
 */
const ANSWERS = ['Created', 'Existed', 'QuotaReached', 'Deleted', 'Failed', 'Late'] as const
export const ProvisioningAnswer = Type.Unsafe<(typeof ANSWERS)[number]>({
  type: 'string',
  enum: [...ANSWERS],
})
export type ProvisioningAnswer = Static<typeof ProvisioningAnswer>

/** Names that a certificate may hold and a device may have (X.520 bounds them by 64 characters). */
export const isProvisionableName = (commonName: string): boolean =>
  commonName.length >= 1 && commonName.length <= 64 && !/\p{Cc}/u.test(commonName)
