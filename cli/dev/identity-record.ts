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

const DeviceIdentity = Type.Object({
  id: Type.String(),
  /** RFC 3339; stands for the time of creation, which decides between two devices of one identity. */
  firstSeen: Type.String(),
  /** Replaced certificates that are still accepted. */
  retiring: Type.Array(Ending),
  /** Refused even when `revoked` is taken back. */
  revoked: Type.Array(Ending),
  passwordVerifier: Type.Optional(Type.String()),
})
export type DeviceIdentity = Static<typeof DeviceIdentity>

const NetworkIdentity = Type.Object({
  token: Type.Union([Type.Literal('Generated'), Type.Literal('Secret')]),
})

/** What cannot be made again: `<hub>/identity.json` in the data folder. No secret is in it. */
const HubIdentityRecord = Type.Object({
  version: Type.Literal(1),
  /** By `metadata.name`. Those whose manifest is gone are kept: it may only have moved. */
  devices: Type.Record(Type.String(), DeviceIdentity),
  networks: Type.Record(Type.String(), NetworkIdentity),
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
