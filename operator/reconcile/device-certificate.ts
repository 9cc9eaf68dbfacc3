/** The step of a device's reconcile for its certificate: issued, taken over, or none of ours. */
import { DEVICE_REASONS, ROTATE_ANNOTATION } from '../../crds/device.ts'
import type { DeviceStatus } from '../../crds/device-status.ts'
import type { Secret } from '../api/resources.ts'
import { deviceSecret, deviceSecretName } from '../build/credentials.ts'
import { certificateSource, deviceName, isIssued } from '../compile/device-record.ts'
import { parseDuration } from '../compile/duration.ts'
import { issueDeviceCertificate } from '../pki/issue.ts'
import { isIssuedBy, type Pair, readPair } from '../pki/pair.ts'
import { PkiError } from '../pki/pki-error.ts'
import { newSerial } from '../pki/profile.ts'
import type { EventText } from '../runtime/events.ts'
import { keyOf } from '../runtime/resource.ts'
import { hubKeyOf } from '../watch/indexes.ts'
import { type CertificatePart, partOf, type Source } from './certificate-part.ts'
import {
  type CertificateState,
  type CertificateWish,
  certificateState,
  type FoundCertificate,
  type IssueReason,
  issueReason,
  spreadRenewal,
  withCurrent,
  withPromoted,
  withRevoked,
} from './certificate-state.ts'
import { type Authorities, authorities } from './device-authorities.ts'
import { enrolledCertificate } from './device-enrolment.ts'
import type { DeviceScope } from './device-part.ts'
import { providedCertificate } from './device-provided-certificate.ts'
import { EVENT_REASONS } from './event-reasons.ts'
import type { HeldCertificate } from './held-certificates.ts'
import { asKept } from './hub-part.ts'
import { findOwnedSecret } from './owned-secret.ts'
import { isFromCa, noteIssued, pairOf } from './pairs.ts'
import { memberKey } from './published.ts'
import { ROTATION_ANNOTATION, stalledBy } from './tools.ts'

/** Of a device that says nothing about its certificate; the default of the field. */
const DEFAULT_DURATION = '8760h'

export async function deviceCertificate(scope: DeviceScope): Promise<CertificatePart> {
  const { device, hub, now } = scope
  const source = certificateSource(hub, device)
  const known = stateFor(source, scope.tools.computed.statusOf(device), now)
  const used = scope.tools.activities.usedOf(device)
  const state = used === undefined ? known : { ...known, used }
  if (isIssued(hub, device)) return await issued(scope, source, state)
  if (device.spec.certificate?.enrolled !== undefined) return await enrolledCertificate(scope, source, state)
  if (source === 'Provided') return await providedCertificate(scope, state)
  return partOf({ source, state: device.spec.revoked ? withRevoked(state, undefined, now) : state, now })
}

/** Certificates of a source that the spec no longer asks for are accepted no more; what was revoked stays so. */
function stateFor(source: Source, status: DeviceStatus | undefined, now: number): CertificateState {
  const state = certificateState(status, now)
  if (status?.certificate?.source === source) return state
  const { current: _, ...rest } = state
  return { ...rest, retiring: [] }
}

async function issued(scope: DeviceScope, source: Source, state: CertificateState): Promise<CertificatePart> {
  const { tools, device, now, signal } = scope
  const own = await findOwnedSecret(tools, device, deviceSecretName(device), signal)
  if (own.problem !== undefined) return { ...partOf({ source, state, now }), problems: [own.problem] }
  const { secret } = own
  const secretName = secret?.metadata.name
  const asBefore = partOf({ source, state, now, ...(secretName === undefined ? {} : { secretName }) })
  if (device.spec.revoked) {
    const found = secret && pairOf(secret)
    const shown = found === undefined || found === 'unreadable' ? undefined : found.facts
    // Its Secret is not wanted any more, and so removed: nobody needs a key that nobody accepts.
    return partOf({ source, state: withRevoked(state, shown, now), now })
  }
  const kept = secret === undefined ? [] : [asKept(secret)]
  const ready = await authorities(scope)
  if ('problem' in ready) return { ...asBefore, kept, problems: [ready.problem] }
  try {
    return await issuedBy(ready, scope, { source, state, secret })
  } catch (error) {
    if (!(error instanceof PkiError)) throw error
    const message = `no certificate can be issued: ${error.message}`
    const problem = stalledBy(DEVICE_REASONS.CertificateInvalid, message)
    return { ...asBefore, kept, problems: [problem] }
  }
}

async function issuedBy(
  { ca, serverCaPem }: Authorities,
  scope: DeviceScope,
  { source, state, secret }: { source: Source; state: CertificateState; secret: Secret | undefined },
): Promise<CertificatePart> {
  const { device, now } = scope
  const wish = wishOf(scope)
  const { current, isHeld, reason } = await newest(ca, scope, { wish, state, secret })
  const rotation = secret?.metadata.annotations?.[ROTATION_ANNOTATION]
  // Whatever a certificate is issued for, it is one newer than the rotation that was asked for.
  const handledRotation = wish.rotation ?? rotation ?? state.handledRotation
  // On a hub with a CA of the user's the chain counts, so a replaced certificate is good until it ends.
  const overlap = source === 'HubCA' ? undefined : wish.overlap
  const replaced = withCurrent(state, current.facts, { now, overlap })
  const isShared = source === 'HubCA' || device.spec.allowMultipleConnections
  const next = withPromoted(replaced, { isShared })
  const desired = deviceSecret(device, current, serverCaPem)
  if (handledRotation !== undefined)
    desired.object.metadata.annotations = { [ROTATION_ANNOTATION]: handledRotation }
  return {
    ...partOf({
      source,
      state: { ...next, ...(handledRotation === undefined ? {} : { handledRotation }) },
      now,
      secretName: deviceSecretName(device),
      dueAt: [current.facts.notAfter - wish.renewBefore],
    }),
    desired: isHeld ? [] : [{ ...desired, known: secret ?? ('absent' as const) }],
    kept: isHeld && secret !== undefined ? [asKept(secret)] : [],
    events: isHeld || reason === undefined || reason === 'Missing' ? [] : [replacedEvent(reason, current)],
  }
}

