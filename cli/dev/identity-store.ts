import { randomUUID } from 'node:crypto'
import { join } from 'node:path'
import type { ServerCredentials } from '../../contract/hub-state.ts'
import type { Device } from '../../crds/device.ts'
import type { Diagnostic } from '../../operator/compile/diagnostic.ts'
import { type HubFacts, objectKey } from '../../operator/compile/facts.ts'
import { PkiError } from '../../operator/pki/pki-error.ts'
import { namespaceOf } from '../manifests/manifest-set.ts'
import type { RawManifest } from '../manifests/parse-manifests.ts'
import type { Problem } from '../manifests/problem.ts'
import { type DeviceAuthority, hubAuthority, hubServer, type ServerNames } from './authorities.ts'
import { CertificateFiles, type Surroundings } from './certificate-files.ts'
import type { DataFolder } from './data-folder.ts'
import { DeviceIdentities } from './device-identities.ts'
import type { HubManifests } from './hub-manifests.ts'
import { formatIdentityRecord, type HubIdentityRecord, parseIdentityRecord } from './identity-record.ts'
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
      const authority = await hubAuthority(manifests, this.#certificates, this.#surroundings.now())
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
        devices: ensured.facts,
        networks: tokens.facts,
      },
      devices: devices.map(({ object }) => ({
        ...object,
        metadata: {
          ...object.metadata,
          creationTimestamp: ensured.identities.get(object.metadata.name)?.firstSeen ?? '',
        },
      })),
      server,
      diagnostics: [...ensured.diagnostics, ...tokens.diagnostics],
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

/** `spec.serverTLS.secretRef[tls.key]` lies in a Secret: the line shown is that of the reference to it. */
function problemOf({ field, fault }: PkiError, source: RawManifest): Problem {
  const [reference = ''] = field.split('[', 1)
  const error = { field, expected: `expected ${fault.expected}`, got: fault.got }
  return { file: source.file, line: source.lineOf(reference), error }
}
