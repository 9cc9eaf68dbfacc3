import { copyFileSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { makeCertificate, openssl } from '../test-support/openssl.ts'
import { runProgram } from '../test-support/run-program.ts'
import { ShellDevice } from '../test-support/shell-device.ts'
import { waitUntil } from '../test-support/wait.ts'
import { DevProcess, Workspace } from './dev-process.fixture.ts'

const SOON = { timeoutMs: 30_000 }
const P256 = '-algorithm EC -pkeyopt ec_paramgen_curve:P-256'

const deviceYaml = (name: string, enrolled = '{}') => `apiVersion: iot.hublet.dev/v1alpha1
kind: Device
metadata: { name: ${name} }
spec:
  hubRef: { name: garden }
  certificate: { enrolled: ${enrolled} }
`

let workspace: Workspace
let dev: DevProcess
beforeEach(async () => {
  workspace = await Workspace.make()
  workspace.write('enrolled.yaml', [deviceYaml('gate'), deviceYaml('door')].join('---\n'))
})
afterEach(async () => {
  expect(await dev.stop()).toBe(0)
})

const tokenFile = (name: string) => join(workspace.path, '.hublet', 'garden', 'devices', name, 'token')

function bring(device: ShellDevice): void {
  copyFileSync(tokenFile(device.name), device.file('token'))
  copyFileSync(join(workspace.path, '.hublet', 'garden', 'ca.crt'), device.file('ca.crt'))
}

function shellDevice(name: string): ShellDevice {
  const device = new ShellDevice(name, {
    hub: `https://localhost:${dev.port('https')}`,
    mqttsPort: dev.port('mqtts'),
  })
  bring(device)
  return device
}

async function hublet(...args: string[]) {
  const options = { cwd: workspace.path, timeoutMs: 60_000 }
  const argv = [join(import.meta.dirname, 'main.ts'), ...args]
  const { code, stdout, stderr } = await runProgram(process.execPath, argv, options)
  return { code, stdout: stdout.toString(), stderr }
}

it('a device with openssl and curl gets its certificate by the recipe of the documentation and renews it', async () => {
  dev = await DevProcess.start(workspace)
  await dev.waitForOutput(/certificate over EST.*\.hublet\/garden\/devices\/gate\/token/)
  const gate = shellDevice('gate')
  expect((await gate.recipe('enrol')).stderr).toBe('')
  // In force when it arrives, not some time later.
  expect(await gate.connects()).toBe(true)
  await gate.run('cp tls.crt old.crt; cp tls.key old.key')
  expect((await gate.recipe('renew')).stderr).toBe('')
  expect(readFileSync(gate.file('tls.crt'))).not.toEqual(readFileSync(gate.file('old.crt')))
  expect(await gate.connects('old')).toBe(true)
  expect(await gate.connects()).toBe(true)

  await gate.run('curl -fsS --cacert ca.crt "$HUB/.well-known/est/cacerts" | openssl base64 -d >cas')
  await gate.run('openssl pkcs7 -inform DER -in cas -print_certs -out cas.pem')
  const verified = await openssl(['verify', '-CAfile', gate.file('cas.pem'), gate.file('tls.crt')])
  expect(verified.stdout.toString()).toContain('OK')
  // The key is the device's alone.
  expect(workspace.dataFiles().filter((file) => file.includes('devices/gate/'))).toEqual([
    'garden/devices/gate/token',
  ])

  // Another process knows the certificates by what the first has written; the next one ends the one before.
  expect(await dev.stop()).toBe(0)
  dev = await DevProcess.start(workspace)
  expect(await gate.connects()).toBe(true)
  workspace.edit('devices.yaml', (text) => text.replace('allowInsecure: true', 'allowInsecure: false'))
  await dev.waitForLog(/manifests applied/, SOON.timeoutMs)
  expect(await gate.connects('old')).toBe(false)

  expect((await hublet('revoke', 'gate')).code).toBe(0)
  expect(await gate.connects()).toBe(false)
  expect((await gate.recipe('renew')).stderr).toContain('403')
  expect((await hublet('revoke', 'gate', '--undo')).code).toBe(0)
  expect(await gate.connects()).toBe(false)
  bring(gate)
  expect((await gate.recipe('enrol')).stderr).toBe('')
  expect(await gate.connects()).toBe(true)
})

it('it needs its own token, once and in time; a person makes another one by hublet rotate', async () => {
  dev = await DevProcess.start(workspace)
  const gate = shellDevice('gate')
  const door = shellDevice('door')
  for (const name of ['one', 'two']) await gate.makeRequest(name, P256)
  await gate.makeRequest('name', P256, '/CN=door')
  expect(await gate.enrol('one', 'ca.crt')).toBe('401 TOKEN_REFUSED')
  writeFileSync(gate.file('door-token'), readFileSync(door.file('token')))
  expect(await gate.enrol('one', 'door-token')).toBe('401 TOKEN_REFUSED')
  expect(await gate.enrol('one', 'door-token', 'door')).toBe('400 CSR_INVALID')
  expect(await gate.enrol('name')).toBe('400 CSR_INVALID')

  const race = await Promise.all([gate.enrol('one'), gate.enrol('two')])
  expect(race.toSorted()).toEqual(['200', '403 TOKEN_REFUSED'])
  const [winner, loser] = race[0] === '200' ? ['one', 'two'] : ['two', 'one']
  // Whoever lost the answer may ask again; another key may not, neither after a restart.
  expect(await gate.enrol(winner)).toBe('200')
  expect(await dev.stop()).toBe(0)
  dev = await DevProcess.start(workspace)
  expect(await gate.enrol(loser)).toBe('403 TOKEN_REFUSED')

  expect((await hublet('rotate', 'gate')).stdout).toContain('has a new token')
  expect(await gate.enrol(loser)).toBe('401 TOKEN_REFUSED')
  bring(gate)
  expect(await gate.enrol(loser)).toBe('200')

  // One that nobody has used in time is of no use.
  const file = join(workspace.path, '.hublet', 'garden', 'identity.json')
  expect(await dev.stop()).toBe(0)
  const identities = JSON.parse(readFileSync(file, 'utf8'))
  identities.devices.door.enrolled.token.until = '2020-01-01T00:00:00Z'
  writeFileSync(file, JSON.stringify(identities))
  dev = await DevProcess.start(workspace)
  await door.makeRequest('one', P256)
  expect(await door.enrol('one')).toBe('401 TOKEN_REFUSED')
  expect((await hublet('rotate', 'door')).code).toBe(0)
  await waitUntil('there is another token', () => {
    bring(door)
    return readFileSync(door.file('token'), 'utf8') !== readFileSync(gate.file('door-token'), 'utf8')
  })
  expect(await door.enrol('one')).toBe('200')
})

it('it may have a key of RSA-3072, also of a CA that the user gave', async () => {
  const ca = await makeCertificate({ commonName: 'my own CA', authority: true })
  const indented = (pem: string) => pem.trim().replaceAll(/^/gm, '    ')
  workspace.write(
    'ca.yaml',
    `apiVersion: v1\nkind: Secret\nmetadata: { name: ca }\nstringData:\n  tls.crt: |\n${indented(ca.certPem)}\n` +
      `  tls.key: |\n${indented(ca.keyPem)}\n`,
  )
  workspace.edit('hub.yaml', (text) =>
    text.replace(/^spec:\n/m, 'spec:\n  deviceCA: { secretRef: { name: ca } }\n'),
  )
  dev = await DevProcess.start(workspace)
  const gate = shellDevice('gate')
  await gate.makeRequest('tls', '-algorithm RSA -pkeyopt rsa_keygen_bits:3072')
  expect(await gate.enrol('tls')).toBe('200')
  await gate.run('openssl base64 -d <tls.answer | openssl pkcs7 -inform DER -print_certs -out tls.crt')
  expect(await gate.connects()).toBe(true)
  expect((await gate.recipe('renew')).stderr).toBe('')
  expect(await gate.connects()).toBe(true)
})
