import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, inject, it } from 'vitest'
import { DEVICES, type Device, HUBS, SECRETS, type Secret } from '../../operator/api/resources.ts'
import { Stage, textOf, untilReady } from '../../operator/operator.fixture.ts'
import { runProgram } from '../../test-support/run-program.ts'
import { makeTempDir } from '../../test-support/temp-dir.ts'

const MAIN = join(import.meta.dirname, '..', '..', 'cli', 'main.ts')

let stage: Stage
let folder: string

beforeEach(async () => {
  stage = await Stage.create('commands')
  folder = makeTempDir('commands')
  writeFileSync(join(folder, 'kubeconfig'), inject('kubeConfig'), { mode: 0o600 })
  stage.start()
  await stage.space.post(HUBS, 'home', { spec: { serverTLS: { managed: { caLeadTime: '1h' } } } })
  await stage.space.post(DEVICES, 'lamp', { spec: { hubRef: { name: 'home' } } })
  await untilReady(stage.space, HUBS, ['home'])
  await untilReady(stage.space, DEVICES, ['lamp'])
})
afterEach(() => stage.close())

async function hublet(...args: string[]) {
  const { code, stdout, stderr } = await runProgram(
    process.execPath,
    [MAIN, ...args, '--namespace', stage.space.name],
    { cwd: folder, env: { KUBECONFIG: join(folder, 'kubeconfig') }, timeoutMs: 100_000 },
  )
  return { code, said: `${stdout}${stderr}` }
}

const certificate = async (secret = 'device-lamp-tls') =>
  textOf(await stage.space.get<Secret>(SECRETS, secret), 'tls.crt')

it('the commands of a person do in a cluster what they say, and say it once it is done', async () => {
  const { name } = stage.space
  const [first, deviceCa, server] = [
    await certificate(),
    await certificate('hub-home-device-ca'),
    await certificate('hub-home-server-tls'),
  ]
  expect(await hublet('rotate', 'lamp')).toEqual({
    code: 0,
    said: `device ${name}/lamp has a new certificate; the one before is accepted until the new one was used\n`,
  })
  const second = await certificate()
  expect(second).not.toBe(first)

  expect(await hublet('revoke', 'lamp')).toMatchObject({ code: 0 })
  expect((await stage.state('home')).devices['lamp']).toMatchObject({ revoked: true })
  expect(await hublet('revoke', 'lamp', '--undo')).toMatchObject({ code: 0 })
  const { status } = await stage.space.get<Device>(DEVICES, 'lamp')
  expect(status?.revokedFingerprints).toHaveLength(2)

  expect((await hublet('rotate', 'home', '--device-ca')).code).toBe(0)
  expect(await certificate('hub-home-device-ca')).not.toBe(deviceCa)
  const { said } = await hublet('rotate', 'home', '--server-ca')
  expect(said).toMatch(/has published a new server CA, which signs from \d{4}-.*Z on\n$/)
  // Not before its lead time is over.
  expect(await certificate('hub-home-server-tls')).toBe(server)

  // A device that asks for its certificates itself gets another token.
  await stage.space.post(DEVICES, 'gate', {
    spec: { hubRef: { name: 'home' }, certificate: { enrolled: {} } },
  })
  await untilReady(stage.space, DEVICES, ['gate'])
  const token = async () => textOf(await stage.space.get<Secret>(SECRETS, 'device-gate-enrolment'), 'token')
  const before = await token()
  expect(await hublet('rotate', 'gate')).toEqual({
    code: 0,
    said: `device ${name}/gate has a new token, by which it may ask for its next certificate\n`,
  })
  expect(await token()).not.toBe(before)

  expect(await hublet('rotate', 'stranger')).toEqual({
    code: 1,
    said: `hublet: there is no Device ${name}/stranger\n`,
  })
})
