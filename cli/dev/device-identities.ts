import { createHash } from 'node:crypto'
import { join } from 'node:path'
import { createVerifier, verifyPassword } from '../../contract/password-verifier.ts'
import { DEVICE_REASONS, type Device } from '../../crds/device.ts'
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
import { endingOf, isRevoked, seenDevice, withReplaced, withRevoked } from './device-identity.ts'
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
  }

  /** `known` are the identities so far; those of devices without a manifest are kept. */
  async ensure(
    manifests: HubManifests,
    authority: Pair | undefined,
    known: ReadonlyMap<string, DeviceIdentity>,
  ): Promise<EnsuredDevices> {
    const result: EnsuredDevices = { identities: new Map(known), facts: new Map(), diagnostics: [] }
    for (const { object } of manifests.devices) {
      const { name } = object.metadata
      const device = await this.#ensureDevice(object, { manifests, authority, known: known.get(name) })
      result.identities.set(name, device.identity)
      result.facts.set(name, device.facts)
      result.diagnostics.push(...device.diagnostics)
    }
    return result
  }

  async #ensureDevice(
    device: Device,
    { manifests, authority, known }: Omit<DeviceContext, 'authority'> & { authority: Pair | undefined },
  ): Promise<EnsuredDevice> {
    const now = this.#surroundings.now()
    const seen = seenDevice(known, device, { now, newId: this.#surroundings.newId })
    const certificate =
      authority !== undefined && isIssued(manifests.hub.object, device)
        ? await this.#issuedOrWhyNot(device, seen, { manifests, authority, known })
        : this.#provided(device, seen, manifests)
    const password = await this.#password(device, certificate.identity, manifests)
    const { identity } = password
    return {
      identity,
      facts: {
        ...(certificate.facts && { certificate: certificate.facts }),
        ...(identity.passwordVerifier !== undefined && { passwordVerifier: identity.passwordVerifier }),
        revokedFingerprints: identity.revoked,
      },
      diagnostics: [...certificate.diagnostics, ...password.diagnostics],
    }
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
    if (device.spec.revoked) {
      const found = this.#certificates.find(base)
      const identity = this.#revoked(seen, found === undefined ? [] : [endingOf(found)])
      return { identity, facts: undefined, diagnostics: [] }
    }
    const managed = device.spec.certificate?.managed
    const duration = parseDuration(managed?.duration ?? DEFAULT_DURATION) ?? 0
    const { current, previous } = await this.#certificates.device(base, authority, {
      commonName: deviceName(device),
      keyAlgorithm: managed?.keyAlgorithm ?? 'ECDSA-P256',
      duration,
      renewBefore: parseDuration(managed?.renewBefore ?? '') ?? duration / 3,
      isRevoked: (fingerprint) => isRevoked(seen, fingerprint),
    })
    const identity = previous === undefined ? seen : withReplaced(seen, previous, current)
    return {
      identity,
      facts: {
        source: certificateSource(manifests.hub.object, device),
        fingerprints: [current.facts.fingerprint, ...identity.retiring.map(({ fingerprint }) => fingerprint)],
        notAfter: endingOf(current).until,
      },
      diagnostics: [],
    }
  }

  #provided(device: Device, seen: DeviceIdentity, { secrets }: HubManifests): CertificateOutcome {
    const found = providedFacts(device, secrets)
    if (found === undefined) {
      const identity = device.spec.revoked ? this.#revoked(seen, []) : seen
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
      identity: device.spec.revoked ? this.#revoked(seen, [ending]) : seen,
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

interface DeviceContext {
  manifests: HubManifests
  authority: Pair
  known: DeviceIdentity | undefined
}

interface CertificateOutcome {
  identity: DeviceIdentity
  facts: DeviceFacts['certificate'] | undefined
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
