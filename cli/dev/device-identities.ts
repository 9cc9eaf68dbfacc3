import { createHash } from 'node:crypto'
import { join } from 'node:path'
import type { UsedCertificate } from '../../contract/activity-digest.ts'
import { createVerifier, verifyPassword } from '../../contract/password-verifier.ts'
import { DEVICE_REASONS, type Device, ROTATE_ANNOTATION } from '../../crds/device.ts'
import { COMMON_REASONS } from '../../crds/meta.ts'
import { certificateSource, deviceName, isIssued } from '../../operator/compile/device-record.ts'
import type { Diagnostic } from '../../operator/compile/diagnostic.ts'
import { parseDuration } from '../../operator/compile/duration.ts'
import type { DeviceFacts } from '../../operator/compile/facts.ts'
import { type CertificateFacts, facts } from '../../operator/pki/facts.ts'
import type { Pair } from '../../operator/pki/pair.ts'
import { PkiError } from '../../operator/pki/pki-error.ts'
import type { SecretLookup } from '../manifests/secret-values.ts'
import type { CertificateFiles, Surroundings } from './certificate-files.ts'
import type { DataFolder } from './data-folder.ts'
import {
  endingOf,
  isDeviceRevoked,
  isRevoked,
  seenDevice,
  withPromoted,
  withReplaced,
  withRevoked,
  withRotationHandled,
  withUsed,
} from './device-identity.ts'
import { EnrolledDevices } from './enrolled-devices.ts'
import type { HubManifests } from './hub-manifests.ts'
import type { DeviceIdentity, Ending } from './identity-record.ts'

const PASSWORD_SALT_BYTES = 16
/** Of a device that says nothing about its certificate; the default of the field. */
const DEFAULT_DURATION = '8760h'

export interface EnsuredDevices {
  identities: Map<string, DeviceIdentity>
  /** By `metadata.name`. */
  facts: Map<string, DeviceFacts>
  diagnostics: Diagnostic[]
}

interface EnsuredDevice {
  identity: DeviceIdentity
  facts: DeviceFacts
  diagnostics: Diagnostic[]
}

/** Ids, certificates and password verifiers of the devices of any hub. */
export class DeviceIdentities {
  readonly #folder: DataFolder
  readonly #certificates: CertificateFiles
  readonly #enrolled: EnrolledDevices
  readonly #surroundings: Surroundings & { newId: () => string }
  /** SHA-256 of password and verifier of those found to fit: scrypt takes 30 ms each. */
  readonly #provenPasswords = new Set<string>()

  constructor(
    folder: DataFolder,
    certificates: CertificateFiles,
    surroundings: Surroundings & { newId: () => string },
  ) {
    this.#folder = folder
    this.#certificates = certificates
    this.#surroundings = surroundings
    this.#enrolled = new EnrolledDevices(folder, certificates, surroundings)
  }

  /** `known` are the identities so far; those of devices without a manifest are kept. */
  async ensure(
    manifests: HubManifests,
    authority: Pair | undefined,
    known: ReadonlyMap<string, DeviceIdentity>,
  ): Promise<EnsuredDevices> {
    const result: EnsuredDevices = { identities: new Map(known), facts: new Map(), diagnostics: [] }
    const used = this.#surroundings.usedCertificates?.(manifests.key) ?? new Map()
    for (const { object } of manifests.devices) {
      const { name } = object.metadata
      const context = { manifests, authority, known: known.get(name), used }
      const device = await this.#ensureDevice(object, context)
      result.identities.set(name, device.identity)
      result.facts.set(name, device.facts)
      result.diagnostics.push(...device.diagnostics)
    }
    return result
  }

  /** Decides about a certificate that a device asks for. */
  enrol: EnrolledDevices['enrol'] = (...args) => this.#enrolled.enrol(...args)

