import { statSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { HttpDestination } from '../routes/sinks/rest/http-destination.fixture.ts'
import { RunningProgram, runProgram } from '../test-support/run-program.ts'
import { waitUntil } from '../test-support/wait.ts'
import { yaml } from './dev/manifests.fixture.ts'
import { DevProcess, Workspace } from './dev-process.fixture.ts'

/** What a user does with a printed command. */
const paste = (workspace: Workspace, script: string) =>
  runProgram('bash', ['-c', script], { cwd: workspace.path })

/** Pastes a command that goes on until it is stopped. */
const pasteInAnotherTerminal = (workspace: Workspace, script: string) =>
  new RunningProgram('bash', ['-c', `exec ${script.trim()}`], { cwd: workspace.path, timeoutMs: 120_000 })

/** Sends again until it arrives: a pasted mosquitto_sub does not tell when it has subscribed. */
async function arrives(sub: RunningProgram, send: () => Promise<unknown>, expected: string): Promise<void> {
  await waitUntil(`${expected} arrives`, async () => {
    await send()
    return sub.lines.includes(expected)
  })
}

describe('the quickstart', () => {
  let workspace: Workspace
  let dev: DevProcess
  beforeAll(async () => {
    workspace = await Workspace.make()
    dev = await DevProcess.start(workspace)
  })
  afterAll(async () => {
    await dev?.stop()
  })

  it('is told in lines that fit a terminal of 100 columns', () => {
    expect(dev.stdout.split('\n').filter((line) => line.length > 100)).toEqual([])
    expect(dev.stdout).not.toContain('\u001b')
  })

  it('listens where it says', () => {
    for (const listener of ['mqtts', 'mqtt', 'wss', 'ws', 'https'] as const)
      expect([listener, dev.port(listener)]).toEqual([listener, expect.any(Number)])
  })

  it.each([
    ['Device thermometer', /send with its certificate/, 'thermometer/demo hello'],
    ['Device dashboard', /send with its certificate/, 'dashboard/demo hello'],
    ['Device dashboard', /send without a certificate/, 'dashboard/demo hello'],
  ])('%s: the pasted command to %s is received', async (title, label, expected) => {
    const receiver = title === 'Device thermometer' ? 'Device dashboard' : 'Device thermometer'
    const sub = pasteInAnotherTerminal(workspace, dev.command(receiver, /^receive/))
    const send = () => paste(workspace, dev.command(title, label))
    await arrives(sub, async () => expect(await send()).toMatchObject({ code: 0, stderr: '' }), expected)
    await sub.stop()
  })

  it('the filtered device sends and receives on its own topics', async () => {
    const sub = pasteInAnotherTerminal(workspace, dev.command('Device dashboard', /receive without/))
    const send = () => paste(workspace, dev.command('Device pump', /^send/))
    await arrives(sub, send, 'devices/pump/demo hello')
    await sub.stop()
    const pump = pasteInAnotherTerminal(workspace, dev.command('Device pump', /^receive/))
    const topic = 'devices/pump/set'
    const sendTo = dev.command('Device dashboard', /send without/).replace('dashboard/demo', topic)
    await arrives(pump, () => paste(workspace, sendTo), `${topic} hello`)
    await pump.stop()
  })

  it.each([
    ['Network web', 'web/demo hello'],
    ['Network sigfox', 'sigfox/demo hello'],
  ])('%s: the pasted curl command is answered with 204 and its message received', async (title, expected) => {
    const sub = pasteInAnotherTerminal(workspace, dev.command('Device dashboard', /receive without/))
    const curl = dev.command(title, /^send/)
    await arrives(
      sub,
      async () => expect((await paste(workspace, curl)).stdout.toString()).toBe('204\n'),
      expected,
    )
    await sub.stop()
  })

  it('the pasted command shows events, and the log has them too', async () => {
    const sub = pasteInAnotherTerminal(workspace, dev.command('Events', /^watch as pump/))
    const id = workspace.deviceId('thermometer')
    const withoutCertificate = [
      '-h',
      'localhost',
      '-p',
      String(dev.port('mqtt')),
      '-i',
      id,
      '-t',
      'x',
      '-m',
      'x',
    ]
    await waitUntil('the event arrives', async () => {
      await runProgram('mosquitto_pub', withoutCertificate)
      return sub.lines.some((line) => line.startsWith(`$hub/events/error/device/${id} {`))
    })
    await dev.waitForLog(/error garden: mutual TLS authentication is required {2}.*device=thermometer/)
    await sub.stop()
  })

  it('keeps keys, tokens and messages to their owner', () => {
    const secret = workspace.dataFiles().filter((name) => /(\.key|token|sqlite.*|identity\.json)$/.test(name))
    expect(secret.length).toBeGreaterThanOrEqual(9)
    for (const name of secret) expect([name, modeOf(workspace, name)]).toEqual([name, '600'])
    expect(modeOf(workspace, 'garden/devices')).toBe('700')
  })

  it('prints no secret', () => {
    const everything = dev.stdout + dev.log
    expect(everything).not.toContain(workspace.read('.hublet', 'garden', 'networks', 'web', 'token'))
    expect(everything).not.toContain('PRIVATE KEY')
  })

  it('is for one process: a second one on the same data ends with 1 and says why', async () => {
    const second = new DevProcess(workspace)
    expect(await second.exitCode()).toBe(1)
    expect(second.log).toContain('another hublet uses it')
  })

  it('gives a second one on other data other ports, and says so', async () => {
    const second = await DevProcess.start(workspace, ['--data', '.other'])
    try {
      expect(second.stdout).toContain(`(${dev.port('mqtts')} is taken)`)
      expect(second.port('mqtts')).not.toBe(dev.port('mqtts'))
    } finally {
      expect(await second.stop()).toBe(0)
    }
  })
})

describe('a restart', () => {
  it('keeps identities, retained messages and sessions with what waits for them', async () => {
    const workspace = await Workspace.make()
    let dev = await DevProcess.start(workspace)
    const id = workspace.deviceId('dashboard')
    const before = ['ca.crt', 'devices/pump/tls.crt', 'networks/web/token'].map((file) =>
      workspace.read('.hublet', 'garden', file),
    )
    const dashboard = await dev.connectById('dashboard', { clean: false })
    await dashboard.subscribe('thermometer/#', 1)
    await dashboard.disconnect()
    const thermometer = await dev.connectByCertificate('thermometer')
    await thermometer.publish('thermometer/now', '21', { qos: 1 })
    await thermometer.publish('thermometer/unit', 'C', { qos: 1, retain: true })
    expect(await dev.stop('SIGTERM')).toBe(0)

    dev = await DevProcess.start(workspace)
    expect(workspace.deviceId('dashboard')).toBe(id)
    const after = ['ca.crt', 'devices/pump/tls.crt', 'networks/web/token'].map((file) =>
      workspace.read('.hublet', 'garden', file),
    )
    expect(after).toEqual(before)
    const again = await dev.connectById('dashboard', { clean: false })
    const waiting = await again.waitForMessages(2)
    expect(waiting.map(({ topic, text }) => [topic, text])).toEqual([
      ['thermometer/now', '21'],
      ['thermometer/unit', 'C'],
    ])
    const pump = await dev.connectByCertificate('thermometer')
    await pump.subscribe('thermometer/unit', 1)
    expect((await pump.waitForMessages(1))[0]).toMatchObject({ text: 'C', retain: true })
    expect(await dev.stop()).toBe(0)
  })

  it('loses nothing that was acknowledged when the process is killed', async () => {
    const workspace = await Workspace.make()
    let dev = await DevProcess.start(workspace)
    const thermometer = await dev.connectByCertificate('thermometer')
    await thermometer.publish('thermometer/unit', 'C', { qos: 1, retain: true })
    await dev.stop('SIGKILL')
    dev = await DevProcess.start(workspace)
    const dashboard = await dev.connectById('dashboard')
    await dashboard.subscribe('thermometer/unit')
    expect((await dashboard.waitForMessages(1))[0]).toMatchObject({ text: 'C', retain: true })
    await dev.stop()
  })
})

describe('the end', () => {
  it.each(['SIGINT', 'SIGTERM'] as const)('is clean on %s, also with devices connected', async (signal) => {
    const workspace = await Workspace.make()
    const dev = await DevProcess.start(workspace)
    const dashboard = await dev.connectById('dashboard')
    expect(await dev.stop(signal)).toBe(0)
    await dashboard.closed
    expect(dev.log).toMatch(/stopped\n$/)
  })

  it('waits for a delivery that is under way, and is forced by a second signal, with 130', async () => {
    const silent = new HttpDestination()
    silent.answer = () => {}
    await silent.start()
    const workspace = await Workspace.make()
    const rest = `rest: { url: 'http://127.0.0.1:${silent.port}/' }`
    workspace.write('out.yaml', yaml('Route', 'out', `{ hubRef: { name: garden }, topic: out, ${rest} }`))
    const dev = await DevProcess.start(workspace)
    const dashboard = await dev.connectById('dashboard')
    await dashboard.publish('out', 'x', { qos: 1 })
    await waitUntil('the delivery is under way', () => silent.seen.length > 0)
    dev.kill('SIGINT')
    await dev.waitForLog(/stopping/)
    dev.kill('SIGTERM')
    expect(await dev.exitCode()).toBe(130)
    await silent.stop()
  })

  it('comes at once with 1 when an address cannot be listened on', async () => {
    const dev = new DevProcess(await Workspace.make(), ['--bind', '192.0.2.1'])
    expect(await dev.exitCode()).toBe(1)
    expect(dev.log).toMatch(/hub garden could not be started: .*192\.0\.2\.1/)
  })

  it('comes at once with 1, file, line and field when the first manifests are bad', async () => {
    const workspace = await Workspace.make()
    workspace.edit('hub.yaml', (text) => text.replace('enabled: true', 'enabled: maybe'))
    const dev = new DevProcess(workspace)
    expect(await dev.exitCode()).toBe(1)
    expect(dev.log).toMatch(/^manifests\/hub\.yaml:\d+: spec\.events\.enabled: .*, got "maybe"$/m)
  })

  it('does not come because another program has a port', async () => {
    const workspace = await Workspace.make()
    const port = Number(/\bmqtt: \{ port: (\d+)/.exec(workspace.read('manifests', 'hub.yaml'))?.[1])
    const other = createServer().listen(port, '127.0.0.1')
    const dev = await DevProcess.start(workspace)
    expect(dev.stdout).toContain(`(${port} is taken)`)
    const dashboard = await dev.connectById('dashboard')
    await dashboard.ping()
    await dev.stop()
    await new Promise((resolve) => other.close(resolve))
  })
})

const modeOf = (workspace: Workspace, file: string) =>
  (statSync(join(workspace.path, '.hublet', file)).mode & 0o777).toString(8)
