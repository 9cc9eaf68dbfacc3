/** The step of a device's reconcile for its certificate: issued, taken over, or none of ours. */
import { DEVICE_REASONS } from '../../crds/device.ts'
import type { DeviceStatus } from '../../crds/device-status.ts'
import { COMMON_REASONS } from '../../crds/meta.ts'
import type { Secret } from '../api/resources.ts'
import { deviceSecret, deviceSecretName } from '../build/credentials.ts'
import { certificateSource, deviceName, isIssued } from '../compile/device-record.ts'
import { parseDuration } from '../compile/duration.ts'
import { hubDeviceCaSecret, hubServerTlsSecret } from '../compile/names.ts'
import { issueDeviceCertificate } from '../pki/issue.ts'
import { type Pair, readPair } from '../pki/pair.ts'
import { PkiError } from '../pki/pki-error.ts'
import { newSerial } from '../pki/profile.ts'
import type { EventText } from '../runtime/events.ts'
import { objectKey } from '../runtime/resource.ts'
import { secretText } from '../watch/secret-reader.ts'
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
  withRevoked,
} from './certificate-state.ts'
import type { DeviceScope } from './device-part.ts'
import { providedCertificate } from './device-provided-certificate.ts'
import { EVENT_REASONS } from './event-reasons.ts'
import { asKept } from './hub-part.ts'
import { findOwnedSecret, knownOwnedSecret } from './owned-secret.ts'
import { isFromCa, noteIssued, pairOf } from './pairs.ts'
import { type Problem, ROTATE_ANNOTATION, stalledBy, waitsFor } from './tools.ts'

/** The annotation of a certificate Secret with the rotation that it was made by. */
const ROTATION_ANNOTATION = 'iot.hublet.dev/rotation'
/** Of a device that says nothing about its certificate; the default of the field. */
const DEFAULT_DURATION = '8760h'

export async function deviceCertificate(scope: DeviceScope): Promise<CertificatePart> {
  const { device, hub, now } = scope
  const source = certificateSource(hub, device)
  const state = stateFor(source, scope.tools.computed.statusOf(device), now)
  if (isIssued(hub, device)) return await issued(scope, source, state)
  if (source === 'Provided') return await providedCertificate(scope, state)
  const known = device.spec.revoked ? withRevoked(state, undefined, now) : state
  return partOf({ source, state: known, now })
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

interface Authorities {
  ca: Pair
  /** What the device checks the hub with. */
  serverCaPem: string
}

/** Both are put in place by the reconcile of the hub. */
async function authorities(scope: DeviceScope): Promise<Authorities | { problem: Problem }> {
  const { tools, hub, signal } = scope
  const { name, namespace } = hub.metadata
  const { secretRef } = scope.trust.deviceCA
  const secret =
    secretRef === undefined
      ? knownOwnedSecret(tools.world, hub, hubDeviceCaSecret(name))
      : await tools.secrets.read(objectKey(namespace, secretRef.name), signal)
  const ca = secret && pairOf(secret)
  const server = knownOwnedSecret(tools.world, hub, hubServerTlsSecret(name))
  const serverCaPem = server && secretText(server, 'ca.crt')
  if (ca === undefined || ca === 'unreadable' || serverCaPem === undefined)
    return {
      problem: waitsFor(COMMON_REASONS.HubNotReady, `the certificates of Hub ${name} are not in place yet`),
    }
  return { ca, serverCaPem }
}

async function issuedBy(
  { ca, serverCaPem }: Authorities,
  scope: DeviceScope,
  { source, state, secret }: { source: Source; state: CertificateState; secret: Secret | undefined },
): Promise<CertificatePart> {
  const { device, now } = scope
  const wish = wishOf(scope)
  const { pair, found } = secret === undefined ? {} : foundIn(secret, ca)
  const reason = issueReason({ wish, found, state, caNotAfter: ca.facts.notAfter, now })
  const current = reason === undefined && pair !== undefined ? pair : await issue(wish, ca, scope)
  const rotation = secret?.metadata.annotations?.[ROTATION_ANNOTATION]
  // Whatever a certificate is issued for, it is one newer than the rotation that was asked for.
  const handledRotation = wish.rotation ?? rotation ?? state.handledRotation
  // On a hub with a CA of the user's the chain counts, so a replaced certificate is good until it ends.
  const overlap = source === 'HubCA' ? undefined : wish.renewBefore
  const next = withCurrent(state, current.facts, { now, overlap })
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
    desired: [{ ...desired, known: secret ?? ('absent' as const) }],
    events: reason === undefined || reason === 'Missing' ? [] : [replacedEvent(reason, current)],
  }
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
