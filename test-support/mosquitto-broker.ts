import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { freePort } from './free-port.ts'
import { canConnect, type MosquittoAccess } from './mosquitto.ts'
import { makeServerCertificate } from './openssl.ts'
import { RunningProgram, runProgram } from './run-program.ts'
import { makeTempDir, removeTempDir } from './temp-dir.ts'
import { waitUntil } from './wait.ts'

const LONGEST_RUN_MS = 3_600_000
const START_MS = 20_000

/** A mosquitto that knows its users, has TLS on a second port, and comes back with what it had stored. */
export class MosquittoBroker {
  readonly username = 'hublet'
  readonly password = 'open sesame'
  readonly port: number
  readonly tlsPort: number
  /** PEM, of the certificate on `tlsPort`. */
  readonly ca: string
  readonly #dir: string
  #program: RunningProgram | undefined

  constructor(dir: string, ca: string, ports: { plain: number; tls: number }) {
    this.#dir = dir
    this.ca = ca
    this.port = ports.plain
    this.tlsPort = ports.tls
  }

  /** For the mosquitto programs. */
  get access(): MosquittoAccess {
    return { port: this.port, username: this.username, password: this.password }
  }

  async start(): Promise<void> {
    const program = new RunningProgram('mosquitto', ['-c', join(this.#dir, 'mosquitto.conf')], {
      timeoutMs: LONGEST_RUN_MS,
    })
    this.#program = program
    await waitUntil(
      'mosquitto listens',
      async () => {
        if (program.ended) throw new Error(program.stderr)
        return await canConnect(this.port)
      },
      { timeoutMs: START_MS },
    )
  }

  /** By SIGTERM it stores what it has; by SIGKILL what was not stored yet is gone. */
  async halt(signal: NodeJS.Signals = 'SIGTERM'): Promise<void> {
    await this.#program?.stop(signal)
  }

  async stop(): Promise<void> {
    await this.halt('SIGKILL')
    removeTempDir(this.#dir)
  }
}

/** `extra` are lines of its configuration. Users: `hublet` may do everything, `guest` write `guest/#` only. */
export async function startMosquittoBroker(extra: readonly string[] = []): Promise<MosquittoBroker> {
  const dir = makeTempDir('mosquitto')
  const ports = { plain: await freePort(), tls: await freePort() }
  const { authority, server } = await makeServerCertificate()
  const users = join(dir, 'users')
  writeFileSync(users, '', { mode: 0o600 })
  const broker = new MosquittoBroker(dir, authority.certPem, ports)
  for (const [name, password] of [
    [broker.username, broker.password],
    ['guest', 'guest'],
  ] as const) {
    const { code, stderr } = await runProgram('mosquitto_passwd', ['-b', users, name, password])
    if (code !== 0) throw new Error(`mosquitto_passwd failed: ${stderr}`)
  }
  const acl = join(dir, 'acl')
  writeFileSync(acl, `user ${broker.username}\ntopic readwrite #\nuser guest\ntopic write guest/#\n`, {
    mode: 0o600,
  })
  const lines = [
    // As root it would become the user `mosquitto`, who may not read our files.
    ...(process.getuid?.() === 0 ? ['user root'] : []),
    `listener ${ports.plain} 127.0.0.1`,
    `listener ${ports.tls} 127.0.0.1`,
    `certfile ${server.certPath}`,
    `keyfile ${server.keyPath}`,
    'allow_anonymous false',
    `password_file ${users}`,
    `acl_file ${acl}`,
    'persistence true',
    `persistence_location ${dir}/`,
    'max_queued_messages 0',
    ...extra,
    '',
  ]
  writeFileSync(join(dir, 'mosquitto.conf'), lines.join('\n'))
  await broker.start()
  return broker
}
