/** Finds a helm or kustomize to test with: HELM, KUSTOMIZE, else the one built from the pinned module beside this file. */
import { execFile } from 'node:child_process'
import { mkdir, readFile, rename, stat } from 'node:fs/promises'
import path from 'node:path'
import { promisify } from 'node:util'

const run = promisify(execFile)
const ROOT = path.resolve(import.meta.dirname, '../..')
const BUILD_LIMIT_MS = 20 * 60_000

const TOOLS = {
  helm: { module: 'helm.sh/helm/v3', folder: '/cmd/helm', variable: 'HELM' },
  kustomize: { module: 'sigs.k8s.io/kustomize/kustomize/v5', folder: '', variable: 'KUSTOMIZE' },
} as const
type Tool = keyof typeof TOOLS

const isThere = async (file: string): Promise<boolean> =>
  (await stat(file).catch(() => undefined))?.isFile() ?? false

/** Resolves to the path of the program; rejects with what to install. The first build takes about two minutes. */
export async function findTool(
  tool: Tool,
  environment: Readonly<Record<string, string | undefined>> = process.env,
): Promise<string> {
  const { module, variable } = TOOLS[tool]
  const given = environment[variable]
  if (given) return given
  const goMod = await readFile(path.join(import.meta.dirname, 'go.mod'), 'utf8')
  const line = goMod.split('\n').find((text) => text.includes(`${module} v`))
  const version = line && / (v[\d.]+)/.exec(line)?.[1]
  if (!version) throw new Error(`e2e/helm/go.mod names no version of ${module}`)
  const file = path.join(ROOT, `.cache/helm/${tool}-${version}-${process.platform}-${process.arch}`)
  if (!(await isThere(file))) await build(tool, file)
  return file
}

async function build(tool: Tool, file: string): Promise<void> {
  const { module, folder, variable } = TOOLS[tool]
  await run('go', ['version']).catch(() => {
    throw new Error(`no ${tool} found: set ${variable} to one, or install Go 1.26 or later to build it`)
  })
  await mkdir(path.dirname(file), { recursive: true })
  const temporary = `${file}.${process.pid}.tmp`
  const args = [
    'build',
    '-trimpath',
    '-buildvcs=false',
    '-ldflags',
    '-s -w',
    '-o',
    temporary,
    module + folder,
  ]
  await run('go', args, {
    cwd: import.meta.dirname,
    env: { ...process.env, CGO_ENABLED: '0' },
    timeout: BUILD_LIMIT_MS,
  })
  // Renamed when complete: an interrupted build never leaves a binary that looks ready.
  await rename(temporary, file)
}
