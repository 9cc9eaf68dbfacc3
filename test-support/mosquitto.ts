import { writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { join } from 'node:path'
import { freePort } from './free-port.ts'
import { type ProgramResult, RunningProgram, runProgram } from './run-program.ts'
import { makeTempDir } from './temp-dir.ts'
import { PATIENCE_MS, waitUntil, within } from './wait.ts'

/** How a mosquitto client reaches the broker and who it says it is. */
export interface MosquittoAccess {
  /** `localhost` when left out. */
  host?: string
  port: number
  /** `-i` */
  clientId?: string
  username?: string
  password?: string
  /** Paths of PEM files. `cafile` alone means server-only TLS. */
  cafile?: string
  cert?: string
  key?: string
  version?: 'mqttv31' | 'mqttv311' | 'mqttv5'
  /** Further arguments as they are. */
  args?: readonly string[]
}

export interface MosquittoMessage {
  topic: string
  payload: Buffer
  text: string
  qos: number
  retain: boolean
}

function accessArgs(access: MosquittoAccess): string[] {
  const named: [string, string | undefined][] = [
    ['-i', access.clientId],
    ['-u', access.username],
    ['-P', access.password],
    ['--cafile', access.cafile],
    ['--cert', access.cert],
    ['--key', access.key],
    ['-V', access.version],
  ]
  const given = named.flatMap(([flag, value]) => (value === undefined ? [] : [flag, value]))
  // The name in the server certificate; mosquitto checks it against what was asked for.
  return ['-h', access.host ?? 'localhost', '-p', String(access.port), ...given, ...(access.args ?? [])]
}

export interface MosquittoPubOptions extends MosquittoAccess {
  topic: string
  payload: string | Buffer
  qos?: 0 | 1 | 2
  retain?: boolean
  timeoutMs?: number
}

/** One mosquitto_pub to its end. Exit code 0: connected, published, acknowledged. */
export async function mosquittoPub(options: MosquittoPubOptions): Promise<ProgramResult> {
  const { topic, payload, qos = 0, retain = false, timeoutMs = PATIENCE_MS } = options
  // `-s` reads the payload from stdin but publishes nothing when that is empty.
  const source = payload.length === 0 ? '-n' : '-s'
  const args = [...accessArgs(options), '-t', topic, '-q', String(qos), ...(retain ? ['-r'] : []), source]
  return await runProgram('mosquitto_pub', args, { input: payload, timeoutMs })
}

export interface MosquittoSubOptions extends MosquittoAccess {
  topics: string | readonly string[]
  qos?: 0 | 1 | 2
  timeoutMs?: number
}

const LONGEST_RUN_MS = 24 * 3_600_000
const MESSAGE_LINE = /^=(\d) (\d) ([0-9A-Fa-f]*) (.*)$/

/** A running mosquitto_sub. `-d` makes it tell when the broker has acknowledged the subscription. */
export class MosquittoSub {
  readonly program: RunningProgram

  constructor(options: MosquittoSubOptions) {
    const { topics, qos = 0, timeoutMs = 300_000 } = options
    const filters = [topics].flat().flatMap((topic) => ['-t', topic])
    // Its debug lines stay in a buffer when stdout is a pipe, unless the C library is told otherwise.
    this.program = new RunningProgram(
      'stdbuf',
      [
        '-oL',
        'mosquitto_sub',
        ...accessArgs(options),
        '-d',
        '-q',
        String(qos),
        ...filters,
        '-F',
        '=%q %r %x %t',
      ],
      { timeoutMs },
    )
  }

  /** Messages so far, in order. */
  get messages(): MosquittoMessage[] {
    return this.program.lines.flatMap((line) => {
      const [, qos, retain, hex, topic] = MESSAGE_LINE.exec(line) ?? []
      if (qos === undefined || hex === undefined || topic === undefined) return []
      const payload = Buffer.from(hex, 'hex')
      return [{ topic, payload, text: payload.toString(), qos: Number(qos), retain: retain === '1' }]
    })
  }

  async waitForMessages(count: number, timeoutMs = PATIENCE_MS): Promise<MosquittoMessage[]> {
    return await waitUntil(
      `mosquitto_sub receives ${count} messages (has ${this.messages.length})`,
      () => (this.messages.length >= count ? this.messages : undefined),
      { timeoutMs },
    )
  }

  /** Resolves when the broker closed the link or refused it: mosquitto_sub then says so and ends or retries. */
  async waitForLine(pattern: RegExp, timeoutMs = PATIENCE_MS): Promise<string> {
    return await this.program.waitForLine((line) => pattern.test(line), String(pattern), timeoutMs)
  }

  async stop(): Promise<ProgramResult> {
    return await this.program.stop()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop()
  }
}

/** Starts a mosquitto_sub and waits until its subscription is acknowledged. Rejects when it is refused. */
export async function mosquittoSub(options: MosquittoSubOptions): Promise<MosquittoSub> {
  const sub = new MosquittoSub(options)
  await sub.waitForLine(/^Subscribed \(mid: \d+\)/)
  return sub
}

/**
 * A mosquitto broker on loopback: the yardstick of the benchmarks. `extra` are lines of its configuration,
 * `pin` comes before the command (`taskset -c 0`).
 */
export async function startMosquitto(
  extra: readonly string[] = [],
  pin: readonly string[] = [],
): Promise<{
  port: number
  program: RunningProgram
}> {
  const dir = makeTempDir('mosquitto')
  const port = await freePort()
  const config = join(dir, 'mosquitto.conf')
  // As root it would become the user `mosquitto`, who may not read our key files.
  const user = process.getuid?.() === 0 ? ['user root'] : []
  const lines = [...user, `listener ${port} 127.0.0.1`, 'allow_anonymous true', ...extra, '']
  writeFileSync(config, lines.join('\n'))
  const [command, ...args] = [...pin, 'mosquitto', '-c', config]
  const program = new RunningProgram(command as string, args, { timeoutMs: LONGEST_RUN_MS })
  await waitUntil('mosquitto listens', async () => {
    if (program.ended) throw new Error(program.stderr)
    return await canConnect(port)
  })
  return { port, program }
}

export async function canConnect(port: number): Promise<boolean> {
  const socket = connect(port, '127.0.0.1')
  const connected = new Promise<boolean>((resolve) => {
    socket.once('connect', () => resolve(true))
    socket.once('error', () => resolve(false))
  })
  return await within('TCP connect', PATIENCE_MS, connected).finally(() => socket.destroy())
}
