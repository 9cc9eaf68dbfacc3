import { freePort } from './free-port.ts'
import { canConnect } from './mosquitto.ts'
import { RunningProgram } from './run-program.ts'
import { waitUntil } from './wait.ts'

const LONGEST_RUN_MS = 3_600_000

/** A real HAProxy that runs a file of configuration in the foreground. */
export class HaProxy {
  readonly port: number
  readonly #program: RunningProgram

  private constructor(port: number, program: RunningProgram) {
    this.port = port
    this.#program = program
  }

  /** `environment`: what the file names; BIND_ADDRESS and BIND_PORT, a free one, are among it. */
  static async start(file: string, environment: Readonly<Record<string, string>>): Promise<HaProxy> {
    const port = await freePort()
    const env = { ...environment, BIND_ADDRESS: '127.0.0.1', BIND_PORT: String(port) }
    const program = new RunningProgram('haproxy', ['-db', '-f', file], { timeoutMs: LONGEST_RUN_MS, env })
    await waitUntil(
      'haproxy listens',
      async () => {
        if (program.ended) throw new Error(`${program.stdout}${program.stderr}`)
        return await canConnect(port)
      },
      { timeoutMs: 30_000 },
    )
    return new HaProxy(port, program)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#program.stop('SIGKILL')
  }
}
