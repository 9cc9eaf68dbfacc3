import { randomUUID } from 'node:crypto'
import { join } from 'node:path'
import type { EnrolmentAnswer, EnrolmentRequest } from '../../contract/asks.ts'
import type { ServerCredentials } from '../../contract/hub-state.ts'
import type { Device } from '../../crds/device.ts'
import { HUB_REASONS, type Hub } from '../../crds/hub.ts'
import { isPending } from '../../operator/compile/device-record.ts'
import type { Diagnostic } from '../../operator/compile/diagnostic.ts'
import { type HubFacts, objectKey } from '../../operator/compile/facts.ts'
import { type DatedRevocationList, forBrokers, staleText } from '../../operator/compile/revocation.ts'
import { PkiError } from '../../operator/pki/pki-error.ts'
import { namespaceOf } from '../manifests/manifest-set.ts'
import type { RawManifest } from '../manifests/parse-manifests.ts'
import type { Problem } from '../manifests/problem.ts'
import { type DeviceAuthority, hubAuthority, hubServer, type ServerNames } from './authorities.ts'
import { CertificateFiles, type Surroundings } from './certificate-files.ts'
import type { DataFolder } from './data-folder.ts'
import type { Decided, DeviceChange } from './device-calls.ts'
import { DeviceIdentities } from './device-identities.ts'
import { isDeviceRevoked } from './device-identity.ts'
import type { HubManifests } from './hub-manifests.ts'
import {
  type DeviceIdentity,
  formatIdentityRecord,
  type HubIdentityRecord,
  parseIdentityRecord,
} from './identity-record.ts'
import { NetworkTokens } from './network-tokens.ts'
import { objectUid } from './uuid.ts'

/** Everything about one hub that is not in the manifests. */
export interface HubIdentity {
  facts: HubFacts
  /** The devices with the time at which they were first seen, which decides who is older. */
  devices: Device[]
  server: ServerCredentials
  /** What was found odd about single objects: they are served less, or not at all. */
  diagnostics: Diagnostic[]
}

/** A fault of the hub itself: nothing can be served before it is put right. */
export type IdentityResult = { valid: true; identity: HubIdentity } | { valid: false; problems: Problem[] }

/**
 * Makes and keeps what a cluster would hold in Secrets: authorities, certificates, ids, tokens. Made once, kept
 * over restarts, renewed in time. Files are 0600 below a folder of 0700.
 */
export class IdentityStore {
  readonly #folder: DataFolder
  readonly #surroundings: Surroundings
  readonly #names: ServerNames
  readonly #certificates: CertificateFiles
  readonly #devices: DeviceIdentities
  readonly #tokens: NetworkTokens
  readonly #records = new Map<string, { record: HubIdentityRecord; text: string }>()

  constructor(folder: DataFolder, surroundings: Surroundings, names: ServerNames) {
    this.#folder = folder
    this.#surroundings = surroundings
    this.#names = names
    this.#certificates = new CertificateFiles(folder, surroundings)
    this.#devices = new DeviceIdentities(folder, this.#certificates, { ...surroundings, newId: randomUUID })
    this.#tokens = new NetworkTokens(folder, surroundings)
  }