interface Newest {
  current: Pair
  /** Brokers do not know it yet, so it is not handed out. */
  isHeld: boolean
  /** Why it takes the place of the one in the Secret; undefined: it is that one. */
  reason: IssueReason | undefined
}

/** These leave the device with a certificate that goes on to be accepted, so there is time to tell brokers first. */
const UNHURRIED: ReadonlySet<IssueReason> = new Set([
  'RenewalDue',
  'RotationAsked',
  'IssuerChanged',
  'KeyAlgorithmChanged',
  'DurationShortened',
])

async function newest(
  ca: Pair,
  scope: DeviceScope,
  { wish, state, secret }: { wish: CertificateWish; state: CertificateState; secret: Secret | undefined },
): Promise<Newest> {
  const { device, now, tools } = scope
  const held = tools.held.of(device)
  const inSecret: Partial<ReturnType<typeof foundIn>> = secret === undefined ? {} : foundIn(secret, ca)
  const found = held === undefined ? inSecret.found : foundHeld(held, ca)
  const reason = issueReason({ wish, found, state, caNotAfter: ca.facts.notAfter, now })
  const known = held?.pair ?? inSecret.pair
  const isKept = reason === undefined && known !== undefined
  const current = isKept ? known : await issue(wish, ca, scope)
  const why = isKept ? held?.reason : reason
  if (
    secret === undefined ||
    why === undefined ||
    current.facts.fingerprint === inSecret.pair?.facts.fingerprint
  ) {
    tools.held.forget(keyOf(device))
    return { current, isHeld: false, reason: isKept ? undefined : reason }
  }
  const isHeld = UNHURRIED.has(why) && !isPublished(scope, current)
  // Kept until the Secret is seen to hold it: the copy of the cluster may be behind.
  tools.held.hold(device, { pair: current, reason: why, rotation: wish.rotation })
  return { current, isHeld, reason: why }
}

function isPublished({ tools, device }: DeviceScope, { facts: { fingerprint } }: Pair): boolean {
  const hub = tools.published.get(hubKeyOf(device))
  const member = hub?.members.get(memberKey('Device', device.metadata.name))
  return member?.uid === device.metadata.uid && member?.facts.includes(fingerprint) === true
}

function foundHeld({ pair, rotation }: HeldCertificate, ca: Pair): FoundCertificate {
  const { facts, keyAlgorithm } = pair
  const found = { facts, keyAlgorithm, isFromCa: isIssuedBy(pair.certificatePem, ca.certificatePem) }
  return rotation === undefined ? found : { ...found, rotation }
}

function foundIn(secret: Secret, ca: Pair): { pair?: Pair; found: FoundCertificate | 'unreadable' } {
  const pair = pairOf(secret)
  if (pair === 'unreadable') return { found: pair }
  const rotation = secret.metadata.annotations?.[ROTATION_ANNOTATION]
  const { facts, keyAlgorithm } = pair
  const found = { facts, keyAlgorithm, isFromCa: isFromCa(secret, pair, ca) }
  return { pair, found: rotation === undefined ? found : { ...found, rotation } }
}

function wishOf({ device }: DeviceScope): CertificateWish {
  const managed = device.spec.certificate?.managed
  const duration = parseDuration(managed?.duration ?? DEFAULT_DURATION) ?? 0
  const renewBefore = parseDuration(managed?.renewBefore ?? '') ?? duration / 3
  const rotation = device.metadata.annotations?.[ROTATE_ANNOTATION]
  return {
    commonName: deviceName(device),
    keyAlgorithm: managed?.keyAlgorithm ?? 'ECDSA-P256',
    duration,
    renewBefore: spreadRenewal(renewBefore, duration, device.metadata.uid ?? ''),
    overlap: parseDuration(managed?.overlap ?? '') ?? renewBefore,
    // What the status can hold.
    ...(rotation === undefined ? {} : { rotation: rotation.slice(0, 256) }),
  }
}

async function issue(wish: CertificateWish, ca: Pair, { tools, now }: DeviceScope): Promise<Pair> {
  const { commonName, keyAlgorithm, duration } = wish
  const serial = newSerial(tools.randomBytes)
  const made = await issueDeviceCertificate({ ca, commonName, keyAlgorithm, duration, now, serial })
  const pair = readPair(made, 'device certificate')
  noteIssued(pair, ca)
  return pair
}

/** Only of replacements: a first certificate is what everybody expects, and a fleet has thousands of them. */
const replacedEvent = (reason: IssueReason, { facts: { notAfter } }: Pair): EventText => ({
  type: 'Normal',
  reason: EVENT_REASONS.CertificateReplaced,
  action: 'Issue',
  note: `${reason}: a new certificate is valid until ${new Date(notAfter).toISOString()}`,
})
