/** Finds a helm or kustomize to test with: HELM, KUSTOMIZE, else the one built from the pinned module beside this file. */
import { readFile } from 'node:fs/promises'
import path from 'node:path'
import { goBuild } from '../go-build.ts'

const ROOT = path.resolve(import.meta.dirname, '../..')

const TOOLS = {
  helm: { module: 'helm.sh/helm/v3', folder: '/cmd/helm', variable: 'HELM' },
  kustomize: { module: 'sigs.k8s.io/kustomize/kustomize/v5', folder: '', variable: 'KUSTOMIZE' },
} as const
type Tool = keyof typeof TOOLS

/** Resolves to the path of the program; rejects with what to install. The first build takes about two minutes. */
export async function findTool(
  tool: Tool,
  environment: Readonly<Record<string, string | undefined>> = process.env,
): Promise<string> {
  const { module, folder, variable } = TOOLS[tool]
  const given = environment[variable]
  if (given) return given
  const goMod = await readFile(path.join(import.meta.dirname, 'go.mod'), 'utf8')
  const line = goMod.split('\n').find((text) => text.includes(`${module} v`))
  const version = line && / (v[\d.]+)/.exec(line)?.[1]
  if (!version) throw new Error(`e2e/helm/go.mod names no version of ${module}`)
  return await goBuild({
    folder: import.meta.dirname,
    source: module + folder,
    file: path.join(ROOT, `.cache/helm/${tool}-${version}-${process.platform}-${process.arch}`),
    instead: `no ${tool} found: set ${variable} to one, or install Go 1.26 or later to build it`,
  })
}
