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

export interface ImageOptions {
  /** Folders that become layers, lowest first, and where in the image each stands (`app` or `.`). */
  layers: ReadonlyArray<{ folder: string; at: string }>
  /** `Config` of the OCI image specification: User, Env, Cmd, WorkingDir. */
  config: object
  architecture: string
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

/** Resolves to the digest of the image's manifest. */
export async function writeOciArchive(options: ImageOptions): Promise<string> {
  const { workFolder, archive, layers, config, architecture, name } = options
  const blobs = path.join(workFolder, 'blobs/sha256')
  await rm(workFolder, { recursive: true, force: true })
  await mkdir(blobs, { recursive: true })
  const addText = async (mediaType: string, value: object): Promise<Descriptor> => {
    const text = JSON.stringify(value)
    const digest = createHash('sha256').update(text).digest('hex')
    await writeFile(path.join(blobs, digest), text)
    return { mediaType, digest: `sha256:${digest}`, size: Buffer.byteLength(text) }
  }
  const stored: Descriptor[] = []
  for (const layer of layers) stored.push(await addLayer(layer, workFolder, blobs))
  const imageConfig = await addText(`${OCI}.config.v1+json`, {
    architecture,
    os: 'linux',
    created: '1970-01-01T00:00:00Z',
    config,
    rootfs: { type: 'layers', diff_ids: stored.map(({ digest }) => digest) },
  })
  const manifestType = `${OCI}.manifest.v1+json`
  const manifest = await addText(manifestType, {
    schemaVersion: 2,
    mediaType: manifestType,
    config: imageConfig,
    layers: stored,
  })
  const annotations = {
    'io.containerd.image.name': name,
    'org.opencontainers.image.ref.name': name.slice(name.lastIndexOf(':') + 1),
  }
  const index = {
    schemaVersion: 2,
    manifests: [{ ...manifest, platform: { architecture, os: 'linux' }, annotations }],
  }
  await writeFile(path.join(workFolder, 'index.json'), JSON.stringify(index))
  await writeFile(path.join(workFolder, 'oci-layout'), JSON.stringify({ imageLayoutVersion: '1.0.0' }))
  const parts = ['oci-layout', 'index.json', 'blobs']
  await tar(['--create', ...REPRODUCIBLE, '--file', archive, '--directory', workFolder, ...parts])
  await rm(workFolder, { recursive: true })
  return manifest.digest
}

const tar = (args: readonly string[]) => run('tar', [...args], { timeout: TAR_LIMIT_MS })

/** Uncompressed, so that its digest is that of its content, whatever the version of gzip. */
async function addLayer(
  { folder, at }: { folder: string; at: string },
  workFolder: string,
  blobs: string,
): Promise<Descriptor> {
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
