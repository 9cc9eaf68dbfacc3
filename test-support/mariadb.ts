import { chmodSync, copyFileSync } from 'node:fs'
import { join } from 'node:path'
import { createConnection } from 'mysql2/promise'
import { freePort } from './free-port.ts'
import { RunningProgram, runProgram } from './run-program.ts'
import { makeTempDir, removeTempDir } from './temp-dir.ts'
import { giveAway, unprivileged } from './unprivileged.ts'
import { waitUntil } from './wait.ts'

const LONGEST_RUN_MS = 3_600_000

export interface MariadbOptions {
  /** PEM files of a server certificate; the server then takes TLS and plain connections. */
  tls?: { cert: string; key: string }
}

/** A real MariaDB with a data folder of its own on a free port of 127.0.0.1. */
export class MariadbServer {
  readonly port: number
  readonly username = 'hublet'
  readonly password = 'open sesame'
  readonly #dir = makeTempDir('mariadb')
  readonly #options: MariadbOptions
  #program: RunningProgram | undefined

  constructor(port: number, options: MariadbOptions) {
    this.port = port
    this.#options = options
  }

  async create(): Promise<void> {
    giveAway(this.#dir)
    const args = [
      '--no-defaults',
      `--datadir=${this.#data}`,
      '--auth-root-authentication-method=normal',
      '--skip-test-db',
    ]
    const made = await runProgram(...unprivileged('mariadb-install-db', args), {
      timeoutMs: 60_000,
      cwd: this.#dir,
    })
    if (made.code !== 0) throw new Error(`mariadb-install-db: ${made.stderr}${made.stdout}`)
    await this.start()
    await this.query('CREATE DATABASE iot', 'mysql')
    await this.query(`CREATE USER ${this.username}@'%' IDENTIFIED BY '${this.password}'`, 'mysql')
    await this.query(`GRANT ALL ON iot.* TO ${this.username}@'%'`, 'mysql')
  }

  /** Also again after `kill`. */
  async start(): Promise<void> {
    const files = [
      `--datadir=${this.#data}`,
      `--socket=${join(this.#dir, 's')}`,
      `--pid-file=${join(this.#dir, 'pid')}`,
    ]
    const network = [
      '--bind-address=127.0.0.1',
      `--port=${this.port}`,
      '--skip-name-resolve',
      ...this.#tlsArgs(),
    ]
    const small = ['--innodb-buffer-pool-size=32M', '--innodb-flush-log-at-trx-commit=2']
    const command = unprivileged('mariadbd', ['--no-defaults', ...files, ...network, ...small])
    const program = new RunningProgram(...command, { timeoutMs: LONGEST_RUN_MS, cwd: this.#dir })
    this.#program = program
    await waitUntil(
      'mariadbd answers',
      async () => {
        if (program.ended) throw new Error(program.stderr)
        return (await this.query('SELECT 1', 'mysql')).length === 1
      },
      { timeoutMs: 30_000 },
    )
  }

  /** As the superuser. */
  async query(text: string, database = 'iot'): Promise<Record<string, unknown>[]> {
    const connection = await createConnection({
      host: '127.0.0.1',
      port: this.port,
      user: 'root',
      database,
      timezone: 'Z',
    })
    try {
      const [rows] = await connection.query(text)
      return Array.isArray(rows) ? (rows as Record<string, unknown>[]).map((row) => ({ ...row })) : []
    } finally {
      await connection.end()
    }
  }

  async kill(): Promise<void> {
    await this.#program?.stop('SIGKILL')
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
    return [`--ssl-cert=${cert}`, `--ssl-key=${key}`]
  }
}

export async function startMariadb(options: MariadbOptions = {}): Promise<MariadbServer> {
  const server = new MariadbServer(await freePort(), options)
  await server.create()
  return server
}