  async #ensureDevice(
    device: Device,
    { manifests, authority, known, used }: LookedAt,
  ): Promise<EnsuredDevice> {
    const now = this.#surroundings.now()
    const { newId } = this.#surroundings
    const seen = withUsed(seenDevice(known, device, { now, newId }), used)
    const certificate = await this.#certificate(device, seen, { manifests, authority, known })
    const password = await this.#password(device, certificate.identity, manifests)
    const { identity } = password
    return {
      identity,
      facts: {
        ...(certificate.facts && { certificate: certificate.facts }),
        ...(certificate.enrolment && { enrolment: certificate.enrolment }),
        ...(identity.passwordVerifier !== undefined && { passwordVerifier: identity.passwordVerifier }),
        revokedFingerprints: identity.revoked,
      },
      diagnostics: [...certificate.diagnostics, ...password.diagnostics],
    }
  }

  async #certificate(
    device: Device,
    seen: DeviceIdentity,
    { manifests, authority, known }: Omit<LookedAt, 'used'>,
  ): Promise<CertificateOutcome> {
    if (device.spec.certificate?.enrolled !== undefined) {
      const { identity, facts } = this.#enrolled.ensure(device, seen, manifests)
      return { identity, facts: facts.certificate, enrolment: facts.enrolment, diagnostics: [] }
    }
    const current = seen.enrolled === undefined ? seen : this.#enrolled.forget(device, seen, manifests.key)
    return authority !== undefined && isIssued(manifests.hub.object, device)
      ? await this.#issuedOrWhyNot(device, current, { manifests, authority, known })
      : this.#provided(device, current, manifests)
  }

  /** One device whose name no certificate can hold must not keep the others from being served. */
  async #issuedOrWhyNot(
    device: Device,
    seen: DeviceIdentity,
    context: DeviceContext,
  ): Promise<CertificateOutcome> {
    try {
      return await this.#issued(device, seen, context)
    } catch (error) {
      if (!(error instanceof PkiError)) throw error
      const { name } = device.metadata
      const reason = DEVICE_REASONS.CertificateInvalid
      const message = `no certificate can be issued: ${error.message}`
      const diagnostic: Diagnostic = { kind: 'Device', name, reason, message, excluded: false }
      return { identity: seen, facts: undefined, diagnostics: [diagnostic] }
    }
  }

  async #issued(
    device: Device,
    seen: DeviceIdentity,
    { manifests, authority }: DeviceContext,
  ): Promise<CertificateOutcome> {
    const base = join(manifests.key, 'devices', device.metadata.name, 'tls')
    if (isDeviceRevoked(device, seen)) {
      const found = this.#certificates.find(base)
      const identity = this.#revoked(seen, found === undefined ? [] : [endingOf(found)])
      return { identity, facts: undefined, diagnostics: [] }
    }
    const managed = device.spec.certificate?.managed
    const duration = parseDuration(managed?.duration ?? DEFAULT_DURATION) ?? 0
    const renewBefore = parseDuration(managed?.renewBefore ?? '') ?? duration / 3
    const rotation = device.metadata.annotations?.[ROTATE_ANNOTATION]
    const { current, previous } = await this.#certificates.device(base, authority, {
      commonName: deviceName(device),
      keyAlgorithm: managed?.keyAlgorithm ?? 'ECDSA-P256',
      duration,
      renewBefore,
      isRotationAsked:
        seen.isRotationAsked === true || (rotation !== undefined && rotation !== seen.handledRotation),
      isRevoked: (fingerprint) => isRevoked(seen, fingerprint),
    })
    const overlapUntil = this.#surroundings.now() + (parseDuration(managed?.overlap ?? '') ?? renewBefore)
    const handled = withRotationHandled(seen, rotation)
    const replaced = withPrevious(handled, { previous, current, overlapUntil })
    const source = certificateSource(manifests.hub.object, device)
    // As in the operator: where the chain counts, or several clients share a certificate, use proves nothing.
    const isShared = source === 'HubCA' || device.spec.allowMultipleConnections
    const identity = isShared ? replaced : withPromoted(replaced, current.facts.fingerprint)
    return {
      identity,
      facts: {
        source,
        fingerprints: [current.facts.fingerprint, ...identity.retiring.map(({ fingerprint }) => fingerprint)],
        notAfter: endingOf(current).until,
      },
      diagnostics: [],
    }
  }

  #provided(device: Device, seen: DeviceIdentity, { secrets }: HubManifests): CertificateOutcome {
    const found = providedFacts(device, secrets)
    if (found === undefined) {
      const identity = isDeviceRevoked(device, seen) ? this.#revoked(seen, []) : seen
      return { identity, facts: undefined, diagnostics: [] }
    }
    if ('message' in found) {
      const { name } = device.metadata
      const reason = found.isMissing ? COMMON_REASONS.SecretNotFound : DEVICE_REASONS.CertificateInvalid
      const diagnostic: Diagnostic = { kind: 'Device', name, reason, message: found.message, excluded: false }
      return { identity: seen, facts: undefined, diagnostics: [diagnostic] }
    }
    const ending = endingOf({ facts: found })
    return {
      identity: isDeviceRevoked(device, seen) ? this.#revoked(seen, [ending]) : seen,
      facts: { source: 'Provided', fingerprints: [found.fingerprint], notAfter: ending.until },
      diagnostics: [],
    }
  }

  #revoked(seen: DeviceIdentity, current: readonly Ending[]): DeviceIdentity {
    return withRevoked(seen, current, this.#surroundings.now())
  }

  async #password(
    device: Device,
    identity: DeviceIdentity,
    { key, secrets }: HubManifests,
  ): Promise<{ identity: DeviceIdentity; diagnostics: Diagnostic[] }> {
    const { passwordVerifier: known, ...rest } = identity
    const { passwordSecretRef: ref } = device.spec
    const file = join(key, 'devices', device.metadata.name, 'password')
    const password = ref === undefined ? undefined : secrets(ref.name, ref.key)
    if (password === undefined || password.length === 0) {
      this.#folder.remove(file)
      return { identity: rest, diagnostics: [] }
    }
    // So that the printed commands can read it instead of showing it.
    if (this.#folder.read(file) !== password.toString()) this.#folder.write(file, password)
    const passwordVerifier =
      known !== undefined && (await this.#isProven(known, password))
        ? known
        : await createVerifier(password, Buffer.from(this.#surroundings.random(PASSWORD_SALT_BYTES)))
    return { identity: { ...rest, passwordVerifier }, diagnostics: [] }
  }

  async #isProven(verifier: string, password: Buffer): Promise<boolean> {
    const digest = createHash('sha256').update(verifier).update(password).digest('hex')
    if (this.#provenPasswords.has(digest)) return true
    if (!(await verifyPassword(verifier, password))) return false
    this.#provenPasswords.add(digest)
    return true
  }
}

/** Unless the one before names another device. */
function withPrevious(
  identity: DeviceIdentity,
  { previous, current, overlapUntil }: { previous: Pair | undefined; current: Pair; overlapUntil: number },
): DeviceIdentity {
  return previous?.facts.commonName === current.facts.commonName
    ? withReplaced(identity, endingOf(previous), overlapUntil)
    : identity
}

interface LookedAt {
  manifests: HubManifests
  authority: Pair | undefined
  known: DeviceIdentity | undefined
  /** By device id. */
  used: ReadonlyMap<string, UsedCertificate>
}

interface DeviceContext {
  manifests: HubManifests
  authority: Pair
  known: DeviceIdentity | undefined
}

interface CertificateOutcome {
  identity: DeviceIdentity
  facts: DeviceFacts['certificate'] | undefined
  enrolment?: DeviceFacts['enrolment']
  diagnostics: Diagnostic[]
}

/** Undefined: the device has no certificate of its own in the manifests. */
function providedFacts(
  device: Device,
  secrets: SecretLookup,
): CertificateFacts | { message: string; isMissing: boolean } | undefined {
  const provided = device.spec.certificate?.provided
  if (provided === undefined) return undefined
  const { secretRef, pem } = provided
  const text = secretRef === undefined ? pem : secrets(secretRef.name, secretRef.key)?.toString()
  if (text === undefined)
    return { message: `key ${secretRef?.key} of Secret ${secretRef?.name} is not there`, isMissing: true }
  const field = secretRef === undefined ? 'pem' : `secretRef[${secretRef.key}]`
  try {
    return facts(text, `spec.certificate.provided.${field}`)
  } catch (error) {
    if (!(error instanceof PkiError)) throw error
    return { message: error.message, isMissing: false }
  }
}
