/**
 * Writes an image as an archive in the OCI layout, without a container engine: layers are tar files made by `tar`, the
 * rest is JSON. The same files give the same bytes.
 */
import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { copyFile, mkdir, rm, stat, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { promisify } from 'node:util'

const run = promisify(execFile)
const TAR_LIMIT_MS = 10 * 60_000
/** Time, order and owner would differ from one build to the next. */
const REPRODUCIBLE = [
  '--sort=name',
  '--mtime=@0',
  '--owner=0',
  '--group=0',
  '--numeric-owner',
  '--format=gnu',
]
const OCI = 'application/vnd.oci.image'

/** Where in the image a folder stands: `app` or `.`. */
export interface Layer {
  folder: string
  at: string
}

export interface ImageOptions {
  /** One image an architecture, as Go calls it. Layers, lowest first; the same one may serve several. */
  images: ReadonlyArray<{ architecture: string; layers: readonly Layer[] }>
  /** `Config` of the OCI image specification: User, Env, Cmd, WorkingDir. */
  config: object
  /** Such as `localhost/hublet:0.1.0`; container engines find it by it. */
  name: string
  /** Emptied, used for the layout, and removed. */
  workFolder: string
  /** File to write. */
  archive: string
}

interface Descriptor {
  mediaType: string
  digest: string
  size: number
}

async function sha256(file: string): Promise<string> {
  const hash = createHash('sha256')
  for await (const chunk of createReadStream(file)) hash.update(chunk as Buffer)
  return hash.digest('hex')
}

/** Resolves to the digests of the manifests, one an image. */
export async function writeOciArchive(options: ImageOptions): Promise<string[]> {
  const { workFolder, archive, images, config, name } = options
  const blobs = path.join(workFolder, 'blobs/sha256')
  await rm(workFolder, { recursive: true, force: true })
  await mkdir(blobs, { recursive: true })
  const stored = new Map<Layer, Descriptor>()
  for (const layer of images.flatMap(({ layers }) => layers))
    if (!stored.has(layer)) stored.set(layer, await addLayer(layer, workFolder, blobs))
  const annotations = {
    'io.containerd.image.name': name,
    'org.opencontainers.image.ref.name': name.slice(name.lastIndexOf(':') + 1),
  }
  const manifests = []
  for (const { architecture, layers } of images) {
    const platform = { architecture, os: 'linux' }
    const described = layers.map((layer) => stored.get(layer)!)
    manifests.push({ ...(await addManifest(blobs, platform, config, described)), platform, annotations })
  }
  const index = { schemaVersion: 2, manifests }
  await writeFile(path.join(workFolder, 'index.json'), JSON.stringify(index))
  await writeFile(path.join(workFolder, 'oci-layout'), JSON.stringify({ imageLayoutVersion: '1.0.0' }))
  const parts = ['oci-layout', 'index.json', 'blobs']
  await tar(['--create', ...REPRODUCIBLE, '--file', archive, '--directory', workFolder, ...parts])
  await rm(workFolder, { recursive: true })
  return manifests.map(({ digest }) => digest)
}

async function addText(blobs: string, mediaType: string, value: object): Promise<Descriptor> {
  const text = JSON.stringify(value)
  const digest = createHash('sha256').update(text).digest('hex')
  await writeFile(path.join(blobs, digest), text)
  return { mediaType, digest: `sha256:${digest}`, size: Buffer.byteLength(text) }
}

async function addManifest(
  blobs: string,
  platform: object,
  config: object,
  layers: readonly Descriptor[],
): Promise<Descriptor> {
  const imageConfig = await addText(blobs, `${OCI}.config.v1+json`, {
    ...platform,
    created: '1970-01-01T00:00:00Z',
    config,
    rootfs: { type: 'layers', diff_ids: layers.map(({ digest }) => digest) },
  })
  const mediaType = `${OCI}.manifest.v1+json`
  return addText(blobs, mediaType, { schemaVersion: 2, mediaType, config: imageConfig, layers })
}

const tar = (args: readonly string[]) => run('tar', [...args], { timeout: TAR_LIMIT_MS })

/** Uncompressed, so that its digest is that of its content, whatever the version of gzip. */
async function addLayer({ folder, at }: Layer, workFolder: string, blobs: string): Promise<Descriptor> {
  const file = path.join(workFolder, 'layer.tar')
  // Only names of files of the layer, never targets of its links; "." itself stays as the layers below have it.
  const place = at === '.' ? [] : ['--transform', `flags=r;s,^[.]/,${at}/,`]
  const mode = ['--mode=u+rwX,go+rX,go-w']
  await tar([
    '--create',
    ...REPRODUCIBLE,
    ...(at === '.' ? [] : mode),
    ...place,
    '--file',
    file,
    '--directory',
    folder,
    '.',
  ])
  const digest = await sha256(file)
  const { size } = await stat(file)
  await copyFile(file, path.join(blobs, digest))
  await rm(file)
  return { mediaType: `${OCI}.layer.v1.tar`, digest: `sha256:${digest}`, size }
}
