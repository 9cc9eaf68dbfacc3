import { existsSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { jetstreamManager } from '@nats-io/jetstream'
import { connect, type NatsConnection } from '@nats-io/transport-node'
import { freePort } from './free-port.ts'
import { RunningProgram } from './run-program.ts'
import { makeTempDir, removeTempDir } from './temp-dir.ts'
import { waitUntil } from './wait.ts'

const LONGEST_RUN_MS = 3_600_000
const BUILT = join(import.meta.dirname, '../.cache/tools/nats-server')

export interface NatsMessage {
  subject: string
  payload: Buffer
  headers: Record<string, string>
}

/** A real NATS server with JetStream, on a free port of 127.0.0.1. */
export class NatsServer {
  readonly port: number
  readonly username = 'hublet'
  readonly password = 'open sesame'
  readonly #dir = makeTempDir('nats')
  readonly #extra: readonly string[]
  #program: RunningProgram | undefined
  #connection: NatsConnection | undefined

  /** `extra` are lines of its configuration. */
  constructor(port: number, extra: readonly string[]) {
    this.port = port
    this.#extra = extra
  }

  async start(): Promise<void> {
    const config = join(this.#dir, 'nats.conf')
    const lines = [
      `listen: "127.0.0.1:${this.port}"`,
      `jetstream: { store_dir: "${join(this.#dir, 'data')}" }`,
      'max_payload: 8388608',
      `authorization: { users: [`,
      `  { user: "${this.username}", password: "${this.password}" }`,
      `  { user: "guest", password: "guest", permissions: { publish: "guest.>" } }`,
      `] }`,
      ...this.#extra,
    ]
    writeFileSync(config, lines.join('\n'))
    const command = existsSync(BUILT) ? BUILT : 'nats-server'
    this.#program = new RunningProgram(command, ['-c', config], { timeoutMs: LONGEST_RUN_MS })
    const program = this.#program
    this.#connection = await waitUntil(
      'nats-server answers',
      async () => {
        if (program.ended) throw new Error(`${program.stdout}${program.stderr}`)
        return await this.#connect().catch(() => undefined)
      },
      { timeoutMs: 15_000 },
    )
  }

  /** Kills the server; what is stored stays for the next start. */
  async halt(): Promise<void> {
    await this.#connection?.close()
    this.#connection = undefined
    await this.#program?.stop('SIGKILL')
  }

  async createStream(
    name: string,
    options: { subjects: string[]; [option: string]: unknown },
  ): Promise<void> {
    const manager = await jetstreamManager(this.#ready())
    await manager.streams.add({ ...options, name })
  }

  /** What is in the stream, in order; it is taken out. */
  async takeMessages(stream: string): Promise<NatsMessage[]> {
    const manager = await jetstreamManager(this.#ready())
    const { state } = await manager.streams.info(stream)
    const taken: NatsMessage[] = []
    for (let seq = state.first_seq; seq <= state.last_seq; seq += 1) {
      const found = await manager.streams.getMessage(stream, { seq })
      if (found === null) continue
      const headers = Object.fromEntries([...found.header].map(([name, [value = '']]) => [name, value]))
      taken.push({ subject: found.subject, payload: Buffer.from(found.data), headers })
    }
    // No more than what was read: others may have come meanwhile.
    await manager.streams.purge(stream, { seq: state.last_seq + 1 })
    return taken
  }

  /** Empties the stream; tells how many messages it had. */
  async purge(stream: string): Promise<number> {
    const manager = await jetstreamManager(this.#ready())
    return (await manager.streams.purge(stream)).purged
  }

  async deleteStream(name: string): Promise<void> {
    const manager = await jetstreamManager(this.#ready())
    await manager.streams.delete(name)
  }

  async stop(): Promise<void> {
    await this.halt()
    removeTempDir(this.#dir)
  }

  async #connect(): Promise<NatsConnection> {
    const { username: user, password: pass, port } = this
    const tls = this.#extra.some((line) => line.startsWith('tls')) ? { rejectUnauthorized: false } : null
    return await connect({ servers: `127.0.0.1:${port}`, user, pass, tls, reconnect: false })
  }

  #ready(): NatsConnection {
    if (this.#connection === undefined) throw new Error('the NATS server is not running')
    return this.#connection
  }
}

export async function startNats(extra: readonly string[] = []): Promise<NatsServer> {
  const server = new NatsServer(await freePort(), extra)
  await server.start()
  return server
}
