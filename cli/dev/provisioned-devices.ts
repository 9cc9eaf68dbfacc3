import { join } from 'node:path'
import { parseDocument, stringify } from 'yaml'
import type { ProvisioningAnswer, ProvisioningRequest } from '../../contract/provisioning.ts'
import type { Device } from '../../crds/device.ts'
import { deviceName } from '../../operator/compile/device-record.ts'
import { pendingUntil, provisionedDevice } from '../../operator/compile/provisioned-device.ts'
import {
  buildManifestSet,
  type LoadedManifest,
  type ManifestSet,
  manifestKey,
  namespaceOf,
  ofKind,
} from '../manifests/manifest-set.ts'
import { parseManifests } from '../manifests/parse-manifests.ts'
import type { DataFolder } from './data-folder.ts'
import { type HubManifests, hubKey, hubsOf } from './hub-manifests.ts'

/**
 * Devices that made themselves known, a manifest each below `<hub>/provisioned` in the data folder. They are to
 * be moved to the user's own manifests in time (`hublet export` shows them); what stands there wins.
 */
export class ProvisionedDevices {
  readonly #folder: DataFolder
  readonly #byHub = new Map<string, HubDevices>()

  constructor(folder: DataFolder) {
    this.#folder = folder
  }

  /** The set with the devices of its hubs that stand in the data folder only. */
  addTo(set: ManifestSet): ManifestSet {
    const complete = new Map(set)
    for (const { key } of hubsOf(set)) {
      const declared = namesOf(set, key)
      for (const manifest of this.#of(key).manifests) {
        const { kind, metadata } = manifest.object
        const place = manifestKey(kind, namespaceOf(metadata), metadata.name)
        if (!complete.has(place) && !declared.has(nameOf(manifest))) complete.set(place, manifest)
      }
    }
    return complete
  }

  /**
   * Writes the manifest of a device that was met, so that it is there after a crash too.
   * @param declared what the user declared of the hub, the devices of this class left out
   * @throws DataFolderError, or what the file system says.
   */
  add(declared: HubManifests, request: ProvisioningRequest): ProvisioningAnswer {
    const { hub, key, devices } = declared
    const { manifests, names } = this.#of(key)
    if (names.has(request.commonName)) return 'Existed'
    if (devices.some(({ object }) => deviceName(object) === request.commonName)) return 'Existed'
    if (devices.length + manifests.length >= hub.object.spec.limits.devices) return 'QuotaReached'
    const manifest = provisionedDevice(hub.object, request)
    const file = fileOf(key, manifest.metadata.name)
    const text = stringify(manifest)
    const loaded = load(this.#folder.file(file), text)
    if (loaded === undefined) return 'Failed'
    this.#folder.write(file, text, { isDurable: true })
    manifests.push(loaded)
    names.add(request.commonName)
    return 'Created'
  }

  /**
   * Lets a device in that waits for it.
   * @param name `metadata.name`
   * @throws DataFolderError, or what the file system says.
   */
  approve(key: string, name: string): void {
    const { manifests } = this.#of(key)
    const index = manifests.findIndex(({ object }) => object.metadata.name === name)
    const file = fileOf(key, name)
    // Edited in its place: somebody may have added something by hand.
    const document = parseDocument(this.#folder.read(file) ?? '')
    document.setIn(['spec', 'approved'], true)
    const loaded = load(this.#folder.file(file), String(document))
    if (index < 0 || loaded === undefined) throw new Error(`${file}: expected a Device, got none`)
    this.#folder.write(file, String(document), { isDurable: true })
    manifests[index] = loaded
  }

  /**
   * Lets go of devices that nobody has approved in time.
   * @param hubs as the user declared them
   * @param now ms since the epoch
   */
  expire(hubs: readonly HubManifests[], now: number): Array<{ hub: string; device: string }> {
    return hubs.flatMap(({ hub, key }) => {
      const known = this.#of(key)
      const late = known.manifests.filter(
        ({ object }) => (pendingUntil(hub.object, object as Device) ?? Number.POSITIVE_INFINITY) <= now,
      )
      for (const manifest of late) {
        this.#folder.remove(fileOf(key, manifest.object.metadata.name))
        known.manifests.splice(known.manifests.indexOf(manifest), 1)
        known.names.delete(nameOf(manifest))
      }
      return late.map((manifest) => ({ hub: key, device: nameOf(manifest) }))
    })
  }

  #of(key: string): HubDevices {
    let known = this.#byHub.get(key)
    if (known === undefined) {
      const manifests = this.#folder.list(join(key, 'provisioned')).flatMap((name) => {
        const file = join(key, 'provisioned', name)
        return name.endsWith('.yaml')
          ? (load(this.#folder.file(file), this.#folder.read(file) ?? '') ?? [])
          : []
      })
      known = { manifests, names: new Set(manifests.map(nameOf)) }
      this.#byHub.set(key, known)
    }
    return known
  }
}

interface HubDevices {
  manifests: LoadedManifest[]
  /** Common names. */
  names: Set<string>
}

const fileOf = (key: string, name: string) => join(key, 'provisioned', `${name}.yaml`)

/** Undefined: the file was edited into something that no device is. */
function load(file: string, text: string): LoadedManifest | undefined {
  const { manifests } = parseManifests(file, text)
  const [manifest] = buildManifestSet(manifests).set.values()
  return manifest?.object.kind === 'Device' ? manifest : undefined
}

const nameOf = ({ object }: LoadedManifest): string => deviceName(object as never)

/** Names of the devices that the user declared for a hub. */
const namesOf = (set: ManifestSet, key: string): ReadonlySet<string> =>
  new Set(
    ofKind(set, 'Device')
      .filter(({ object }) => hubKey(object.spec.hubRef.name, namespaceOf(object.metadata)) === key)
      .map(({ object }) => deviceName(object)),
  )
