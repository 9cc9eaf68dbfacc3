import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { POD_CONTAINERS, POD_FOLDERS } from '../../contract/broker-pod.ts'
import { SECRETS, type Secret } from '../../operator/api/resources.ts'
import type { KubeObject } from '../../operator/runtime/resource.ts'
import type { TestNamespace } from '../../test-support/cluster.ts'
import { RunningProgram } from '../../test-support/run-program.ts'
import { makeTempDir } from '../../test-support/temp-dir.ts'
import { waitUntil } from '../../test-support/wait.ts'

interface Container {
  name: string
  command?: string[]
  env?: Array<{ name: string; value?: string; valueFrom?: object }>
  volumeMounts?: Array<{ name: string; mountPath: string }>
}

interface PodSpec {
  containers: Container[]
  initContainers?: Container[]
  volumes?: Array<{
    name: string
    secret?: { secretName: string; items?: Array<{ key: string; path: string }> }
  }>
}

type WithPod = KubeObject & { spec: { template: { spec: PodSpec } } }

const ROOT = join(import.meta.dirname, '..', '..')
/** The test runner stands for a CPU of its own; the processes share two with everything else. */
const START_MS = 60_000

/**
 * The pod of a hub as a kubelet would start it: the environment and the mounted Secrets of its Deployment, and
 * nothing else. Only its ports are free ones of this machine.
 */
export class PodOfDeployment {
  readonly #space: TestNamespace
  readonly #spec: PodSpec
  readonly #timeoutMs: number
  readonly #root = makeTempDir('pod')
  readonly #programs: RunningProgram[] = []
  #ports: Record<string, number> = {}

  private constructor(space: TestNamespace, spec: PodSpec, timeoutMs: number) {
    this.#space = space
    this.#spec = spec
    this.#timeoutMs = timeoutMs
  }

  /** With its broker open. Its processes are killed after `timeoutMs`. */
  static async start(
    space: TestNamespace,
    deployment: KubeObject,
    timeoutMs = 240_000,
  ): Promise<PodOfDeployment> {
    const pod = new PodOfDeployment(space, (deployment as WithPod).spec.template.spec, timeoutMs)
    await pod.mount()
    const ports = ['mqtt', 'mqtts', 'ws', 'wss', 'https', 'metrics', 'health']
    const folders = ['--server-tls', join(pod.#root, POD_FOLDERS.serverTls)]
    const broker = pod.#run(POD_CONTAINERS.broker, ports, folders)
    pod.#ports = (await pod.#said(broker, 'the hub is open')).ports ?? {}
    return pod
  }

  /** The routes container; its destinations may be on this machine. Resolves when it delivers. */
  async startRoutes(): Promise<RunningProgram> {
    const folders = ['--routes', join(this.#root, POD_FOLDERS.routes), '--allow-loopback']
    const routes = this.#run(POD_CONTAINERS.routes, ['metrics', 'health'], folders)
    await this.#said(routes, 'this worker delivers')
    return routes
  }

  /** Brings the Secrets as they are now. */
  async mount(): Promise<void> {
    for (const { name, mountPath } of this.#containers.flatMap(({ volumeMounts = [] }) => volumeMounts)) {
      const secret = this.#spec.volumes?.find((volume) => volume.name === name)?.secret
      if (secret === undefined) continue
      const { data = {} } = await this.#space.get<Secret>(SECRETS, secret.secretName)
      const folder = join(this.#root, mountPath)
      mkdirSync(folder, { recursive: true })
      for (const [key, value] of Object.entries(data))
        writeFileSync(join(folder, key), Buffer.from(value, 'base64'), { mode: 0o600 })
    }
  }

  port(listener: string): number {
    const port = this.#ports[listener]
    if (port === undefined) throw new Error(`the pod does not listen for ${listener}`)
    return port
  }

  /** Everything that the processes wrote. */
  get output(): string {
    return this.#programs.map(({ stdout, stderr }) => `${stdout}${stderr}`).join('')
  }

  async stop(): Promise<void> {
    for (const program of this.#programs) await program.stop('SIGTERM')
  }

  get #containers(): Container[] {
    return [...(this.#spec.initContainers ?? []), ...this.#spec.containers]
  }

  #run(name: string, ports: readonly string[], args: readonly string[]): RunningProgram {
    const container = this.#containers.find((one) => one.name === name)
    const [, main] = container?.command ?? []
    if (container === undefined || main === undefined) throw new Error(`the pod has no ${name}`)
    const env = Object.fromEntries(
      (container.env ?? []).map(({ name, value }) => [name, value ?? 'from-the-pod'] as const),
    )
    const own = ['--bind', '127.0.0.1', ...ports.flatMap((port) => ['--port', `${port}=0`])]
    const folders = ['--redis', join(this.#root, POD_FOLDERS.redis), '--tmp', this.#root]
    const all = [join(ROOT, main), ...own, ...folders, ...args]
    const program = new RunningProgram(process.execPath, all, { timeoutMs: this.#timeoutMs, env })
    this.#programs.push(program)
    return program
  }

  #said(program: RunningProgram, text: string): Promise<{ ports?: Record<string, number> }> {
    const look = () => {
      if (program.ended) throw new Error(`it ended: ${program.stdout}${program.stderr}`)
      const lines = program.lines.map(
        (line) => JSON.parse(line) as { msg: string; ports?: Record<string, number> },
      )
      return lines.find(({ msg }) => msg === text)
    }
    return waitUntil(text, look, { timeoutMs: START_MS })
  }
}
