import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import {
  CONFIG_MAPS,
  type ConfigMap,
  DEPLOYMENTS,
  DEVICES,
  HUBS,
  NETWORKS,
  SECRETS,
  type Secret,
} from '../../operator/api/resources.ts'
import { applyQuickstart, Stage, textOf, untilReady } from '../../operator/operator.fixture.ts'
import { mosquittoPub, mosquittoSub } from '../../test-support/mosquitto.ts'
import { openMqtt } from '../../test-support/mqtt-client.ts'
import { runProgram } from '../../test-support/run-program.ts'
import { makeTempDir } from '../../test-support/temp-dir.ts'
import { waitUntil, within } from '../../test-support/wait.ts'
import { PodOfDeployment } from './pod-of-deployment.fixture.ts'

/** Design §3: what makes a live link illegal closes it within 2 s; the API server and the operator come on top. */
const CUT_MS = 3_000

let stage: Stage
let pod: PodOfDeployment
let folder: string

beforeEach(async () => {
  stage = await Stage.create('serves')
  folder = makeTempDir('clients')
  stage.start()
  await applyQuickstart(stage.space)
  await untilReady(stage.space, HUBS, ['garden'])
  await untilReady(stage.space, DEVICES, ['thermometer', 'dashboard', 'pump'])
  await untilReady(stage.space, NETWORKS, ['web', 'sigfox'])
  pod = await PodOfDeployment.start(stage.space, await stage.space.get(DEPLOYMENTS, 'hub-garden'))
})
afterEach(async () => {
  await pod?.stop()
  await stage.close()
})

function file(name: string, text: string): string {
  const path = join(folder, name)
  writeFileSync(path, text, { mode: 0o600 })
  return path
}

/** What a client has of the Secret of its device. */
async function credentials(device: string) {
  const secret = await stage.space.get<Secret>(SECRETS, `device-${device}-tls`)
  return {
    cafile: file(`${device}-ca.crt`, textOf(secret, 'ca.crt')),
    cert: file(`${device}.crt`, textOf(secret, 'tls.crt')),
    key: file(`${device}.key`, textOf(secret, 'tls.key')),
    // The certificate names the Service; here the pod has no name.
    args: ['--insecure'],
  }
}

const idOf = async (device: string): Promise<string> => {
  const { status } = await stage.space.get<{ metadata: object; status?: { id?: string } }>(DEVICES, device)
  return status?.id ?? ''
}

describe('the quickstart, unchanged, with the broker that its Deployment describes', () => {
  it('serves the same mosquitto commands by the Secrets that the operator made', async () => {
    const port = pod.port('mqtts')
    await using dashboard = await mosquittoSub({
      port: pod.port('mqtt'),
      clientId: await idOf('dashboard'),
      topics: '#',
    })
    const thermometer = { port, ...(await credentials('thermometer')) }
    expect((await mosquittoPub({ ...thermometer, topic: 'thermometer/1', payload: '21', qos: 1 })).code).toBe(
      0,
    )
    const pump = { port, ...(await credentials('pump')) }
    expect((await mosquittoPub({ ...pump, topic: 'elsewhere', payload: 'no', qos: 1 })).code).toBe(0)
    expect((await mosquittoPub({ ...pump, topic: 'devices/pump/on', payload: 'yes', qos: 1 })).code).toBe(0)
    const ca = await stage.space.get<ConfigMap>(CONFIG_MAPS, 'hub-garden-server-ca')
    const cafile = file('server-ca.crt', ca.data?.['ca.crt'] ?? '')
    const token = textOf(await stage.space.get<Secret>(SECRETS, 'network-web-token'), 'token')
    const name = `hub-garden.${stage.space.name}.svc`
    const posted = await runProgram('curl', [
      ...[
        '-sS',
        '-w',
        '%{http_code}',
        '--cacert',
        cafile,
        '--resolve',
        `${name}:${pod.port('https')}:127.0.0.1`,
      ],
      ...['-H', `X-Secret: ${token}`, '-H', 'X-Topic: door', '-d', 'open'],
      `https://${name}:${pod.port('https')}/networks/web`,
    ])
    expect(posted.stdout.toString()).toBe('204')
    const messages = await dashboard.waitForMessages(3)
    expect(messages.map(({ topic, text }) => `${topic} ${text}`)).toEqual([
      'thermometer/1 21',
      'devices/pump/on yes',
      'web/door open',
    ])
  })

  it('follows edits on live links, and leaves the others alone', async () => {
    const { space } = stage
    const id = await idOf('dashboard')
    const dashboard = await openMqtt({ port: pod.port('mqtt') })
    expect((await dashboard.connect({ clientId: id })).returnCode).toBe(0)
    const secret = await space.get<Secret>(SECRETS, 'device-pump-tls')
    const tls = { cert: textOf(secret, 'tls.crt'), key: textOf(secret, 'tls.key') }
    const pump = await openMqtt({ listener: 'mqtts', port: pod.port('mqtts'), tls })
    expect((await pump.connect({ clientId: 'pump' })).returnCode).toBe(0)

    await space.merge(DEVICES, 'dashboard', { spec: { allowInsecure: false } })
    await within('the link without a certificate is cut', CUT_MS, dashboard.closed)
    await pump.ping()

    await space.merge(DEVICES, 'pump', { spec: { revoked: true } })
    await within('the revoked device is cut', CUT_MS, pump.closed)
    const again = await openMqtt({ listener: 'mqtts', port: pod.port('mqtts'), tls })
    const refused = await again.connect({ clientId: 'pump' }).catch(() => ({ returnCode: 5 }))
    expect(refused.returnCode).not.toBe(0)

    await space.delete(DEVICES, 'thermometer')
    await waitUntil('its Secret goes with it', async () => {
      const names = (await space.list(SECRETS)).map(({ metadata }) => metadata.name)
      return !names.includes('device-thermometer-tls')
    })
  })
})
