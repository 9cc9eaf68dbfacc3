/** A certificate of the user's own, matched by its fingerprint. */
import { DEVICE_REASONS } from '../../crds/device.ts'
import { COMMON_REASONS } from '../../crds/meta.ts'
import { type CertificateFacts, facts } from '../pki/facts.ts'
import { PkiError } from '../pki/pki-error.ts'
import { objectKey } from '../runtime/resource.ts'
import { secretText } from '../watch/secret-reader.ts'
import { type CertificatePart, partOf } from './certificate-part.ts'
import { type CertificateState, isRevoked, withCurrent, withRevoked } from './certificate-state.ts'
import type { DeviceScope } from './device-part.ts'
import { revokedCertificates } from './revoked-certificates.ts'
import { type Problem, stalledBy, waitsFor } from './tools.ts'

export async function providedCertificate(
  scope: DeviceScope,
  state: CertificateState,
): Promise<CertificatePart> {
  const { device, now } = scope
  const source = 'Provided'
  const found = await providedFacts(scope)
  if ('problem' in found) {
    const known = device.spec.revoked ? withRevoked(state, undefined, now) : state
    return { ...partOf({ source, state: known, now }), problems: [found.problem] }
  }
  // Another certificate in the spec takes the place of the one before at once: that is what the user asks for.
  const { current: _, ...rest } = state
  const { fingerprint, notAfter } = found.facts
  const next = device.spec.revoked
    ? withRevoked(state, { fingerprint, notAfter }, now)
    : withCurrent({ ...rest, retiring: [] }, { fingerprint, notAfter }, { now, overlap: 0 })
  const part = partOf({ source, state: next, now, dueAt: [found.facts.notAfter] })
  const ofBefore = revokedCertificates(scope.tools.world, scope.hub, now)
  const isRefused = isRevoked(state, fingerprint) || ofBefore.some((one) => one.fingerprint === fingerprint)
  if (device.spec.revoked || !isRefused) return part
  const message = 'spec.certificate.provided: expected another certificate than the one that was revoked'
  return { ...part, problems: [stalledBy(DEVICE_REASONS.CertificateInvalid, message)] }
}

async function providedFacts({
  tools,
  device,
  signal,
}: DeviceScope): Promise<{ facts: CertificateFacts } | { problem: Problem }> {
  const { secretRef, pem } = device.spec.certificate?.provided ?? {}
  const field = `spec.certificate.provided.${secretRef === undefined ? 'pem' : `secretRef[${secretRef.key}]`}`
  let text = pem
  if (secretRef !== undefined) {
    const secret = await tools.secrets.read(objectKey(device.metadata.namespace, secretRef.name), signal)
    text = secret && secretText(secret, secretRef.key)
    if (text === undefined) {
      const message = `${field}: key ${secretRef.key} of Secret ${secretRef.name} is not there`
      return { problem: waitsFor(COMMON_REASONS.SecretNotFound, message) }
    }
  }
  try {
    return { facts: facts(text ?? '', field) }
  } catch (error) {
    if (!(error instanceof PkiError)) throw error
    return { problem: stalledBy(DEVICE_REASONS.CertificateInvalid, error.message) }
  }
}
