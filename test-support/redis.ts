import { closeSync, openSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { Redis, type RedisOptions } from 'ioredis'
import { freePort } from './free-port.ts'
import { RunningProgram } from './run-program.ts'
import { makeTempDir, removeTempDir } from './temp-dir.ts'
import { waitUntil } from './wait.ts'

export interface RedisServerOptions {
  /** `always`: an append-only file, flushed before every answer. Default: nothing is written to disk. */
  fsync?: 'always' | 'everysec'
  /** Of the user `default`. */
  password?: string
  /** With an ACL file, so that users survive a restart. */
  aclFile?: boolean
  /** PEM files of a server certificate; plain TCP is off then. */
  tls?: { cert: string; key: string }
  /** Further options, such as `['--maxmemory', '4mb']`. */
  args?: readonly string[]
}

type ClientOptions = Omit<RedisOptions, 'replyMapping'>

const LONGEST_RUN_MS = 3_600_000

/** A real redis-server on a free port of 127.0.0.1, with a directory of its own. */
export class RedisServer {
  readonly port: number
  readonly dir: string
  readonly #options: RedisServerOptions
  #program: RunningProgram | undefined
  readonly #clients: Redis[] = []

  constructor(port: number, options: RedisServerOptions) {
    this.port = port
    this.#options = options
    this.dir = makeTempDir('redis')
    if (options.aclFile === true) closeSync(openSync(join(this.dir, 'users.acl'), 'w'))
  }

  get url(): string {
    return `${this.#options.tls === undefined ? 'redis' : 'rediss'}://127.0.0.1:${this.port}`
  }

  get pid(): number | undefined {
    return this.#program?.child.pid
  }

  /** Also again after `stop` or `kill`: same port, same directory. */
  async start(): Promise<void> {
    const program = new RunningProgram('redis-server', this.#args(), { timeoutMs: LONGEST_RUN_MS })
    this.#program = program
    await waitUntil(
      'redis-server listens',
      () => {
        if (program.ended) throw new Error(`${program.stdout}${program.stderr}`)
        return program.lines.some((line) => line.includes('Ready to accept connections'))
      },
      { intervalMs: 5 },
    )
  }

  /** As a crash does: no answer that is under way is sent. */
  async kill(): Promise<void> {
    await this.#program?.stop('SIGKILL')
  }

  async stop(): Promise<void> {
    for (const client of this.#clients.splice(0)) client.disconnect()
    await this.#program?.stop('SIGKILL')
    removeTempDir(this.dir)
  }

  /** A client that does not reconnect, closed together with the server. */
  client(options: ClientOptions = {}): Redis {
    const password = this.#options.password
    const connection: ClientOptions = { host: '127.0.0.1', port: this.port, retryStrategy: null }
    if (password !== undefined) connection.password = password
    const client = new Redis({ ...connection, ...options })
    client.on('error', () => {})
    this.#clients.push(client)
    return client
  }

  /** All that was ever written to disk, as bytes. */
  diskContent(): Buffer {
    const files = readdirSync(this.dir, { recursive: true, withFileTypes: true }).filter((it) => it.isFile())
    return Buffer.concat(files.map((file) => readFileSync(join(file.parentPath, file.name))))
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop()
  }

  #args(): string[] {
    const { fsync, password, aclFile, tls, args = [] } = this.#options
    const port = String(this.port)
    const ports = tls === undefined ? ['--port', port] : ['--port', '0', '--tls-port', port]
    return [
      ...['--bind', '127.0.0.1', '--dir', this.dir, '--save', '', '--daemonize', 'no'],
      ...ports,
      ...(fsync === undefined ? ['--appendonly', 'no'] : ['--appendonly', 'yes', '--appendfsync', fsync]),
      ...(password === undefined ? [] : ['--requirepass', password]),
      ...(aclFile === true ? ['--aclfile', join(this.dir, 'users.acl')] : []),
      ...(tls === undefined ? [] : ['--tls-cert-file', tls.cert, '--tls-key-file', tls.key]),
      ...(tls === undefined ? [] : ['--tls-auth-clients', 'no']),
      ...args,
    ]
  }
}

export async function startRedis(options: RedisServerOptions = {}): Promise<RedisServer> {
  const server = new RedisServer(await freePort(), options)
  await server.start()
  return server
}
