/** The processes of a broker pod beside a real Redis, their folders mounted as a kubelet does it. */
import { randomUUID } from 'node:crypto'
import { mkdirSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { POD_ENV } from '../contract/broker-pod.ts'
import type { HubState, RouteRecord } from '../contract/hub-state.ts'
import { hubAclUser } from '../contract/redis-acl.ts'
import { encodeRouteCredentials, routeCredentialsFile } from '../contract/route-credentials.ts'
import { HubAclWriter } from '../operator/redis/hub-acl-writer.ts'
import { HubStateWriter } from '../operator/redis/hub-state-writer.ts'
import { device, hub, hubState } from '../test-support/hub-state.ts'
import { MqttClient } from '../test-support/mqtt-client.ts'
import { openLink } from '../test-support/mqtt-link.ts'
import { type RedisServer, startRedis } from '../test-support/redis.ts'
import { RunningProgram } from '../test-support/run-program.ts'
import { makeTempDir, removeTempDir } from '../test-support/temp-dir.ts'
import { waitUntil } from '../test-support/wait.ts'

const PASSWORD = 'sesame-of-the-hub'
const ROOT = join(import.meta.dirname, '..')

interface LogLine {
  msg: string
  ports?: Record<string, number>
  status?: { metrics: number; health: number }
}

export interface PodOptions {
  /** How long processes may run, ms. Default 240,000. */
  lifeMs?: number
  /** When Redis writes to disk. Default `always`, as a managed one does. */
  fsync?: 'always' | 'everysec'
}

/** One hub with a device `lamp` that may do everything, and another one that hears no events; its routes are what a test gives. */
export class Pod {
  readonly redis: RedisServer
  readonly folder = makeTempDir('pod')
  readonly state: HubState
  readonly #writer: HubStateWriter
  readonly #programs: RunningProgram[] = []
  readonly #lifeMs: number
  /** Undefined before `start` resolves. */
  broker: RunningProgram | undefined
  #mqttPort = 0

  private constructor(redis: RedisServer, { lifeMs = 240_000 }: PodOptions) {
    this.redis = redis
    this.#lifeMs = lifeMs
    // Events are for those only whose filter names them.
    const lamp = device({
      name: 'lamp',
      filters: { subscribe: { policy: 'Accept', topics: ['#', '$hub/#'] } },
    })
    const other = device({ name: 'other' })
    this.state = hubState({ hub: hub({ name: 'garden' }), devices: [lamp, other] })
    this.#writer = new HubStateWriter({ redis: redis.client() })
  }

  /** Redis is up and the broker serves. */
  static async start(options: PodOptions = {}): Promise<Pod> {
    const redis = await startRedis({
      password: 'sesame-of-root',
      aclFile: true,
      fsync: options.fsync ?? 'always',
    })
    const pod = new Pod(redis, options)
    const { uid } = pod.state.hub
    await new HubAclWriter(redis.client()).ensure(uid, PASSWORD)
    pod.#mount('redis', { url: redis.url, username: hubAclUser(uid), password: PASSWORD })
    await pod.setRoutes([])
    const broker = pod.#run('broker/main.ts', ['--port', 'mqtt=0', '--server-tls', pod.folder], 'pod-1')
    pod.broker = broker
    pod.#mqttPort = (await said(broker, 'the hub is open')).ports?.['mqtt'] ?? 0
    return pod
  }

  /** What the operator would write. */
  async setRoutes(
    routes: readonly RouteRecord[],
    credentials: Record<string, Record<string, string>> = {},
  ): Promise<void> {
    const files = Object.entries(credentials).map(([id, values]) => [
      routeCredentialsFile(id),
      encodeRouteCredentials({ values }),
    ])
    this.#mount('routes', Object.fromEntries(files))
    await this.#writer.write({ ...this.state, routes: [...routes] })
  }

  /** A route worker; resolves when it is open. */
  async startRoutes(podName = 'pod-1'): Promise<RoutesUnderTest> {
    // Two pods have two folders.
    const tmp = podName === 'pod-1' ? this.folder : join(this.folder, podName)
    mkdirSync(tmp, { recursive: true })
    const own = ['--routes', join(this.folder, 'routes'), '--allow-loopback', '--tmp', tmp]
    const program = this.#run('sidecar/main.ts', own, podName)
    return new RoutesUnderTest(
      program,
      (await said(program, 'the route worker is open')).status?.metrics ?? 0,
    )
  }

  connect(): Promise<MqttClient> {
    return this.#connectAs('lamp')
  }

  connectOther(): Promise<MqttClient> {
    return this.#connectAs('other')
  }

  async #connectAs(name: string): Promise<MqttClient> {
    const clientId = this.state.devices.find((one) => one.name === name)?.id ?? ''
    const client = new MqttClient(await openLink({ port: this.#mqttPort }))
    const { returnCode } = await client.connect({ clientId })
    if (returnCode !== 0) throw new Error(`CONNECT refused with ${returnCode}`)
    return client
  }

  /** Everything that the processes wrote. */
  get output(): string {
    return this.#programs.map(({ stdout, stderr }) => `${stdout}${stderr}`).join('')
  }

  async stop(): Promise<void> {
    for (const program of this.#programs) await program.stop('SIGKILL')
    await this.redis.stop()
    removeTempDir(this.folder)
  }

  #run(main: string, args: readonly string[], podName: string): RunningProgram {
    const ports = ['metrics', 'health'].flatMap((name) => ['--port', `${name}=0`])
    const folders = ['--redis', join(this.folder, 'redis')]
    const tmp = args.includes('--tmp') ? [] : ['--tmp', this.folder]
    const program = new RunningProgram(
      process.execPath,
      [join(ROOT, main), '--bind', '127.0.0.1', ...ports, ...folders, ...tmp, ...args],
      {
        timeoutMs: this.#lifeMs,
        env: {
          [POD_ENV.hubUid]: this.state.hub.uid,
          [POD_ENV.hubName]: 'garden',
          [POD_ENV.podName]: podName,
          [POD_ENV.listeners]: 'mqtt',
          // Where a bench looks into several processes by SIGUSR1, each has an inspector of its own.
          NODE_OPTIONS: '--inspect-port=0',
        },
      },
    )
    this.#programs.push(program)
    return program
  }

  /** Files of a mounted Secret: links into a folder that is exchanged as a whole. */
  #mount(name: string, files: Record<string, string>): void {
    const folder = join(this.folder, name)
    mkdirSync(folder, { recursive: true })
    const data = join(folder, `..${randomUUID()}`)
    mkdirSync(data)
    for (const [file, text] of Object.entries(files)) writeFileSync(join(data, file), text)
    symlinkSync(data, join(folder, '..next'))
    renameSync(join(folder, '..next'), join(folder, '..data'))
    for (const file of Object.keys(files)) {
      rmSync(join(folder, file), { force: true })
      symlinkSync(join('..data', file), join(folder, file))
    }
  }
}

export class RoutesUnderTest {
  readonly program: RunningProgram
  readonly #metricsPort: number

  constructor(program: RunningProgram, metricsPort: number) {
    this.program = program
    this.#metricsPort = metricsPort
  }

  async metrics(): Promise<string> {
    return await (await fetch(`http://127.0.0.1:${this.#metricsPort}/metrics`)).text()
  }

  async said(text: string): Promise<void> {
    await said(this.program, text)
  }

  /** As the kernel ends a process that takes too much memory. */
  async kill(): Promise<void> {
    await this.program.stop('SIGKILL')
  }
}

async function said(program: RunningProgram, text: string): Promise<LogLine> {
  return await waitUntil(
    text,
    () => {
      if (program.ended) throw new Error(`it ended: ${program.stdout}${program.stderr}`)
      return program.lines.map((line) => JSON.parse(line) as LogLine).find(({ msg }) => msg === text)
    },
    { timeoutMs: 60_000 },
  )
}
