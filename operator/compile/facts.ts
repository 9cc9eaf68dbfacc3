import type {
  DeviceRecord,
  RevocationList,
  RevokedFingerprint,
  TokenIssuer,
} from '../../contract/hub-state.ts'

/** The client certificate of a device as it was found. */
export interface CertificateFacts {
  /** Where it was looked for; facts about a source that the spec no longer asks for are ignored. */
  source: DeviceRecord['certificate']['source']
  /** SHA-256 of the DER, lower-case hex; several while a rotation overlaps. */
  fingerprints: readonly string[]
  /** RFC 3339. */
  notAfter?: string
}

export interface DeviceFacts {
  certificate?: CertificateFacts
  /** Revoked certificates beside those in the status of the Device. */
  revokedFingerprints?: readonly RevokedFingerprint[]
  /** Of the token for a first certificate. */
  enrolment?: { tokenSha256: string; until: string }
  /** Of the password that `spec.passwordSecretRef` names. */
  passwordVerifier?: string
}

export interface NetworkFacts {
  /** SHA-256 of the token, lower-case hex. */
  tokenSha256: string
}

/** Everything that a broker has to know and that is not in the custom resources. No secret is in here. */
export interface HubFacts {
  /** ms since the epoch. */
  now: number
  /** By `objectKey`, for objects without `metadata.uid`. */
  uids?: ReadonlyMap<string, string>
  /** Who signs tokens of ServiceAccounts; undefined: not known, and no such token is taken. */
  tokenIssuer?: Pick<TokenIssuer, 'issuer' | 'keys'>
  /** PEM certificates of the device CA. */
  deviceCACertificates: readonly string[]
  /** Revoked certificates of devices that are gone. */
  revokedFingerprints?: readonly RevokedFingerprint[]
  /** What CAs of the user's have revoked. */
  revocationLists?: readonly RevocationList[]
  /** By `metadata.name` of the Device. */
  devices: ReadonlyMap<string, DeviceFacts>
  /** By `metadata.name` of the Network. */
  networks: ReadonlyMap<string, NetworkFacts>
}

export const objectKey = (kind: string, name: string) => `${kind}/${name}`
