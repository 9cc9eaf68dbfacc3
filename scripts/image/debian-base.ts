/** A base for the image where no image registry can be reached: C libraries from Debian packages, Node from npm. */
import { execFile } from 'node:child_process'
import { chmod, copyFile, mkdir, readdir, rm, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { promisify } from 'node:util'

const run = promisify(execFile)
const LIMIT_MS = 5 * 60_000
/** All that Node is linked to. No shell, no package manager. */
const PACKAGES = ['libc6', 'libgcc-s1', 'libstdc++6']
const FILES: Readonly<Record<string, string>> = {
  'etc/passwd':
    'root:x:0:0:root:/root:/sbin/nologin\nnonroot:x:65532:65532:nonroot:/nonexistent:/sbin/nologin\n',
  'etc/group': 'root:x:0:\nnonroot:x:65532:\n',
  'etc/nsswitch.conf': 'passwd: files\ngroup: files\nhosts: files dns\n',
}

/** Makes the root file system in an empty `folder`; `node` is the program to put there. Needs apt-get and dpkg-deb. */
export async function makeDebianBase(folder: string, node: string): Promise<void> {
  await rm(folder, { recursive: true, force: true })
  const packages = `${folder}.packages`
  await rm(packages, { recursive: true, force: true })
  await mkdir(packages, { recursive: true })
  await run('apt-get', ['download', ...PACKAGES], { cwd: packages, timeout: LIMIT_MS })
  for (const name of await readdir(packages))
    await run('dpkg-deb', ['--extract', path.join(packages, name), folder], { timeout: LIMIT_MS })
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
