/** Where a test cluster keeps what it is: one folder, one file that says how to reach it. */
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import path from 'node:path'

export const ROOT = path.resolve(import.meta.dirname, '../..')
/** Everything of a cluster that `make cluster-up` made; `make cluster-down` removes it. */
export const STATE = process.env['HUBLET_CLUSTER_STATE'] || path.join(ROOT, '.cache/cluster')
const FILE = path.join(STATE, 'cluster.json')

export interface ClusterState {
  /** `given`: by KUBECONFIG, and left as it is. */
  kind: 'given' | 'kind' | 'node'
  kubeConfig: string
  /** File of audit lines; absent where it is out of reach. */
  auditLog?: string
  /** Process whose namespaces the node and its clients are in. */
  holder?: number
  /** The image under test, as the chart is to name it. */
  image: string
  /** That of the charts before, to upgrade from; absent where nobody can pull it. */
  previousImage?: string
  /** For managed Redis; absent: the default of the chart. */
  redisImage?: string
}

export async function readState(): Promise<ClusterState | undefined> {
  const text = await readFile(FILE, 'utf8').catch(() => undefined)
  return text === undefined ? undefined : (JSON.parse(text) as ClusterState)
}

export async function writeState(state: ClusterState): Promise<void> {
  await mkdir(STATE, { recursive: true })
  await writeFile(FILE, `${JSON.stringify(state, null, 2)}\n`, { mode: 0o600 })
}

export const say = (line: string): void => void process.stderr.write(`cluster: ${line}\n`)
