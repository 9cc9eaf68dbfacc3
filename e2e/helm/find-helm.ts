/** Finds a helm to test with: HELM, the one built before, else built from the pinned module beside this file. */
import { execFile } from 'node:child_process'
import { mkdir, readFile, rename, stat } from 'node:fs/promises'
import path from 'node:path'
import { promisify } from 'node:util'

const run = promisify(execFile)
const ROOT = path.resolve(import.meta.dirname, '../..')
const TARGET = 'helm.sh/helm/v3/cmd/helm'
const BUILD_LIMIT_MS = 20 * 60_000

const isThere = async (file: string): Promise<boolean> =>
  (await stat(file).catch(() => undefined))?.isFile() ?? false

/** Resolves to the path of a helm; rejects with what to install. The first build takes about two minutes. */
export async function findHelm(
  environment: Readonly<Record<string, string | undefined>> = process.env,
): Promise<string> {
  const given = environment['HELM']
  if (given) return given
  const goMod = await readFile(path.join(import.meta.dirname, 'go.mod'), 'utf8')
  const version = /helm\.sh\/helm\/v3 (v[\d.]+)/.exec(goMod)?.[1]
  if (version === undefined) throw new Error('e2e/helm/go.mod names no version of helm')
  const file = path.join(ROOT, `.cache/helm/helm-${version}-${process.platform}-${process.arch}`)
  if (!(await isThere(file))) await build(file, version)
  return file
}

async function build(file: string, version: string): Promise<void> {
  await run('go', ['version']).catch(() => {
    throw new Error('no helm found: set HELM to one (3.18 or later), or install Go 1.26 or later to build it')
  })
  await mkdir(path.dirname(file), { recursive: true })
  const temporary = `${file}.${process.pid}.tmp`
  const flags = `-s -w -X helm.sh/helm/v3/internal/version.version=${version}`
  await run('go', ['build', '-trimpath', '-buildvcs=false', '-ldflags', flags, '-o', temporary, TARGET], {
    cwd: import.meta.dirname,
    env: { ...process.env, CGO_ENABLED: '0' },
    timeout: BUILD_LIMIT_MS,
  })
  // Renamed when complete: an interrupted build never leaves a binary that looks ready.
  await rename(temporary, file)
}
