/** The step of a device's reconcile for a certificate that it asks for itself (EST): the token, and what is asked. */
import { DEVICE_REASONS, ROTATE_ANNOTATION } from '../../crds/device.ts'
import type { Secret } from '../api/resources.ts'
import { ENROLMENT_EXPIRES_ANNOTATION, enrolmentSecret } from '../build/credentials.ts'
import { deviceName } from '../compile/device-record.ts'
import { parseDuration } from '../compile/duration.ts'
import { deviceEnrolmentSecret } from '../compile/names.ts'
import { enrolmentRefusal, issueEnrolment, newToken, sha256, tokenStep } from '../pki/enrolment.ts'
import { facts } from '../pki/facts.ts'
import { PkiError } from '../pki/pki-error.ts'
import { secretText } from '../watch/secret-reader.ts'
import { type CertificatePart, partOf, type Source } from './certificate-part.ts'
import { type CertificateState, withCurrent, withPromoted, withRevoked } from './certificate-state.ts'
import { type Authorities, authorities } from './device-authorities.ts'
import type { DeviceScope } from './device-part.ts'
import type { Enrolment } from './enrolments.ts'
import { asKept } from './hub-part.ts'
import { findOwnedSecret } from './owned-secret.ts'
import { ROTATION_ANNOTATION, stalledBy } from './tools.ts'

interface Token {
  /** SHA-256, hex; undefined: there is none that can be used. */
  sha256?: string
  part: Pick<CertificatePart, 'desired' | 'kept'>
  dueAt: number[]
}

export async function enrolledCertificate(
  scope: DeviceScope,
  source: Source,
  state: CertificateState,
): Promise<CertificatePart> {
  const { tools, device, now, signal } = scope
  const waiting = tools.enrolments.waiting(device)
  if (device.spec.revoked || source === 'None') {
    for (const one of waiting)
      one.outcome = { refusal: 'NOT_ENROLLABLE', detail: 'the device cannot have a certificate' }
    return partOf({ source, state: device.spec.revoked ? withRevoked(state, undefined, now) : state, now })
  }
  const own = await findOwnedSecret(tools, device, deviceEnrolmentSecret(device.metadata.name), signal)
  if (own.problem !== undefined) return { ...partOf({ source, state, now }), problems: [own.problem] }
  const kept = own.secret === undefined ? [] : [asKept(own.secret)]
  const ready = await authorities(scope)
  if ('problem' in ready) return { ...partOf({ source, state, now }), kept, problems: [ready.problem] }
  try {
    const token = tokenFor(scope, state, own.secret, ready.serverCaPem)
    const next = await decideAll(scope, waiting, { source, state, token, ready })
    return { ...partOf({ source, state: next, now, dueAt: token.dueAt }), ...token.part }
  } catch (error) {
    if (!(error instanceof PkiError)) throw error
    const problem = stalledBy(
      DEVICE_REASONS.CertificateInvalid,
      `no certificate can be issued: ${error.message}`,
    )
    return { ...partOf({ source, state, now }), kept, problems: [problem] }
  }
}

function tokenFor(
  scope: DeviceScope,
  state: CertificateState,
  secret: Secret | undefined,
  serverCaPem: string,
): Token {
  const { tools, device, now } = scope
  const rotation = rotationOf(scope)
  const known = secret && knownToken(secret)
  const step = tokenStep({
    hasCertificate: state.current !== undefined,
    rotation,
    handledRotation: state.handledRotation ?? '',
    known,
    now,
  })
  if (step === 'None') return NO_TOKEN
  if (step !== 'Make' && known !== undefined) {
    const part = { desired: [], kept: [asKept(known.secret)] }
    return step === 'Expired'
      ? { part, dueAt: [] }
      : { sha256: sha256(known.token), part, dueAt: [known.until] }
  }
  const token = newToken(tools.randomBytes)
  const ends = now + (parseDuration(device.spec.certificate?.enrolled?.tokenTTL ?? '') ?? 0)
  const object = enrolmentSecret(device, { token, serverCaPem, ends, rotation })
  const desired = [{ ...object, known: secret ?? ('absent' as const) }]
  return { sha256: sha256(token), part: { desired, kept: [] }, dueAt: [ends] }
}

const NO_TOKEN: Token = { part: { desired: [], kept: [] }, dueAt: [] }

/** What the status can hold; empty: nobody has asked for one. */
const rotationOf = ({ device }: DeviceScope): string =>
  (device.metadata.annotations?.[ROTATE_ANNOTATION] ?? '').slice(0, 256)

/** Undefined: edited by somebody, so that it is made anew. */
function knownToken(secret: Secret) {
  const { annotations = {} } = secret.metadata
  const until = Date.parse(annotations[ENROLMENT_EXPIRES_ANNOTATION] ?? '')
  const token = secretText(secret, 'token')
  if (!token || Number.isNaN(until)) return undefined
  return { secret, token, until, rotation: annotations[ROTATION_ANNOTATION] ?? '' }
}

interface Deciding {
  source: Source
  state: CertificateState
  token: Token
  ready: Authorities
}

/** One after another: of two requests with one token the first wins. */
async function decideAll(
  scope: DeviceScope,
  waiting: readonly Enrolment[],
  { source, state, token, ready }: Deciding,
): Promise<CertificateState> {
  const isShared = source === 'HubCA' || scope.device.spec.allowMultipleConnections
  let next = withPromoted(state, { isShared })
  for (const one of waiting) {
    const good = [...(next.current ? [next.current] : []), ...next.retiring]
    // Where the chain counts, any certificate of the CA may be the device's.
    const accepted = source === 'HubCA' ? 'Chain' : good.map(({ fingerprint }) => fingerprint)
    const issued =
      enrolmentRefusal(one.request, { accepted, token: token.sha256, used: next.enrolment }) ??
      (await issueEnrolment(one.request, issueOf(scope, ready)))
    one.outcome = issued
    if (!('certificate' in issued)) continue
    const made = facts(issued.certificate)
    one.fingerprint = made.fingerprint
    next = stateAfter(scope, next, { one, made, source })
  }
  return next
}

function stateAfter(
  scope: DeviceScope,
  state: CertificateState,
  { one, made, source }: { one: Enrolment; made: ReturnType<typeof facts>; source: Source },
): CertificateState {
  const { device, now } = scope
  const wish = parseDuration(device.spec.certificate?.enrolled?.overlap ?? '')
  // On a hub with a CA of the user's the chain counts, so a replaced certificate is good until it ends.
  const overlap = source === 'HubCA' ? undefined : wish
  const { tokenSha256 } = one.request
  const rotation = rotationOf(scope)
  return {
    ...withCurrent(state, made, { now, overlap }),
    ...(tokenSha256 === undefined ? {} : { enrolment: { token: tokenSha256, request: one.digest } }),
    ...(rotation === '' ? {} : { handledRotation: rotation }),
  }
}

function issueOf({ tools, device, now }: DeviceScope, { ca }: Authorities) {
  const duration = parseDuration(device.spec.certificate?.enrolled?.duration ?? '') ?? 0
  return { ca, commonName: deviceName(device), duration, now, random: tools.randomBytes }
}
