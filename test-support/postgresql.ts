import { chmodSync, copyFileSync, existsSync, readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import pg from 'pg'
import { freePort } from './free-port.ts'
import { RunningProgram, runProgram } from './run-program.ts'
import { makeTempDir, removeTempDir } from './temp-dir.ts'
import { giveAway, unprivileged } from './unprivileged.ts'
import { waitUntil } from './wait.ts'

const DEBIAN_FOLDER = '/usr/lib/postgresql'
const LONGEST_RUN_MS = 3_600_000

/** Debian keeps the servers of all versions out of PATH. */
function programPath(name: string): string {
  const versions = existsSync(DEBIAN_FOLDER) ? readdirSync(DEBIAN_FOLDER) : []
  const paths = versions.map((version) => join(DEBIAN_FOLDER, version, 'bin', name)).filter(existsSync)
  return paths.toSorted((a, b) => b.localeCompare(a, 'en', { numeric: true }))[0] ?? name
}

export interface PostgresqlOptions {
  /** PEM files of a server certificate; the server then takes TLS and plain connections. */
  tls?: { cert: string; key: string }
}

/** A real PostgreSQL with a data folder of its own on a free port of 127.0.0.1. */
export class PostgresqlServer {
  readonly port: number
  readonly username = 'hublet'
  readonly password = 'open sesame'
  readonly #dir = makeTempDir('postgresql')
  readonly #options: PostgresqlOptions
  #program: RunningProgram | undefined

  constructor(port: number, options: PostgresqlOptions) {
    this.port = port
    this.#options = options
  }

  async create(): Promise<void> {
    const passwordFile = join(this.#dir, 'superuser')
    writeFileSync(passwordFile, this.password)
    giveAway(this.#dir)
    const data = ['-D', this.#data, '--no-sync', '-E', 'UTF8', '--locale=C']
    const access = ['-U', 'postgres', `--pwfile=${passwordFile}`, '--auth=scram-sha-256']
    const made = await runProgram(...unprivileged(programPath('initdb'), [...data, ...access]), {
      timeoutMs: 60_000,
      cwd: this.#dir,
    })
    if (made.code !== 0) throw new Error(`initdb: ${made.stderr}`)
    await this.start()
    await this.query(`CREATE ROLE ${this.username} LOGIN PASSWORD '${this.password}'`, 'postgres')
    await this.query(`CREATE DATABASE iot OWNER ${this.username}`, 'postgres')
  }

  /** Also again after `kill`. */
  async start(): Promise<void> {
    const args = [
      '-D',
      this.#data,
      '-h',
      '127.0.0.1',
      '-p',
      String(this.port),
      '-k',
      '',
      '-F',
      ...this.#tlsArgs(),
    ]
    this.#program = new RunningProgram(...unprivileged(programPath('postgres'), args), {
      timeoutMs: LONGEST_RUN_MS,
      cwd: this.#dir,
    })
    const program = this.#program
    await waitUntil(
      'postgres answers',
      async () => {
        if (program.ended) throw new Error(program.stderr)
        return (await this.query('SELECT 1', 'postgres')).length === 1
      },
      { timeoutMs: 30_000 },
    )
  }

  /** As the superuser. */
  async query(text: string, database = 'iot'): Promise<Record<string, unknown>[]> {
    const client = new pg.Client({
      host: '127.0.0.1',
      port: this.port,
      user: 'postgres',
      password: this.password,
      database,
    })
    await client.connect()
    try {
      return (await client.query<Record<string, unknown>>(text)).rows
    } finally {
      await client.end()
    }
  }

  async kill(): Promise<void> {
    // Its children notice that the postmaster is gone, but take their time: a new one waits for them.
    await this.#program?.stop('SIGQUIT')
  }

  async stop(): Promise<void> {
    await this.kill()
    removeTempDir(this.#dir)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop()
  }

  get #data(): string {
    return join(this.#dir, 'data')
  }

  #tlsArgs(): string[] {
    const { tls } = this.#options
    if (tls === undefined) return []
    const [cert, key] = [join(this.#dir, 'server.crt'), join(this.#dir, 'server.key')]
    copyFileSync(tls.cert, cert)
    copyFileSync(tls.key, key)
    chmodSync(key, 0o600)
    giveAway(this.#dir)
    return ['-c', 'ssl=on', '-c', `ssl_cert_file=${cert}`, '-c', `ssl_key_file=${key}`]
  }
}

export async function startPostgresql(options: PostgresqlOptions = {}): Promise<PostgresqlServer> {
  const server = new PostgresqlServer(await freePort(), options)
  await server.create()
  return server
}