  /**
   * Brings the identities of a hub in line with its manifests, which is idempotent.
   * @throws DataFolderError when the data folder cannot be read or written.
   */
  async ensure(manifests: HubManifests): Promise<IdentityResult> {
    const { hub, key } = manifests
    try {
      const authority = await this.#authority(manifests)
      const server = await hubServer(manifests, this.#certificates, this.#names)
      const caFile = join(key, 'ca.crt')
      if (this.#folder.read(caFile) !== server.caPem)
        this.#folder.write(caFile, server.caPem, { isPublic: true })
      return { valid: true, identity: await this.#identity(manifests, authority, server.credentials) }
    } catch (error) {
      if (!(error instanceof PkiError)) throw error
      return { valid: false, problems: [problemOf(error, hub.source)] }
    }
  }

  /**
   * Takes note of what somebody asks for a device that is known; the next `ensure` does it.
   * @param name `metadata.name`
   */
  change(key: string, name: string, change: DeviceChange): void {
    const { record, text } = this.#record(key)
    const known = record.devices[name]
    if (known === undefined) return
    const next = change === 'rotate' ? { isRotationAsked: true } : { isRevoked: change === 'revoke' }
    const devices = { ...record.devices, [name]: { ...known, ...next } }
    this.#keepRecord(key, text, { ...record, devices })
  }

  /** Decides about a certificate that a device asks for; the next `ensure` brings what is issued into force. */
  async enrol(manifests: HubManifests, request: EnrolmentRequest): Promise<Decided<EnrolmentAnswer>> {
    const { key, hub, devices } = manifests
    const { record, text } = this.#record(key)
    const known = devices.map(({ object }) => ({ object, identity: record.devices[object.metadata.name] }))
    const found = known.find(({ identity }) => identity?.id === request.deviceId)
    const { issuer } = await this.#authority(manifests)
    if (
      found?.identity === undefined ||
      issuer === undefined ||
      !isEnrollable(found.object, found.identity)
    ) {
      const detail = `expected a Device of hub ${hub.object.metadata.name} with certificate.enrolled`
      return { answer: { refusal: 'NOT_ENROLLABLE', detail }, isChanged: false }
    }
    const { object, identity } = found
    const decided = await this.#devices.enrol(object, identity, { manifests, ca: issuer, request })
    if (decided.identity === undefined) return { answer: decided.answer, isChanged: false }
    const next = { ...record.devices, [object.metadata.name]: decided.identity }
    this.#keepRecord(key, text, { ...record, devices: next })
    return { answer: decided.answer, isChanged: true }
  }

  async #authority(manifests: HubManifests): Promise<DeviceAuthority> {
    const before = this.#record(manifests.key).record.deviceCAs
    const certificates = this.#certificates
    return await hubAuthority({ manifests, certificates, before, now: this.#surroundings.now() })
  }

  async #identity(
    manifests: HubManifests,
    authority: DeviceAuthority,
    server: ServerCredentials,
  ): Promise<HubIdentity> {
    const { hub, key, devices, networks, routes } = manifests
    const { record, text } = this.#record(key)
    const now = this.#surroundings.now()
    const ensured = await this.#devices.ensure(
      manifests,
      authority.issuer,
      new Map(Object.entries(record.devices)),
    )
    const tokens = this.#tokens.ensure(manifests, new Map(Object.entries(record.networks)))
    this.#keepRecord(key, text, {
      version: 1,
      devices: Object.fromEntries(ensured.identities),
      networks: Object.fromEntries(tokens.identities),
      ...(authority.cas === undefined ? {} : { deviceCAs: authority.cas }),
    })

    const namespace = namespaceOf(hub.object.metadata)
    const uids = new Map(
      [hub, ...networks, ...routes].map(({ object: { kind, metadata } }) => [
        objectKey(kind, metadata.name),
        objectUid(namespace, kind, metadata.name),
      ]),
    )
    for (const { object } of devices) {
      const { name } = object.metadata
      const id = ensured.identities.get(name)?.id
      if (id !== undefined) uids.set(objectKey('Device', name), id)
    }
    return {
      facts: {
        now,
        uids,
        deviceCACertificates: authority.caCertificates,
        revocationLists: authority.lists.map(forBrokers),
        devices: ensured.facts,
        networks: tokens.facts,
      },
      devices: devices.map(({ object }) => ({
        ...object,
        spec: {
          ...object.spec,
          revoked: isDeviceRevoked(object, ensured.identities.get(object.metadata.name)),
        },
        metadata: {
          ...object.metadata,
          creationTimestamp: ensured.identities.get(object.metadata.name)?.firstSeen ?? '',
        },
      })),
      server,
      diagnostics: [
        ...staleLists(hub.object, authority.lists, now),
        ...ensured.diagnostics,
        ...tokens.diagnostics,
      ],
    }
  }

  #record(key: string): { record: HubIdentityRecord; text: string } {
    const known = this.#records.get(key)
    if (known !== undefined) return known
    const text = this.#folder.read(join(key, 'identity.json'))
    const record = parseIdentityRecord(text, this.#folder.file(key, 'identity.json'))
    return { record, text: text ?? '' }
  }

  #keepRecord(key: string, previous: string, record: HubIdentityRecord): void {
    const text = formatIdentityRecord(record)
    if (text !== previous) this.#folder.write(join(key, 'identity.json'), text, { isDurable: true })
    this.#records.set(key, { record, text })
  }
}

const isEnrollable = (device: Device, identity: DeviceIdentity): boolean =>
  device.spec.certificate?.enrolled !== undefined &&
  device.spec.enabled &&
  !isPending(device) &&
  !isDeviceRevoked(device, identity)

function staleLists({ metadata, spec }: Hub, lists: DatedRevocationList[], now: number): Diagnostic[] {
  const text = staleText(lists, spec.deviceCA.crl?.whenStale ?? 'Accept', now)
  if (text === undefined) return []
  const message = `spec.deviceCA.crl: ${text}`
  return [{ kind: 'Hub', name: metadata.name, reason: HUB_REASONS.CRLStale, message, excluded: false }]
}

/** `spec.serverTLS.secretRef[tls.key]` lies in a Secret: the line shown is that of the reference to it. */
function problemOf({ field, fault }: PkiError, source: RawManifest): Problem {
  const [reference = ''] = field.split('[', 1)
  const error = { field, expected: `expected ${fault.expected}`, got: fault.got }
  return { file: source.file, line: source.lineOf(reference), error }
}
