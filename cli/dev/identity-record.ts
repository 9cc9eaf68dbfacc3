import { type Static, Type } from 'typebox'
import { Value } from 'typebox/value'
import { DataFolderError } from './data-folder.ts'

const Ending = Type.Object({
  /** SHA-256 of the DER, 64 lower-case hex digits. */
  fingerprint: Type.String(),
  /** RFC 3339; after it the certificate's own date refuses it. */
  until: Type.String(),
})
export type Ending = Static<typeof Ending>

const Enrolled = Type.Object({
  /** The newest one that was issued. */
  current: Type.Optional(Ending),
  /** Of the token in its file; the token itself is not here. */
  token: Type.Optional(Type.Object({ until: Type.String(), rotation: Type.String() })),
  /** When `hublet rotate` has asked last. */
  asked: Type.Optional(Type.String()),
  /** The token that was used last, and for which request: both SHA-256 in hex. */
  used: Type.Optional(Type.Object({ token: Type.String(), request: Type.String() })),
})

const DeviceIdentity = Type.Object({
  id: Type.String(),
  /** RFC 3339; stands for the time of creation, which decides between two devices of one identity. */
  firstSeen: Type.String(),
  /** Replaced certificates that are still accepted. */
  retiring: Type.Array(Ending),
  /** Refused even when `revoked` is taken back. */
  revoked: Type.Array(Ending),
  /** The certificate that the broker has let in last. */
  used: Type.Optional(Ending),
  /** Value of the rotate annotation that was last acted on. */
  handledRotation: Type.Optional(Type.String()),
  /** `hublet rotate` has asked for a new certificate, which is not made yet. */
  isRotationAsked: Type.Optional(Type.Boolean()),
  /** By `hublet revoke`: as `spec.revoked`. */
  isRevoked: Type.Optional(Type.Boolean()),
  passwordVerifier: Type.Optional(Type.String()),
  /** Of a device that asks for its certificates itself. */
  enrolled: Type.Optional(Enrolled),
})
export type DeviceIdentity = Static<typeof DeviceIdentity>

const NetworkIdentity = Type.Object({
  token: Type.Union([Type.Literal('Generated'), Type.Literal('Secret')]),
})

/** As `TrustedCas` has it. */
const TrustedCas = Type.Object({
  current: Type.Array(Type.String()),
  next: Type.Array(Type.String()),
  retired: Type.Array(
    Type.Object({ certificate: Type.String(), since: Type.String(), until: Type.String() }),
  ),
})

/** What cannot be made again: `<hub>/identity.json` in the data folder. No secret is in it. */
const HubIdentityRecord = Type.Object({
  version: Type.Literal(1),
  /** By `metadata.name`. Those whose manifest is gone are kept: it may only have moved. */
  devices: Type.Record(Type.String(), DeviceIdentity),
  networks: Type.Record(Type.String(), NetworkIdentity),
  /** The CAs of the user that devices are checked by. */
  deviceCAs: Type.Optional(TrustedCas),
})
export type HubIdentityRecord = Static<typeof HubIdentityRecord>

/**
 * Reads the record of a hub; a hub without one gets an empty one. Throws DataFolderError when the text cannot be
 * used: to begin anew would quietly change every device id.
 */
export function parseIdentityRecord(text: string | undefined, file: string): HubIdentityRecord {
  if (text === undefined) return { version: 1, devices: {}, networks: {} }
  let parsed: unknown
  try {
    parsed = JSON.parse(text)
  } catch {
    parsed = undefined
  }
  if (!Value.Check(HubIdentityRecord, parsed))
    throw new DataFolderError(
      `${file}: expected the identities of a hub (version 1), got something else; ` +
        'restore the file, or delete the folder of the hub to begin anew',
    )
  return parsed
}

export const formatIdentityRecord = (record: HubIdentityRecord): string =>
  `${JSON.stringify(record, null, 2)}\n`
