/**
 * What a broker knows about its hub. Compiled from the custom resources by `operator/compile`, read by
 * `broker`. Everything in here may be stored in Redis: no private key and no secret value, only verifiers.
 */

import type { Static } from 'typebox'
import { Type } from 'typebox'
import { RouteSpec } from '../crds/route.ts'

/** Rises when an older broker could misread a newer state; a broker refuses a version it does not know. */
export const HUB_STATE_VERSION = 1

const Literals = <const T extends readonly string[]>(values: T) =>
  Type.Unsafe<T[number]>({ type: 'string', enum: [...values] })

/** One direction of a device's message filter. Topics are MQTT filters with every template already expanded. */
export const FilterRule = Type.Object({
  policy: Literals(['Accept', 'Reject']),
  topics: Type.Array(Type.String()),
})
export type FilterRule = Static<typeof FilterRule>

export const RevokedFingerprint = Type.Object({
  fingerprint: Type.String(),
  /** The certificate's own notAfter, RFC 3339: after it the date check refuses it anyway. */
  until: Type.String(),
})
export type RevokedFingerprint = Static<typeof RevokedFingerprint>

/** What a CA of the user's has revoked (CRL), as far as a broker has to know. */
export const RevocationList = Type.Object({
  /** SHA-256 of the certificates (DER) of the CA, 64 lower-case hex digits. */
  issuers: Type.Array(Type.String()),
  /** Lower-case hex without leading zeros. */
  serials: Type.Array(Type.String()),
  /** RFC 3339: from then on everything that the CA has signed is refused, because the list is out of date. */
  refuseAfter: Type.Optional(Type.String()),
})
export type RevocationList = Static<typeof RevocationList>

export const DeviceRecord = Type.Object({
  /** The device id (UUID): the credential on links without a client certificate, and the key of sessions. */
  id: Type.String(),
  /** The CN of its certificates; unique per hub. */
  name: Type.String(),
  enabled: Type.Boolean(),
  /** Everything this device ever had is refused, whatever the other fields say. */
  revoked: Type.Boolean(),
  allowInsecure: Type.Boolean(),
  allowMultipleConnections: Type.Boolean(),
  filters: Type.Object({ publish: FilterRule, subscribe: FilterRule }),
  /** Filter entries whose template could not be expanded. That direction is closed (Accept, no topics). */
  templateErrors: Type.Array(Type.String()),
  certificate: Type.Object({
    /** Managed and Provided match by fingerprint; HubCA by chain and CN (design §3). */
    source: Literals(['Managed', 'Provided', 'HubCA', 'None']),
    /** SHA-256 of the DER, 64 lower-case hex digits; several while a rotation overlaps. */
    fingerprints: Type.Array(Type.String()),
  }),
  revokedFingerprints: Type.Array(RevokedFingerprint),
  /** Whose tokens are the device's: a ServiceAccount of the hub's namespace. */
  serviceAccount: Type.Optional(Type.String()),
  /** Of the token that a first certificate can be asked for with (EST). */
  enrolment: Type.Optional(
    Type.Object({
      /** SHA-256 of the token, 64 lower-case hex digits. */
      tokenSha256: Type.String(),
      /** RFC 3339. */
      until: Type.String(),
    }),
  ),
  /** `scrypt$N$r$p$salt$hash` (base64url), asked for on links without a client certificate. */
  passwordVerifier: Type.Optional(Type.String()),
})
export type DeviceRecord = Static<typeof DeviceRecord>

/** A token network. MQTT and WebSocket need no record: they exist on every hub. */
export const NetworkRecord = Type.Object({
  id: Type.String(),
  name: Type.String(),
  type: Literals(['REST', 'Sigfox']),
  /** Without leading or trailing slash; empty: the whole topic space. */
  topicPrefix: Type.String(),
  /** SHA-256 of the token, 64 lower-case hex digits. */
  tokenSha256: Type.String(),
})
export type NetworkRecord = Static<typeof NetworkRecord>

/** What a broker appends matched messages by, and all that a route worker knows beside the secret values. */
export const RouteRecord = Type.Object({
  id: Type.String(),
  name: Type.String(),
  topic: Type.String(),
  enabled: Type.Boolean(),
  /** With every default in place; Secrets are only named in it (`route-credentials.ts` has their values). */
  spec: RouteSpec,
})
export type RouteRecord = Static<typeof RouteRecord>

