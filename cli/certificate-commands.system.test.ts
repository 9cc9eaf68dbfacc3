import { join } from 'node:path'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { runProgram } from '../test-support/run-program.ts'
import { waitUntil, within } from '../test-support/wait.ts'
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

const MAIN = join(import.meta.dirname, 'main.ts')
const SOON_MS = 30_000

async function hublet(...args: string[]) {
  const options = { cwd: workspace.path }
  const { code, stdout, stderr } = await runProgram(process.execPath, [MAIN, ...args], options)
  return { code, stdout: stdout.toString(), stderr }
}

const certificate = () => workspace.read('.hublet', 'garden', 'devices', 'pump', 'tls.crt')

it('hublet rotate gives a device of hublet dev another certificate and leaves its link alone', async () => {
  const pump = await dev.connectByCertificate('pump')
  const before = certificate()
  expect(await hublet('rotate', 'pump')).toEqual({
    code: 0,
    stdout:
      'device pump of hub garden in hublet dev (.hublet) has a new certificate; the one before is accepted until the new one was used\n',
    stderr: '',
  })
  expect(certificate()).not.toBe(before)
  await pump.ping()
  // It comes back by the new one, which closes the link of the old one: a device has one connection.
  const next = await dev.connectByCertificate('pump')
  await within('the older link is closed', SOON_MS, pump.closed)
  await next.ping()
})

it('hublet revoke cuts a device off, for as long as it is not undone, whatever the manifests say', async () => {
  const pump = await dev.connectByCertificate('pump')
  const other = await dev.connectByCertificate('thermometer')
  const before = certificate()
  expect((await hublet('revoke', 'pump')).code).toBe(0)
  await within('the link is cut', SOON_MS, pump.closed)
  await expect(dev.connectByCertificate('pump')).rejects.toThrow()
  await other.ping()
  // A new look at the manifests, and a new process, change nothing.
  workspace.edit('devices.yaml', (text) => text.replace('allowInsecure: true', 'allowInsecure: false'))
  await dev.waitForLog(/1 device changed/, SOON_MS)
  await expect(dev.connectByCertificate('pump')).rejects.toThrow()
  expect(await dev.stop()).toBe(0)
  dev = await DevProcess.start(workspace)
  await expect(dev.connectByCertificate('pump')).rejects.toThrow()
  expect((await hublet('revoke', 'pump', '--undo')).code).toBe(0)
  await waitUntil('another certificate', () => certificate() !== before, { timeoutMs: SOON_MS })
  await (await waitUntil('it is let in', () => dev.connectByCertificate('pump'))).ping()
})

it('what cannot be done is said, with what was expected', async () => {
  const refusals: Array<[string[], string]> = [
    [['rotate', 'stranger'], 'hublet: expected a device of a hub here, got "stranger"\n'],
    [['revoke', 'pump', '--hub', 'nowhere'], 'hublet: expected a device of a hub here, got "pump"\n'],
    [['rotate', 'pump', '--data', 'elsewhere'], 'hublet: no hublet is running that wrote'],
    [['rotate', 'garden', '--device-ca'], 'keeps its authorities'],
  ]
  for (const [args, message] of refusals) {
    const { code, stderr } = await hublet(...args)
    expect({ code, stderr }).toEqual({ code: 1, stderr: expect.stringContaining(message) })
  }
})
