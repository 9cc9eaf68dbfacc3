/** Releases of the charts, as `helm` makes them for anybody. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { type ProgramResult, runProgram } from '../../test-support/run-program.ts'
import { findTool } from '../helm/find-tool.ts'
import { CHARTS } from '../helm/helm.ts'

const LIMIT_MS = 5 * 60_000
/** Of the kinds: one release a cluster. */
export const KINDS_RELEASE = { release: 'hublet-crds', namespace: 'hublet-crds' }

/** Runs helm to its end on the cluster; it keeps everything of its own in a folder that is gone afterwards. */
export async function helm(
  kubeConfig: string,
  args: readonly string[],
  values?: object,
): Promise<ProgramResult> {
  const folder = await mkdtemp(path.join(tmpdir(), 'hublet-helm-'))
  try {
    const file = path.join(folder, 'values.json')
    await writeFile(file, JSON.stringify(values ?? {}))
    const env = {
      HELM_CACHE_HOME: folder,
      HELM_CONFIG_HOME: folder,
      HELM_DATA_HOME: folder,
      KUBECONFIG: kubeConfig,
    }
    const withValues = values === undefined ? [] : ['--values', file]
    const result = await runProgram(await findTool('helm'), [...args, ...withValues], {
      env,
      timeoutMs: LIMIT_MS,
    })
    if (result.code !== 0) throw new Error(`helm ${args.join(' ')}: ${result.stderr || result.stdout}`)
    return result
  } finally {
    await rm(folder, { recursive: true })
  }
}

/** Installs or upgrades the kinds. `chart` is a folder or an archive. */
export async function installKinds(
  kubeConfig: string,
  chart = path.join(CHARTS, 'hublet-crds'),
): Promise<void> {
  const { release, namespace } = KINDS_RELEASE
  const where = ['--namespace', namespace, '--create-namespace']
  await helm(kubeConfig, ['upgrade', '--install', release, chart, ...where])
}
