import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { mosquittoPub } from './mosquitto.ts'
import { type ProgramResult, runProgram } from './run-program.ts'
import { makeTempDir } from './temp-dir.ts'

const DOCUMENTATION = join(import.meta.dirname, '..', 'docs', 'enrolment.md')

export interface ShellDeviceOptions {
  /** URL of the hub's https listener. */
  hub: string
  /** Lines for curl. */
  curlrc?: string
  mqttsPort: number
  /** Further arguments of mosquitto_pub. */
  mosquittoArgs?: readonly string[]
}

/** A device with openssl and curl: a folder with what a person brought there (`token`, `ca.crt`). */
export class ShellDevice {
  readonly name: string
  readonly folder = makeTempDir('device')
  readonly #options: ShellDeviceOptions
  readonly #env: Record<string, string>

  constructor(name: string, options: ShellDeviceOptions) {
    this.name = name
    this.#options = options
    writeFileSync(this.file('.curlrc'), options.curlrc ?? '')
    this.#env = { CURL_HOME: this.folder, HUB: options.hub, DEVICE: name }
  }

  file(name: string): string {
    return join(this.folder, name)
  }

  run(script: string): Promise<ProgramResult> {
    return runProgram('sh', ['-e', '-c', script], { cwd: this.folder, env: this.#env, timeoutMs: 60_000 })
  }

  /** As the documentation has it. */
  async recipe(name: 'enrol' | 'renew'): Promise<ProgramResult> {
    const text = readFileSync(DOCUMENTATION, 'utf8')
    const script = new RegExp(`<!-- ${name} -->\\n\`\`\`sh\\n([\\s\\S]*?)\`\`\``).exec(text)?.[1]
    if (script === undefined) throw new Error(`docs/enrolment.md has no recipe ${name}`)
    return await this.run(script)
  }

  /** Sends a request of the folder with the token; HTTP status and code of the problem. The body is in `<request>.answer`. */
  async enrol(request = 'request', token = 'token', device = this.name): Promise<string> {
    // One a request: two may be under way.
    const answer = `${request}.answer`
    const { stdout } = await this.run(
      `printf 'user = "%s:%s"\\n' '${device}' "$(cat ${token})" | curl -sS -K - --cacert ca.crt ` +
        `--data-binary @${request} -o ${answer} -w '%{http_code}' "$HUB/.well-known/est/simpleenroll"`,
    )
    const status = stdout.toString()
    if (status === '200') return status
    return `${status} ${JSON.parse(readFileSync(this.file(answer), 'utf8')).code}`
  }

  async makeRequest(name: string, key: string, subject = `/CN=${this.name}`): Promise<void> {
    await this.run(
      `openssl genpkey ${key} -out ${name}.key && ` +
        `openssl req -new -key ${name}.key -subj '${subject}' -outform DER | openssl base64 >${name}`,
    )
  }

  /** With a certificate and key of its folder, by mosquitto_pub. */
  async connects(certificate = 'tls'): Promise<boolean> {
    const { mqttsPort: port, mosquittoArgs: args = [] } = this.#options
    const { code } = await mosquittoPub({
      port,
      cafile: this.file('ca.crt'),
      cert: this.file(`${certificate}.crt`),
      key: this.file(`${certificate}.key`),
      args,
      topic: 'a',
      payload: 'x',
      qos: 1,
    })
    return code === 0
  }
}
