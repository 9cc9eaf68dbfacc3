import { cpSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { ListenerName } from '../broker/policy/link.ts'
import { freePort } from '../test-support/free-port.ts'
import { MqttClient } from '../test-support/mqtt-client.ts'
import { openLink } from '../test-support/mqtt-link.ts'
import { RunningProgram } from '../test-support/run-program.ts'
import { makeTempDir } from '../test-support/temp-dir.ts'
import { PATIENCE_MS, waitUntil } from '../test-support/wait.ts'
import { LISTENER_NAMES } from './dev/ports.ts'

const ROOT = join(import.meta.dirname, '..')
const LONGEST_RUN_MS = 240_000

/** A working directory with a copy of the quickstart, its listeners on free ports. */
export class Workspace {
  readonly path = makeTempDir('dev')

  static async make(): Promise<Workspace> {
    const workspace = new Workspace()
    cpSync(join(ROOT, 'examples', 'quickstart'), join(workspace.path, 'manifests'), { recursive: true })
    const ports = await Promise.all(LISTENER_NAMES.map(() => freePort()))
    workspace.edit('hub.yaml', (text) =>
      LISTENER_NAMES.reduce(
        (all, name, index) => all.replace(new RegExp(`(\\b${name}: \\{ port: )\\d+`), `$1${ports[index]}`),
        text,
      ),
    )
    return workspace
  }

  read(...parts: string[]): string {
    return readFileSync(join(this.path, ...parts), 'utf8')
  }

  /** As editors save: a new file in the place of the old one. */
  edit(name: string, change: (text: string) => string): void {
    this.write(name, change(this.read('manifests', name)))
  }

  write(name: string, text: string): void {
    const path = join(this.path, 'manifests', name)
    mkdirSync(join(path, '..'), { recursive: true })
    writeFileSync(`${path}.saving`, text)
    renameSync(`${path}.saving`, path)
  }

  remove(name: string): void {
    rmSync(join(this.path, 'manifests', name))
  }

  /** Every file of the data folder, relative to it. */
  dataFiles(): string[] {
    return readdirSync(join(this.path, '.hublet'), { recursive: true, encoding: 'utf8' })
  }

  deviceId(name: string, hub = 'garden'): string {
    const { devices } = JSON.parse(this.read('.hublet', hub, 'identity.json')) as {
      devices: Record<string, { id: string }>
    }
    return devices[name]?.id ?? ''
  }
}

export interface PrintedCommand {
  /** The comment above it. */
  label: string
  /** To be pasted. */
  script: string
}

/** A running `hublet dev`, as a user starts it. */
export class DevProcess {
  readonly #workspace: Workspace
  readonly #program: RunningProgram

  constructor(workspace: Workspace, args: readonly string[] = []) {
    this.#workspace = workspace
    this.#program = new RunningProgram(
      process.execPath,
      [join(ROOT, 'cli', 'main.ts'), 'dev', '-f', 'manifests', '--log-format', 'text', ...args],
      { cwd: workspace.path, timeoutMs: LONGEST_RUN_MS, env: { NO_COLOR: '1' } },
    )
  }

  /** Starts it and waits until it says that it is ready. */
  static async start(workspace: Workspace, args?: readonly string[]): Promise<DevProcess> {
    const started = new DevProcess(workspace, args)
    await started.#program.waitForLine((line) => line.startsWith('Ready.'), 'hublet dev is ready', 60_000)
    return started
  }

  get stdout(): string {
    return this.#program.stdout.toString()
  }

  /** The log and what is wrong. */
  get log(): string {
    return this.#program.stderr
  }

  get ended(): boolean {
    return this.#program.ended
  }

  async waitForLog(pattern: RegExp, timeoutMs = PATIENCE_MS): Promise<string> {
    return await waitUntil(`log ${pattern}`, () => pattern.exec(this.log)?.[0], { timeoutMs })
  }

  async waitForOutput(pattern: RegExp, timeoutMs = PATIENCE_MS): Promise<string> {
    return await waitUntil(`output ${pattern}`, () => pattern.exec(this.stdout)?.[0], { timeoutMs })
  }

  /** The printed commands under a title such as `Device lamp`. */
  commands(title: string): PrintedCommand[] {
    const lines = this.stdout.split('\n')
    const start = lines.findLastIndex((line) => line.startsWith(`  ${title}  `))
    if (start < 0) throw new Error(`nothing printed about ${title}:\n${this.stdout}`)
    const end = lines.indexOf('', start)
    const blocks = lines
      .slice(start + 1, end)
      .join('\n')
      .split(/^ {4}# /m)
      .slice(1)
    return blocks.map((block) => {
      const [label = '', ...rest] = block.split('\n')
      return { label, script: rest.join('\n') }
    })
  }

  command(title: string, label: RegExp): string {
    const found = this.commands(title).find((command) => label.test(command.label))
    if (found === undefined) throw new Error(`no command ${label} under ${title}:\n${this.stdout}`)
    return found.script
  }

  /** Of the hub printed last under that name. */
  port(listener: ListenerName, hub = 'garden'): number {
    const page = this.stdout.slice(this.stdout.lastIndexOf(`Hub ${hub}`))
    return Number(new RegExp(`^ {2}${listener}://localhost:(\\d+)`, 'm').exec(page)?.[1])
  }

  /** A client with the certificate that lies in the data folder. */
  async connectByCertificate(name: string, hub = 'garden'): Promise<MqttClient> {
    const inFolder = (file: string) => this.#workspace.read('.hublet', hub, 'devices', name, file)
    const client = new MqttClient(
      await openLink({
        listener: 'mqtts',
        port: this.port('mqtts', hub),
        tls: {
          ca: this.#workspace.read('.hublet', hub, 'ca.crt'),
          cert: inFolder('tls.crt'),
          key: inFolder('tls.key'),
        },
      }),
    )
    await accepted(client, { clientId: `test-${name}` })
    return client
  }

  /** A client that shows its id only. */
  async connectById(name: string, options: Parameters<MqttClient['connect']>[0] = {}): Promise<MqttClient> {
    const client = new MqttClient(await openLink({ port: this.port('mqtt') }))
    await accepted(client, { clientId: this.#workspace.deviceId(name), ...options })
    return client
  }

  async stop(signal: NodeJS.Signals = 'SIGINT'): Promise<number | null> {
    return (await this.#program.stop(signal)).code
  }

  kill(signal: NodeJS.Signals): void {
    this.#program.child.kill(signal)
  }

  async exitCode(): Promise<number | null> {
    return (await this.#program.exited).code
  }
}

async function accepted(client: MqttClient, options: Parameters<MqttClient['connect']>[0]): Promise<void> {
  const { returnCode } = await client.connect(options)
  if (returnCode !== 0) throw new Error(`CONNECT refused with ${returnCode}`)
}
