import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { MqttClient } from '../test-support/mqtt-client.ts'
import { runProgram } from '../test-support/run-program.ts'
import { waitUntil, within } from '../test-support/wait.ts'
import { deviceYaml, hubYaml } from './dev/manifests.fixture.ts'
import { DevProcess, Workspace } from './dev-process.fixture.ts'

let workspace: Workspace
let dev: DevProcess
beforeEach(async () => {
  workspace = await Workspace.make()
  dev = await DevProcess.start(workspace)
})
afterEach(async () => {
  expect(await dev.stop()).toBe(0)
})

/** A change shows within a second; a machine that is busy gets four more. */
const SOON_MS = 5_000

const cut = (client: MqttClient) => within('the link is cut', SOON_MS, client.closed)

/** Still the same link: it answers, and never closed. */
async function goesOn(client: MqttClient): Promise<void> {
  await client.ping()
  expect(client.isClosed).toBe(false)
}

const inDevice = (name: string, field: string) => (text: string) =>
  text.replace(new RegExp(`(name: ${name}\\nspec:\\n)`), `$1  ${field}\n`)

describe('an edit', () => {
  it('cuts the device that it takes its right from, and no other', async () => {
    const dashboard = await dev.connectById('dashboard')
    const pump = await dev.connectByCertificate('pump')
    workspace.edit('devices.yaml', (text) => text.replace('allowInsecure: true', 'allowInsecure: false'))
    await cut(dashboard)
    await goesOn(pump)
    await dev.waitForLog(/info {2}garden: manifests applied: 1 device changed \(dashboard\)/)
  })

  it('of filters is in force without cutting anybody', async () => {
    const thermometer = await dev.connectByCertificate('thermometer')
    const dashboard = await dev.connectById('dashboard')
    await dashboard.subscribe('#')
    await thermometer.publish('a', 'before', { qos: 1 })
    const field = 'messageFilters: { publish: { policy: Reject, topics: [a] } }'
    workspace.edit('devices.yaml', inDevice('thermometer', field))
    await dev.waitForLog(/1 device changed \(thermometer\)/, SOON_MS)
    await thermometer.publish('a', 'after', { qos: 1 })
    await thermometer.publish('b', 'other', { qos: 1 })
    const received = await dashboard.waitForMessages(2)
    expect(received.map(({ text }) => text)).toEqual(['before', 'other'])
    await goesOn(thermometer)
  })

  it('that revokes a device holds even when it is taken back', async () => {
    const pump = await dev.connectByCertificate('pump')
    const old = workspace.read('.hublet', 'garden', 'devices', 'pump', 'tls.crt')
    workspace.edit('devices.yaml', inDevice('pump', 'revoked: true'))
    await cut(pump)
    workspace.edit('devices.yaml', (text) => text.replace('  revoked: true\n', ''))
    await waitUntil(
      'a new certificate',
      () => workspace.read('.hublet', 'garden', 'devices', 'pump', 'tls.crt') !== old,
    )
    const again = await waitUntil('the new certificate is accepted', () => dev.connectByCertificate('pump'))
    await goesOn(again)
  })

  it('of a port starts that hub again on it, with a notice', async () => {
    const dashboard = await dev.connectById('dashboard')
    const before = dev.port('mqtt')
    workspace.edit('hub.yaml', (text) =>
      text
        .replace(/\bmqtt: \{ port: \d+/, `mqtt: { port: ${dev.port('ws')}`)
        .replace(/\bws: \{ port: \d+/, `ws: { port: ${before}`),
    )
    await cut(dashboard)
    await dev.waitForLog(/warn {2}garden: started again, because its listeners have changed/)
    await waitUntil('the page', () => dev.port('ws') === before)
    await goesOn(await dev.connectById('dashboard'))
  })

  it('that is not valid is reported by file, line and field, and the last good state goes on', async () => {
    const dashboard = await dev.connectById('dashboard')
    workspace.edit('devices.yaml', (text) => text.replace('allowInsecure: true', 'allowInsecure: perhaps'))
    const lines = workspace.read('manifests', 'devices.yaml').split('\n')
    const at = lines.findIndex((line) => line.includes('perhaps')) + 1
    const expected = new RegExp(
      `^manifests/devices\\.yaml:${at}: spec\\.allowInsecure: .*, got "perhaps"$`,
      'm',
    )
    await dev.waitForLog(expected, SOON_MS)
    await dev.waitForLog(/manifests not applied; what was good before goes on/)
    await goesOn(dashboard)
    workspace.write('more.yaml', deviceYaml('late'))
    workspace.edit('devices.yaml', (text) => text.replace('perhaps', 'true'))
    await dev.waitForLog(/the manifests are good again/, SOON_MS)
    await dev.waitForLog(/1 device added \(late\)/)
    await goesOn(dashboard)
  })
})

describe('a file', () => {
  it('that is added brings a device with commands that work, one that is deleted takes it away', async () => {
    const dashboard = await dev.connectById('dashboard')
    await dashboard.subscribe('#')
    workspace.write('more/lamp.yaml', deviceYaml('lamp'))
    await dev.waitForOutput(/^ {2}Device lamp {2}/m, SOON_MS)
    const send = dev.command('Device lamp', /^send/)
    expect(await runProgram('bash', ['-c', send], { cwd: workspace.path })).toMatchObject({ code: 0 })
    expect((await dashboard.waitForMessages(1))[0]).toMatchObject({ topic: 'lamp/demo', text: 'hello' })

    const lamp = await dev.connectByCertificate('lamp')
    workspace.remove('more/lamp.yaml')
    await cut(lamp)
    await goesOn(dashboard)
    await dev.waitForLog(/1 device removed \(lamp\)/)
  })

  it('with a further hub starts it, and takes it away again', async () => {
    const dashboard = await dev.connectById('dashboard')
    // Its ports are those of the first hub, so it gets others.
    const spec = /^spec:[\s\S]*/m.exec(workspace.read('manifests', 'hub.yaml'))?.[0] ?? ''
    workspace.write(
      'farm.yaml',
      `${hubYaml('X', 'farm').replace('spec: X\n', spec)}---\n${deviceYaml('cow').replace('name: garden', 'name: farm')}`,
    )
    await dev.waitForOutput(/^Hub farm$/m, SOON_MS)
    const cow = await waitUntil('the farm serves', () => dev.connectByCertificate('cow', 'farm'))
    await goesOn(cow)
    expect(dev.port('mqtts', 'farm')).not.toBe(dev.port('mqtts'))
    workspace.remove('farm.yaml')
    await cut(cow)
    await dev.waitForLog(/farm: stopped, because its manifest is gone/)
    await goesOn(dashboard)
  })
})
