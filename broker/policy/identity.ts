import type { DeviceRecord, HubRecord } from '../../contract/hub-state.ts'
import { certificateFault, certificateOf, dateFault, listFault } from './certificate.ts'
import type { LinkFacts, PeerCertificate } from './link.ts'
import { judgeSecurity, type SecurityCase } from './security.ts'
import { type Denied, deny, type Verdict } from './verdict.ts'

/** What of a CONNECT tells who it is. The password itself stays outside: see `Candidate`. */
export interface ConnectFacts {
  clientId: string
  username?: string | undefined
  /** A password of at least one byte was sent. */
  hasPassword: boolean
}

/** One question to the state; `ClientId` and `Username` both ask for a device id. */
export interface DeviceLookup {
  by: 'Fingerprint' | 'CommonName' | 'ClientId' | 'Username'
  value: string
}

/** The first look-up that had an answer. */
export interface FoundDevice {
  by: DeviceLookup['by']
  device: DeviceRecord
}

export interface IdentityRequest {
  link: LinkFacts
  connect: ConnectFacts
  hub: HubRecord
  found: FoundDevice | undefined
  /** ms since the epoch. */
  now: number
}

export interface Identity {
  device: DeviceRecord
  /** Proven by a client certificate. */
  mutual: boolean
  /** Proven by a token of a ServiceAccount that ends then, ms since the epoch. */
  tokenUntil?: number
  /** The client id that the session gets; undefined: the caller generates one. */
  clientId: string | undefined
}

/** Everything fits but, where a verifier is given, the password: `admit` needs to know whether it matches. */
export interface Candidate {
  identity: Identity
  passwordVerifier?: string
}

/** A refusal that knows the device names it, for the event's object id. */
export type IdentityVerdict = { allowed: true; value: Candidate } | (Denied & { deviceId?: string })

/**
 * Who a CONNECT may be: look-ups to make in this order, stopping at the first that finds a device; none when
 * nothing could come of it. With a client certificate only the certificate counts. Without, the client id comes
 * first and the user name second, as some clients cap their ids at 23 characters (spec §2.3).
 */
export function identityQuery(link: LinkFacts, connect: ConnectFacts, hub: HubRecord): DeviceLookup[] {
  if (!hub.enabled) return []
  const certificate = certificateOf(link)
  return certificate === undefined ? idLookups(connect) : certificateLookups(certificate)
}

/**
 * Decides a CONNECT up to its password. The order of checks: hub, certificate, device, the security matrix.
 * A non-empty password of a device without a verifier is ignored: clients send one because they must.
 */
export function identify(request: IdentityRequest): IdentityVerdict {
  const { link, connect, hub, found } = request
  if (!hub.enabled) return deny('HUB_DISABLED')
  const certificate = certificateOf(link)
  const shown = shownCertificate(certificate, request)
  const result = judgeSecurity({
    encrypted: link.encrypted,
    certificate: shown.standing,
    device: deviceStanding(found?.device),
    allowInsecure: found?.device.allowInsecure ?? false,
  })
  if (result !== 'Accepted') return refuse(deny(result, shown.why), found)
  // Accepted cases have a device; the compiler cannot read that from the matrix.
  if (found === undefined) return deny('UNKNOWN_DEVICE')
  const identity = {
    device: found.device,
    mutual: certificate !== undefined,
    clientId: effectiveClientId(found, connect),
  }
  const passwordVerifier = found.device.passwordVerifier
  if (identity.mutual || passwordVerifier === undefined) return { allowed: true, value: { identity } }
  if (!connect.hasPassword) return refuse(deny('BAD_PASSWORD', 'no password was sent'), found)
  return { allowed: true, value: { identity, passwordVerifier } }
}

/** The last step: `passwordMatches` is asked only of a candidate that has a verifier. */
export function admit(candidate: Candidate, passwordMatches?: boolean): Verdict<Identity> {
  if (candidate.passwordVerifier !== undefined && passwordMatches !== true) return deny('BAD_PASSWORD')
  return { allowed: true, value: candidate.identity }
}

/** Device ids are UUIDs and written in either case; records and sessions use this one. */
export function normalizeDeviceId(id: string): string {
  return id.toLowerCase()
}

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i

function idLookups({ clientId, username }: ConnectFacts): DeviceLookup[] {
  const claims: DeviceLookup[] = [{ by: 'ClientId', value: clientId }]
  if (username !== undefined && username !== clientId) claims.push({ by: 'Username', value: username })
  // What is no UUID can be no device id: a look-up may cost a round trip, so junk must not cause any.
  return claims
    .filter(({ value }) => UUID.test(value))
    .map(({ by, value }) => ({ by, value: normalizeDeviceId(value) }))
}

/**
 * The exact certificate first, so a provided one wins over the own CA. The name tells whose certificate it is
 * where the hub has an own CA, and elsewhere only makes the reason better (revoked, rotated away): a chain that
 * is not trusted could claim any name, so it gets no such look-up.
 */
function certificateLookups({ fingerprint, commonName, chainTrusted }: PeerCertificate): DeviceLookup[] {
  const lookups: DeviceLookup[] = [{ by: 'Fingerprint', value: fingerprint }]
  if (chainTrusted && commonName !== '') lookups.push({ by: 'CommonName', value: commonName })
  return lookups
}

function shownCertificate(
  certificate: PeerCertificate | undefined,
  { hub, found, now }: IdentityRequest,
): { standing: SecurityCase['certificate']; why?: string } {
  if (certificate === undefined) return { standing: 'None' }
  if (found !== undefined)
    return certificateFault(certificate, found.device, hub, now) ?? { standing: 'Valid' }
  const listed = listFault(certificate, hub, now)
  if (listed !== undefined) return listed
  const why = dateFault(certificate, now)
  if (why !== undefined) return { standing: 'Invalid', why }
  if (hub.deviceTrust.mode !== 'HubCA') return { standing: 'Invalid', why: 'the certificate is not known' }
  if (!certificate.chainTrusted) {
    return { standing: 'Invalid', why: `the chain is not trusted: ${certificate.chainError ?? 'unknown'}` }
  }
  return { standing: certificate.commonName === '' ? 'Nameless' : 'Valid' }
}

function deviceStanding(device: DeviceRecord | undefined): SecurityCase['device'] {
  if (device === undefined) return 'Unknown'
  if (device.revoked) return 'Revoked'
  return device.enabled ? 'Enabled' : 'Disabled'
}

function refuse(denied: Denied, found: FoundDevice | undefined): IdentityVerdict {
  return found === undefined ? denied : { ...denied, deviceId: normalizeDeviceId(found.device.id) }
}

/**
 * An id in the user name stands in for the client id, so that one device is one session, unless the device may
 * connect several times: then each connection needs its own (spec §2.3, §2.5). With a certificate the client
 * id is free: sessions are kept per device, so it cannot collide with another device's.
 */
function effectiveClientId({ by, device }: FoundDevice, { clientId }: ConnectFacts): string | undefined {
  const deviceId = normalizeDeviceId(device.id)
  if (by === 'ClientId') return deviceId
  if (by === 'Username' && !device.allowMultipleConnections) return deviceId
  return clientId === '' ? undefined : clientId
}
