/** The pinned Node as a program for Linux: the one that runs this, or that of another architecture from npm. */
import { execFile } from 'node:child_process'
import { mkdir, realpath } from 'node:fs/promises'
import path from 'node:path'
import { promisify } from 'node:util'

const run = promisify(execFile)
const LIMIT_MS = 5 * 60_000
/** What Go and OCI call what Node and npm call by the value. */
const NPM_NAMES: Readonly<Record<string, string>> = { amd64: 'x64', arm64: 'arm64' }

/** Architecture of this machine, by its name in OCI. */
export const ownArchitecture = (): string =>
  Object.entries(NPM_NAMES).find(([, npm]) => npm === process.arch)?.[0] ?? process.arch

export const knownArchitectures = (): string[] => Object.keys(NPM_NAMES)

/** Resolves to the path of the program. What is fetched goes into `folder`. */
export async function nodeProgram(architecture: string, folder: string): Promise<string> {
  if (architecture === ownArchitecture() && process.platform === 'linux') return realpath(process.execPath)
  await mkdir(folder, { recursive: true })
  // The package `node` installs one of these by a script, for the machine that it is on.
  const name = `node-linux-${NPM_NAMES[architecture]}@${process.versions.node}`
  const args = ['pack', '--silent', '--pack-destination', folder, name]
  const { stdout } = await run('npm', args, { timeout: LIMIT_MS })
  const archive = path.join(folder, stdout.trim())
  await run('tar', ['-xzf', archive, '-C', folder, 'package/bin/node'], { timeout: LIMIT_MS })
  return path.join(folder, 'package/bin/node')
}
