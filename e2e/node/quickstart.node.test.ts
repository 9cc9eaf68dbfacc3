import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { DEVICES, HUBS, NETWORKS } from '../../operator/api/resources.ts'
import { mosquittoPub, mosquittoSub } from '../../test-support/mosquitto.ts'
import { runProgram } from '../../test-support/run-program.ts'
import { Site } from './site.fixture.ts'

const MESSAGE_MS = 30_000

let site: Site
beforeAll(async () => {
  site = await Site.install('quickstart')
  await site.applyFolder('examples/quickstart')
  await site.untilReady(HUBS, ['garden'])
})
afterAll(() => site.close())

describe('the quickstart, unchanged, after helm install', () => {
  it('becomes Ready, all of it', async () => {
    await site.untilReady(DEVICES, ['thermometer', 'dashboard', 'pump'])
    await site.untilReady(NETWORKS, ['web', 'sigfox'])
    const { kubectl } = site
    expect(await kubectl.run('wait', '--for=condition=Ready', 'hub/garden', '--timeout=10s')).toContain(
      'condition met',
    )
  })

  it('serves mosquitto clients over its Service, by the Secrets that the operator made', async () => {
    const host = site.host('hub-garden')
    const at = { host, port: 8883 }
    const dashboard = { ...at, ...(await site.deviceFiles('dashboard')) }
    const thermometer = { ...at, ...(await site.deviceFiles('thermometer')) }
    const pump = { ...at, ...(await site.deviceFiles('pump')) }
    await using sub = await mosquittoSub({ ...dashboard, topics: '#', timeoutMs: 120_000 })
    const send = (device: typeof pump, topic: string, payload: string) =>
      mosquittoPub({ ...device, topic, payload, qos: 1 })
    expect(await send(thermometer, 'thermometer/1', '21')).toMatchObject({ code: 0, stderr: '' })
    expect(await send(pump, 'elsewhere', 'no')).toMatchObject({ code: 0 })
    expect(await send(pump, 'devices/pump/on', 'yes')).toMatchObject({ code: 0 })
    const cafile = site.file('server-ca.crt', await site.serverCa('garden'))
    const token = await site.secret('network-web-token', 'token')
    const { stdout, stderr } = await runProgram('curl', [
      ...['-sS', '-w', '%{http_code}', '--cacert', cafile],
      ...['-H', `X-Secret: ${token}`, '-H', 'X-Topic: door', '-d', 'open'],
      `https://${host}:8443/networks/web`,
    ])
    expect({ text: stdout.toString(), stderr }).toEqual({ text: '204', stderr: '' })
    const messages = await sub.waitForMessages(3, MESSAGE_MS)
    expect(messages.map(({ topic, text }) => `${topic} ${text}`)).toEqual([
      'thermometer/1 21',
      'devices/pump/on yes',
      'web/door open',
    ])
  })

  it('lets in nobody without a certificate of its own', async () => {
    const stranger = {
      host: site.host('hub-garden'),
      port: 8883,
      cafile: (await site.deviceFiles('pump')).cafile,
    }
    const { code } = await mosquittoPub({ ...stranger, clientId: 'pump', topic: 't', payload: 'x', qos: 1 })
    expect(code).not.toBe(0)
  })
})
