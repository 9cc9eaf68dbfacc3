/** A base for the image where no image registry can be reached: C libraries from Debian packages, Node from npm. */
import { execFile } from 'node:child_process'
import { chmod, copyFile, mkdir, readdir, rm, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { promisify } from 'node:util'

const run = promisify(execFile)
const LIMIT_MS = 5 * 60_000
/** All that Node is linked to. No shell, no package manager. */
const PACKAGES = ['libc6', 'libgcc-s1', 'libstdc++6']
/** A file a package, as distroless images have them: scanners look here. */
const PACKAGE_LIST = 'var/lib/dpkg/status.d'
const FILES: Readonly<Record<string, string>> = {
  'etc/passwd':
    'root:x:0:0:root:/root:/sbin/nologin\nnonroot:x:65532:65532:nonroot:/nonexistent:/sbin/nologin\n',
  'etc/group': 'root:x:0:\nnonroot:x:65532:\n',
  'etc/nsswitch.conf': 'passwd: files\ngroup: files\nhosts: files dns\n',
}

export interface BaseOptions {
  /** Emptied first. */
  folder: string
  /** As Debian and OCI call it: amd64, arm64. */
  architecture: string
  /** The program to put into the image. */
  node: string
}

/** Makes the root file system. Needs apt-get and dpkg-deb, of whatever architecture. */
export async function makeDebianBase({ folder, architecture, node }: BaseOptions): Promise<void> {
  await rm(folder, { recursive: true, force: true })
  const packages = `${folder}.packages`
  await download(packages, architecture)
  await mkdir(path.join(folder, PACKAGE_LIST), { recursive: true })
  for (const file of (await readdir(packages)).filter((name) => name.endsWith('.deb')))
    await unpack(path.join(packages, file), folder)
  await rm(packages, { recursive: true })
  for (const [name, text] of Object.entries(FILES)) {
    await mkdir(path.dirname(path.join(folder, name)), { recursive: true })
    await writeFile(path.join(folder, name), text)
  }
  await mkdir(path.join(folder, 'tmp'))
  await chmod(path.join(folder, 'tmp'), 0o1777)
  await mkdir(path.join(folder, 'nodejs/bin'), { recursive: true })
  await copyFile(node, path.join(folder, 'nodejs/bin/node'))
  await chmod(path.join(folder, 'nodejs/bin/node'), 0o755)
}

async function download(folder: string, architecture: string): Promise<void> {
  await rm(folder, { recursive: true, force: true })
  await mkdir(folder, { recursive: true })
  const own = (await run('dpkg', ['--print-architecture'])).stdout.trim()
  const options = own === architecture ? [] : await otherLists(folder, architecture)
  const args = [...options, 'download', ...PACKAGES]
  await run('apt-get', args, { cwd: folder, timeout: LIMIT_MS })
}

/** Options by which apt-get knows the packages of another architecture, and this machine stays as it is. */
async function otherLists(folder: string, architecture: string): Promise<string[]> {
  const state = path.join(folder, 'apt')
  await mkdir(path.join(state, 'lists/partial'), { recursive: true })
  await writeFile(path.join(state, 'status'), '')
  const options = [
    `APT::Architecture=${architecture}`,
    `APT::Architectures=${architecture}`,
    `Dir::State=${state}`,
    `Dir::State::status=${path.join(state, 'status')}`,
    `Dir::Cache=${state}`,
    // The folder belongs to who builds.
    'APT::Sandbox::User=root',
  ].flatMap((option) => ['-o', option])
  await run('apt-get', [...options, 'update'], { timeout: LIMIT_MS })
  return options
}

async function unpack(file: string, folder: string): Promise<void> {
  await run('dpkg-deb', ['--extract', file, folder], { timeout: LIMIT_MS })
  const { stdout } = await run('dpkg-deb', ['--field', file], { timeout: LIMIT_MS })
  const name = /^Package: (\S+)$/m.exec(stdout)?.[1]
  if (name === undefined) throw new Error(`${file} names no package`)
  await writeFile(path.join(folder, PACKAGE_LIST, name), stdout)
}
