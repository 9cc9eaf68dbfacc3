import { copyFileSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { gunzipSync } from 'node:zlib'
import { expect, it } from 'vitest'
import { freePort } from '../test-support/free-port.ts'
import { commandLines, tracesOf } from '../test-support/key-traces.ts'
import { MqttClient } from '../test-support/mqtt-client.ts'
import { openLink } from '../test-support/mqtt-link.ts'
import { type MadeCertificate, makeCertificate } from '../test-support/openssl.ts'
import { runProgram } from '../test-support/run-program.ts'
import { ShellDevice } from '../test-support/shell-device.ts'
import { waitUntil } from '../test-support/wait.ts'
import { DevProcess, Workspace } from './dev-process.fixture.ts'

const MAIN = join(import.meta.dirname, 'main.ts')
const PASSWORD = 'pass-0f3a9c-word'
/** The files of the data folder in which secrets belong, as docs/certificates.md says. */
const SECRET_FILES = /(\.key|\/token|\/password)$/
const SOON = { timeoutMs: 30_000 }

const indented = (pem: string) => pem.trim().replaceAll(/^/gm, '    ')
const tlsSecret = (name: string, { certPem, keyPem }: MadeCertificate) => `apiVersion: v1
kind: Secret
metadata: { name: ${name} }
stringData:
  tls.crt: |
${indented(certPem)}
  tls.key: |
${indented(keyPem)}
`

/** A second hub, with CA and server certificate of the user's, that takes devices by their certificates. */
const factory = (port: number) => `apiVersion: iot.hublet.dev/v1alpha1
kind: Hub
metadata: { name: factory }
spec:
  listeners: { mqtts: { port: ${port} }, mqtt: { enabled: false }, ws: { enabled: false }, wss: { enabled: false } }
  deviceCA: { secretRef: { name: factory-ca } }
  serverTLS: { secretRef: { name: factory-tls } }
  autoProvisioning: { enabled: true }
---
apiVersion: iot.hublet.dev/v1alpha1
kind: Device
metadata: { name: line }
spec:
  hubRef: { name: factory }
  certificate: { managed: { keyAlgorithm: RSA-2048 } }
---
apiVersion: iot.hublet.dev/v1alpha1
kind: Device
metadata: { name: gate }
spec:
  hubRef: { name: garden }
  certificate: { enrolled: {} }
---
apiVersion: iot.hublet.dev/v1alpha1
kind: Device
metadata: { name: display }
spec:
  hubRef: { name: garden }
  allowInsecure: true
  passwordSecretRef: { name: display }
---
apiVersion: v1
kind: Secret
metadata: { name: display }
stringData: { password: ${PASSWORD} }
`

/** A run of hublet dev whose every word is kept. */
class Run {
  readonly workspace: Workspace
  readonly #given: string[]
  readonly #secrets = new Map<string, string>()
  /** What was said outside of the data folder. */
  readonly #said: Array<[place: string, text: string]> = []
  readonly #commands = new Set<string>()
  readonly #watch = setInterval(() => this.#lookAtCommands(), 20)

  constructor(workspace: Workspace, given: readonly string[]) {
    this.workspace = workspace
    this.#given = [...given]
  }

  /** A key that is not in the data folder. */
  add(key: string): void {
    this.#given.push(key)
  }

  say(place: string, text: string): void {
    this.#said.push([place, text])
  }

  /** Secrets of now: the next rotation replaces them. */
  keep(): void {
    for (const name of this.workspace.dataFiles().filter((file) => SECRET_FILES.test(file)))
      this.#secrets.set(this.workspace.read('.hublet', name).trim(), name)
  }

  async hublet(...args: string[]): Promise<void> {
    const options = { cwd: this.workspace.path, timeoutMs: 60_000 }
    const { code, stdout, stderr } = await runProgram(process.execPath, [MAIN, ...args], options)
    expect({ args, code, stderr }).toEqual({ args, code: 0, stderr: '' })
    this.say(`output of hublet ${args[0]}`, stdout.toString())
    this.keep()
  }

  #lookAtCommands(): void {
    for (const line of commandLines()) this.#commands.add(line)
  }

  get keys(): string[] {
    const inFolder = [...this.#secrets.keys()].filter((text) => text.includes('PRIVATE KEY'))
    return [...new Set([...inFolder, ...this.#given])]
  }

  get others(): string[] {
    return [...this.#secrets.keys()].filter((text) => !text.includes('PRIVATE KEY'))
  }

  /** Places in which one of the secrets stands, where it does not belong. */
  leaks(): string[] {
    clearInterval(this.#watch)
    const { workspace } = this
    const bytesOf = (...parts: string[]) => readFileSync(join(workspace.path, ...parts), 'latin1')
    const files = workspace
      .dataFiles()
      .filter((file) => !SECRET_FILES.test(file) && isFile(join(workspace.path, '.hublet', file)))
      .map((file): [string, string] => [file, bytesOf('.hublet', file)])
    const traces = [...this.keys.flatMap(tracesOf), ...this.others]
    const found = [...this.#said, ...files].filter(([, text]) => holds(text, traces))
    const isInCommands = holds([...this.#commands].join('\n'), this.keys.flatMap(tracesOf))
    return [...found.map(([place]) => place), ...(isInCommands ? ['command lines'] : [])]
  }
}

const holds = (text: string, traces: readonly string[]) => traces.some((trace) => text.includes(trace))

function isFile(path: string): boolean {
  try {
    readFileSync(path)
    return true
  } catch {
    return false
  }
}

interface Running {
  run: Run
  dev: DevProcess
  /** mqtts of hub factory. */
  port: number
  ca: MadeCertificate
}

/** A device makes itself known; others are refused, for many reasons. */
async function connectAndBeRefused({ dev, port, ca }: Running): Promise<void> {
  const knock = async (listener: 'mqtts' | 'mqtt', at: number, made?: MadeCertificate) => {
    const tls = made && { cert: made.certPem, key: made.keyPem }
    const client = new MqttClient(await openLink({ listener, port: at, ...(tls && { tls }) }))
    const wrong = { clientId: 'x', username: 'display', password: Buffer.from('wrong') }
    const { returnCode } = await client.connect(wrong)
    client.close()
    return returnCode
  }
  const sensor = await makeCertificate({ commonName: 'SN-1', issuer: ca })
  expect(await knock('mqtts', port, sensor)).toBe(0)
  expect(await knock('mqtts', port, await makeCertificate({ commonName: 'SN-2' }))).not.toBe(0)
  expect(await knock('mqtts', dev.port('mqtts'), sensor)).not.toBe(0)
  expect(await knock('mqtt', dev.port('mqtt'))).not.toBe(0)
  const display = { username: 'display', password: Buffer.from(PASSWORD) }
  await (await dev.connectById('display', display)).ping()
}

async function giveEveryCommand({ run, dev }: Running): Promise<void> {
  await run.hublet('rotate', 'thermometer')
  await run.hublet('rotate', 'line')
  await run.hublet('revoke', 'dashboard')
  await run.hublet('revoke', 'dashboard', '--undo')
  await Promise.all([
    run.hublet('export'),
    run.hublet('can-i', 'pump', 'connect', '-f', 'manifests'),
    run.hublet('validate', '-f', 'manifests'),
    run.hublet('report', '-f', 'manifests', '--out', 'report.tar.gz'),
  ])
  run.say('report', gunzipSync(readFileSync(join(run.workspace.path, 'report.tar.gz'))).toString('latin1'))
  const printed = [...dev.commands('Network web'), ...dev.commands('Device thermometer')]
  for (const { label, script } of printed.filter(({ label }) => label.startsWith('send'))) {
    const { code, stdout, stderr } = await runProgram('bash', ['-c', script], { cwd: run.workspace.path })
    expect({ label, code, stderr }).toEqual({ label, code: 0, stderr: '' })
    run.say(`answer to: ${label}`, stdout.toString())
  }
  const url = `https://localhost:${dev.port('https')}/networks/web`
  const trust = ['--cacert', join(run.workspace.path, '.hublet/garden/ca.crt')]
  const wrong = await runProgram('curl', ['-sSi', ...trust, '-H', 'X-Secret: wrong', '-d', 'x', url])
  run.say('refusal over HTTP', wrong.stdout.toString())
}

/** A device that made its key itself, which nobody else has to see. */
async function enrol({ run, dev }: Running): Promise<void> {
  const gate = new ShellDevice('gate', {
    hub: `https://localhost:${dev.port('https')}`,
    mqttsPort: dev.port('mqtts'),
  })
  const from = join(run.workspace.path, '.hublet', 'garden')
  copyFileSync(join(from, 'devices', 'gate', 'token'), gate.file('token'))
  copyFileSync(join(from, 'ca.crt'), gate.file('ca.crt'))
  for (const recipe of ['enrol', 'renew'] as const) {
    const { code, stdout, stderr } = await gate.recipe(recipe)
    expect({ recipe, code, stderr }).toEqual({ recipe, code: 0, stderr: '' })
    run.say(
      `what the device got by ${recipe}`,
      stdout.toString() + readFileSync(gate.file('tls.crt'), 'latin1'),
    )
    run.add(readFileSync(gate.file('tls.key'), 'utf8'))
  }
  expect(await gate.connects()).toBe(true)
}

/** To good ones and to some that hold a key and are refused. */
async function changeManifests({ run: { workspace }, dev, ca }: Running): Promise<void> {
  workspace.edit('devices.yaml', (text) => text.replace('allowInsecure: true', 'allowInsecure: false'))
  await dev.waitForLog(/1 device changed/, SOON.timeoutMs)
  workspace.write('broken.yaml', tlsSecret('factory-ca', ca).replace('kind: Secret', 'kind: Secrets'))
  await dev.waitForLog(/not applied/, SOON.timeoutMs)
  workspace.remove('broken.yaml')
}

it('no private key of a whole run of hublet dev, no token and no password stands anywhere but in its own file', async () => {
  const ca = await makeCertificate({ commonName: 'factory CA', authority: true, keyType: 'RSA-2048' })
  const server = await makeCertificate({
    commonName: 'localhost',
    subjectAltName: 'DNS:localhost',
    issuer: ca,
  })
  const workspace = await Workspace.make()
  const port = await freePort()
  workspace.write('factory.yaml', factory(port))
  workspace.write(
    'secrets.yaml',
    [tlsSecret('factory-ca', ca), tlsSecret('factory-tls', server)].join('---\n'),
  )
  const run = new Run(workspace, [ca.keyPem, server.keyPem])
  const dev = await DevProcess.start(workspace, ['--log-level', 'trace'])
  const running = { run, dev, port, ca }
  run.keep()
  const pump = await dev.connectByCertificate('pump')
  await pump.subscribe('$hub/events/#')

  await connectAndBeRefused(running)
  await giveEveryCommand(running)
  await enrol(running)
  await changeManifests(running)
  const metrics = await fetch(/http:\/\/localhost:\d+\/metrics/.exec(dev.stdout)?.[0] ?? '')
  run.say('metrics', await metrics.text())
  await waitUntil('events have arrived', () => pump.messages.length > 1, SOON)
  run.say('events', pump.messages.map(({ topic, payload }) => `${topic} ${payload}`).join('\n'))
  run.keep()
  expect(await dev.stop()).toBe(0)
  const again = await DevProcess.start(workspace, ['--log-level', 'trace'])
  run.keep()
  expect(await again.stop()).toBe(0)
  for (const { stdout, log } of [dev, again]) run.say('output', stdout + log)

  // Authorities and servers, the devices, those of rotation and revocation once more, and the device's own.
  expect(run.keys.length).toBeGreaterThanOrEqual(2 + 2 + 1 + 5 + 3 + 2)
  expect(run.others.length).toBeGreaterThanOrEqual(4)
  expect(run.leaks()).toEqual([])
})