/** Every bound of a hub. Zero means "no bound" only where the comment says so. */
export const HubLimits = Type.Object({
  /** Bytes of a payload; a larger one is refused with `PAYLOAD_TOO_LARGE` and the link is closed. */
  payloadBytes: Type.Integer(),
  devices: Type.Integer(),
  /** Live connections of the hub. */
  connections: Type.Integer(),
  /** Sockets that have not finished CONNECT; beyond it the one that has waited longest is dropped. */
  pendingConnections: Type.Integer(),
  /** New connections a second over the whole hub; 0: no bound. */
  connectsPerSecond: Type.Integer(),
  /** PUBLISH packets a second for one device; reading from the link pauses above it; 0: no bound. */
  messagesPerSecond: Type.Integer(),
  /** Messages waiting for one session. */
  queueMessages: Type.Integer(),
  /** Bytes waiting for one session (queue and socket); a reader slower than that is cut off. */
  queueBytes: Type.Integer(),
  queueOverflow: Literals(['DropOldest', 'DropNewest']),
  /** Unacknowledged QoS 1/2 messages in flight to one session. */
  inflight: Type.Integer(),
  /** Stored sessions (offline or not) of one device; the one longest offline makes room. */
  sessionsPerDevice: Type.Integer(),
  subscriptionsPerSession: Type.Integer(),
  retainedMessages: Type.Integer(),
  retainedBytes: Type.Integer(),
  /** Events a second on the events topic; what is over is counted and summed up. */
  eventsPerSecond: Type.Integer(),
})
export type HubLimits = Static<typeof HubLimits>

/** A public key as a JSON Web Key: RSA has n and e, EC has crv, x and y. */
export const TokenKey = Type.Object({
  kid: Type.String(),
  kty: Literals(['RSA', 'EC']),
  n: Type.Optional(Type.String()),
  e: Type.Optional(Type.String()),
  crv: Type.Optional(Type.String()),
  x: Type.Optional(Type.String()),
  y: Type.Optional(Type.String()),
})
export type TokenKey = Static<typeof TokenKey>

/** Whose tokens of ServiceAccounts are taken, and for whom they have to be. */
export const TokenIssuer = Type.Object({
  issuer: Type.String(),
  /** Of this hub alone. */
  audience: Type.String(),
  keys: Type.Array(TokenKey),
})
export type TokenIssuer = Static<typeof TokenIssuer>

export const HubRecord = Type.Object({
  uid: Type.String(),
  name: Type.String(),
  namespace: Type.String(),
  enabled: Type.Boolean(),
  events: Type.Object({ enabled: Type.Boolean(), topicPrefix: Type.String() }),
  limits: HubLimits,
  messaging: Type.Object({
    retained: Type.Boolean(),
    maxQoS: Type.Union([Type.Literal(0), Type.Literal(1), Type.Literal(2)]),
    persistentSessions: Type.Boolean(),
    /** Seconds after which an offline session is forgotten. */
    sessionExpirySeconds: Type.Integer(),
  }),
  deviceTrust: Type.Object({
    mode: Literals(['Managed', 'HubCA']),
    /**
     * PEM certificates that OpenSSL verifies client chains against; public, no key. One that stands after a
     * certificate that it has signed only completes that one's chain.
     */
    caCertificates: Type.Array(Type.String()),
    /** Where there are some, certificates have to be signed by one of the above itself: others cannot be looked up. */
    revocationLists: Type.Optional(Type.Array(RevocationList)),
  }),
  /** Of devices that are gone: refused whoever has such a certificate now. */
  revokedFingerprints: Type.Optional(Type.Array(RevokedFingerprint)),
  /** CIDR ranges of load balancers that begin every connection with a PROXY protocol header. */
  trustedProxies: Type.Optional(Type.Array(Type.String())),
  /** Only where a device logs in by such a token. */
  tokenIssuer: Type.Optional(TokenIssuer),
  /** Only where a device that is not known may make itself known by a certificate of the hub's own CA. */
  autoProvisioning: Type.Optional(
    Type.Object({
      /** New devices a second. */
      perSecond: Type.Integer(),
    }),
  ),
})
export type HubRecord = Static<typeof HubRecord>

export const HubState = Type.Object({
  version: Type.Literal(HUB_STATE_VERSION),
  hub: HubRecord,
  devices: Type.Array(DeviceRecord),
  networks: Type.Array(NetworkRecord),
  routes: Type.Array(RouteRecord),
})
export type HubState = Static<typeof HubState>

/** A certificate and key that a listener presents. Never part of HubState: it holds a private key. */
export interface ServerCredentials {
  /** PEM, leaf first. */
  certificateChain: string
  /** PEM, PKCS #8. */
  privateKey: string
}
