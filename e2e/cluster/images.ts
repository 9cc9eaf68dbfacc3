/** Images for a node that reaches no registry, made on this machine and imported from archives. */
import { copyFile, mkdir, rm } from 'node:fs/promises'
import path from 'node:path'
import { ownArchitecture } from '../../scripts/image/node-program.ts'
import { writeOciArchive } from '../../scripts/image/oci-archive.ts'
import { run } from './run.ts'
import { ROOT, STATE } from './state.ts'

export const PAUSE_IMAGE = 'localhost/pause:1'
export const REDIS_IMAGE = 'localhost/redis:7'
/** What `make image` writes. */
const ARCHIVE = path.join(ROOT, '.cache/image/hublet.oci.tar')

/** `make image`, when its archive is not there; HUBLET_IMAGE_ARCHIVE names another one. */
export async function imageArchive(): Promise<string> {
  const given = process.env['HUBLET_IMAGE_ARCHIVE']
  if (given) return given
  await run(process.execPath, ['scripts/image/main.ts'], { cwd: ROOT, env: { IMAGE: '' } })
  return ARCHIVE
}

async function writeImage(name: string, folder: string, config: object): Promise<string> {
  const archive = `${folder}.tar`
  const workFolder = `${folder}-layout`
  const images = [{ architecture: ownArchitecture(), layers: [{ folder, at: '.' }] }]
  await writeOciArchive({ images, config, name, workFolder, archive })
  await rm(folder, { recursive: true })
  return archive
}

/** Holds the namespaces of a pod. */
export async function pauseArchive(program: string): Promise<string> {
  const folder = path.join(STATE, 'images/pause')
  await mkdir(folder, { recursive: true })
  await copyFile(program, path.join(folder, 'pause'))
  return writeImage(PAUSE_IMAGE, folder, { User: '65535:65535', Entrypoint: ['/pause'] })
}

/** The redis-server of this machine and the libraries that it is linked to. */
export async function redisArchive(): Promise<string> {
  const folder = path.join(STATE, 'images/redis')
  const program = (await run('which', ['redis-server'])).trim()
  const libraries = [...(await run('ldd', [program])).matchAll(/(\/\S+) \(0x/g)].map(([, file]) => file!)
  for (const file of libraries) await copyInto(folder, file, file)
  await copyInto(folder, program, '/usr/bin/redis-server')
  await mkdir(path.join(folder, 'tmp'), { recursive: true })
  return writeImage(REDIS_IMAGE, folder, { User: '65532:65532', Entrypoint: ['/usr/bin/redis-server'] })
}

async function copyInto(folder: string, file: string, as: string): Promise<void> {
  const target = path.join(folder, as)
  await mkdir(path.dirname(target), { recursive: true })
  await copyFile(file, target)
}
