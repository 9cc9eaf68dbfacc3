/** The bill of an image (SBOM, CycloneDX): every package that its archive shows, and what the lock says of it. */
import { createHash } from 'node:crypto'
import { type ImagePackage, idOf } from './contents.ts'

/** An entry of `packages` of package-lock.json, as far as it is used here. */
interface LockEntry {
  version?: string
  license?: string
  /** `sha512-` and base64, of the archive that npm publishes. */
  integrity?: string
  dev?: boolean
  optional?: boolean
  devOptional?: boolean
}

export interface Lock {
  version: string
  packages: Readonly<Record<string, LockEntry>>
}

/** By package URL. */
function entriesOf(lock: Lock): Map<string, LockEntry> {
  const entries = new Map<string, LockEntry>()
  for (const [place, entry] of Object.entries(lock.packages)) {
    const name = place.slice(place.lastIndexOf('node_modules/') + 'node_modules/'.length)
    if (place !== '' && entry.version !== undefined)
      entries.set(idOf({ kind: 'npm', name, version: entry.version }), entry)
  }
  return entries
}

/** The text is the same for the same packages. Throws when the image has other packages of npm than the lock. */
export function softwareBill(packages: readonly ImagePackage[], lock: Lock): string {
  const locked = entriesOf(lock)
  const ids = packages.map(idOf)
  const needed = [...locked].filter(([, { dev, optional, devOptional }]) => !(dev || optional || devOptional))
  const absent = needed.map(([id]) => id).filter((id) => !ids.includes(id))
  if (absent.length > 0) throw new Error(`in the lock and not in the image: ${absent.join(', ')}`)
  const stray = packages.filter((one, at) => one.kind === 'npm' && !one.isOfBase && !locked.has(ids[at]!))
  if (stray.length > 0) throw new Error(`in the image and not in the lock: ${stray.map(idOf).join(', ')}`)
  const bill = {
    bomFormat: 'CycloneDX',
    specVersion: '1.5',
    version: 1,
    metadata: {
      component: { type: 'application', name: 'hublet', version: lock.version, 'bom-ref': 'hublet' },
    },
    components: packages.map((one) => component(one, locked.get(idOf(one)))),
  }
  const digest = createHash('sha256').update(JSON.stringify(bill)).digest('hex')
  return `${JSON.stringify({ ...bill, serialNumber: `urn:uuid:${uuidOf(digest)}` }, null, 2)}\n`
}

function component(one: ImagePackage, entry: LockEntry | undefined): object {
  const purl = idOf(one)
  const [, hash] = /^sha512-(\S+)$/.exec(entry?.integrity ?? '') ?? []
  return {
    type: one.kind === 'node' ? 'application' : 'library',
    name: one.name,
    version: one.version,
    'bom-ref': purl,
    purl,
    ...(entry?.license === undefined ? {} : { licenses: [{ expression: entry.license }] }),
    ...(hash === undefined
      ? {}
      : { hashes: [{ alg: 'SHA-512', content: Buffer.from(hash, 'base64').toString('hex') }] }),
  }
}

/** As RFC 9562 lets anybody form one of any digest (version 8). */
const uuidOf = (hex: string): string =>
  [
    hex.slice(0, 8),
    hex.slice(8, 12),
    `8${hex.slice(13, 16)}`,
    `8${hex.slice(17, 20)}`,
    hex.slice(20, 32),
  ].join('-')
