import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { POD_CONTAINERS, POD_FOLDERS } from '../../contract/broker-pod.ts'
import { SECRETS, type Secret } from '../../operator/api/resources.ts'
import type { KubeObject } from '../../operator/runtime/resource.ts'
import type { TestNamespace } from '../../test-support/cluster.ts'
import { RunningProgram } from '../../test-support/run-program.ts'
import { makeTempDir } from '../../test-support/temp-dir.ts'
import { waitUntil } from '../../test-support/wait.ts'

interface PodSpec {
  containers: Array<{
    name: string
    command?: string[]
    args?: string[]
    env?: Array<{ name: string; value?: string; valueFrom?: object }>
    volumeMounts?: Array<{ name: string; mountPath: string }>
  }>
  volumes?: Array<{
    name: string
    secret?: { secretName: string; items?: Array<{ key: string; path: string }> }
  }>
}

type WithPod = KubeObject & { spec: { template: { spec: PodSpec } } }

const MAIN = join(import.meta.dirname, '..', '..', 'broker', 'main.ts')

/**
 * The broker of a hub as a kubelet would start it: the environment and the mounted Secrets of its Deployment,
 * and nothing else. Only its ports are free ones of this machine.
 */
export class PodOfDeployment {
  readonly #program: RunningProgram
  #ports: Record<string, number> = {}

  private constructor(program: RunningProgram) {
    this.#program = program
  }

  static async start(space: TestNamespace, deployment: KubeObject): Promise<PodOfDeployment> {
    const spec = (deployment as WithPod).spec.template.spec
    const container = spec.containers.find(({ name }) => name === POD_CONTAINERS.broker)
    if (container === undefined) throw new Error('the pod has no broker')
    const root = makeTempDir('pod')
    for (const { name, mountPath } of container.volumeMounts ?? []) {
      const secret = spec.volumes?.find((volume) => volume.name === name)?.secret
      if (secret !== undefined) await mount(space, secret.secretName, join(root, mountPath))
    }
    const env = Object.fromEntries(
      (container.env ?? []).map(({ name, value }) => [name, value ?? 'from-the-pod'] as const),
    )
    const ports = ['mqtt', 'mqtts', 'ws', 'wss', 'https', 'metrics', 'health']
    const args = [
      MAIN,
      ...['--bind', '127.0.0.1', ...ports.flatMap((name) => ['--port', `${name}=0`])],
      ...['--redis', join(root, POD_FOLDERS.redis), '--server-tls', join(root, POD_FOLDERS.serverTls)],
    ]
    const program = new RunningProgram(process.execPath, args, { timeoutMs: 100_000, env })
    const pod = new PodOfDeployment(program)
    pod.#ports = await waitUntil('the hub is open', () => pod.#opened(), { timeoutMs: 20_000 })
    return pod
  }

  port(listener: string): number {
    const port = this.#ports[listener]
    if (port === undefined) throw new Error(`the pod does not listen for ${listener}`)
    return port
  }

  async stop(): Promise<void> {
    await this.#program.stop('SIGTERM')
  }

  #opened(): Record<string, number> | undefined {
    if (this.#program.ended) throw new Error(`it ended: ${this.#program.stdout}${this.#program.stderr}`)
    const lines = this.#program.lines.map(
      (line) => JSON.parse(line) as { msg: string; ports?: Record<string, number> },
    )
    return lines.find(({ msg }) => msg === 'the hub is open')?.ports
  }
}

async function mount(space: TestNamespace, secretName: string, folder: string): Promise<void> {
  const { data = {} } = await space.get<Secret>(SECRETS, secretName)
  mkdirSync(folder, { recursive: true })
  for (const [key, value] of Object.entries(data)) {
    writeFileSync(join(folder, key), Buffer.from(value, 'base64'), { mode: 0o600 })
  }
}
