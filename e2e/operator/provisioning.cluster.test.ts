import { createHash } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import {
  CONFIG_MAPS,
  type ConfigMap,
  DEPLOYMENTS,
  DEVICES,
  type Device,
  HUBS,
} from '../../operator/api/resources.ts'
import { Stage, type TestOperator, untilReady } from '../../operator/operator.fixture.ts'
import { issueDeviceCertificate } from '../../operator/pki/issue.ts'
import { HOUR, serial } from '../../operator/pki/pki.fixture.ts'
import { mosquittoPub, mosquittoSub } from '../../test-support/mosquitto.ts'
import { MqttClient } from '../../test-support/mqtt-client.ts'
import { openLink } from '../../test-support/mqtt-link.ts'
import { type MadeCertificate, makeCertificate } from '../../test-support/openssl.ts'
import { makeTempDir } from '../../test-support/temp-dir.ts'
import { waitUntil } from '../../test-support/wait.ts'
import { PodOfDeployment } from './pod-of-deployment.fixture.ts'

const IS_FULL = process.env['HUBLET_TEST_SCALE'] === 'full'
const BURST = IS_FULL ? { devices: 5_000, perSecond: 100 } : { devices: 50, perSecond: 20 }
const WATCHER = '0a7c3f52-6a52-4a1e-8f0e-1c6b0d6f1d11'
const RETRY_MS = 250
const patience = { timeoutMs: 60_000 }

let stage: Stage
let operator: TestOperator
let ca: MadeCertificate
let serverCa: string
let pods: PodOfDeployment[]

beforeEach(async () => {
  stage = await Stage.create('meets')
  ca = await makeCertificate({ commonName: 'factory CA', authority: true })
  pods = []
})
afterEach(async () => {
  for (const pod of pods) await pod.stop()
  await stage.close()
})

/** A hub that trusts the factory, with a device that reads its events, and its broker. */
async function openHub(autoProvisioning: object, spec: object = {}): Promise<PodOfDeployment> {
  const { space } = stage
  const challenge = await makeCertificate({ commonName: `plant.${space.name}`, issuer: ca })
  await space.post(HUBS, 'plant', {
    spec: {
      listeners: { mqtt: {} },
      deviceCA: { provided: { certificate: ca.certPem, challengeCertificate: challenge.certPem } },
      autoProvisioning: { enabled: true, ...autoProvisioning },
      ...spec,
    },
  })
  await space.post(DEVICES, 'watcher', {
    spec: {
      hubRef: { name: 'plant' },
      id: WATCHER,
      allowInsecure: true,
      messageFilters: { subscribe: { policy: 'Accept', topics: ['#', '$hub/events/#'] } },
    },
  })
  operator = stage.start()
  await untilReady(space, HUBS, ['plant'])
  const { data } = await space.get<ConfigMap>(CONFIG_MAPS, 'hub-plant-server-ca')
  serverCa = join(makeTempDir('server-ca'), 'ca.crt')
  writeFileSync(serverCa, data?.['ca.crt'] ?? '')
  const pod = await PodOfDeployment.start(space, await space.get(DEPLOYMENTS, 'hub-plant'))
  pods.push(pod)
  return pod
}

const watch = (pod: PodOfDeployment, topics: readonly string[]) =>
  mosquittoSub({ port: pod.port('mqtt'), clientId: WATCHER, topics })

const publish = (pod: PodOfDeployment, { certPath, keyPath }: MadeCertificate, topic: string) =>
  mosquittoPub({
    port: pod.port('mqtts'),
    cafile: serverCa,
    cert: certPath,
    key: keyPath,
    // The certificate names the Service; here the pod has no name.
    args: ['--insecure'],
    topic,
    payload: 'x',
    qos: 1,
  })

const factory = (commonName: string) =>
  makeCertificate({ commonName, issuer: ca, extendedKeyUsage: 'clientAuth' })

const devices = async (): Promise<Device[]> =>
  (await stage.space.list<Device>(DEVICES)).filter(({ metadata }) => metadata.name !== 'watcher')

const nameFor = (commonName: string) =>
  `${commonName.toLowerCase()}-${createHash('sha256').update(commonName).digest('hex').slice(0, 8)}`

describe('a device that nobody has declared', () => {
  it('becomes a Device by its first connection, which succeeds, and the next one makes nothing', async () => {
    const template = {
      labels: { site: 'north' },
      messageFilters: { publish: { policy: 'Accept', topics: ['{{ device.name }}/#'] } },
    }
    const pod = await openHub({ template })
    await using events = await watch(pod, ['#', '$hub/events/#'])
    const sensor = await factory('SN-0001')
    for (const topic of ['SN-0001/a', 'SN-0001/b', 'elsewhere'])
      expect((await publish(pod, sensor, topic)).code).toBe(0)

    const [device, ...others] = await devices()
    expect(others).toEqual([])
    expect(device).toMatchObject({
      metadata: { name: nameFor('SN-0001'), labels: { site: 'north', 'iot.hublet.dev/provisioned': 'true' } },
      spec: { name: 'SN-0001', certificate: { hubCA: {} }, allowInsecure: false },
    })
    expect(device?.metadata.annotations?.['iot.hublet.dev/provisioned-from']).toMatch(/^127\.0\.0\.1:\d+$/)
    await untilReady(stage.space, DEVICES, [nameFor('SN-0001')])

    const messages = await events.waitForMessages(4)
    const told = messages.filter(({ topic }) => topic.startsWith('$hub/'))
    expect(told.map(({ topic }) => topic.split('/')[2])).toEqual(['info', 'error'])
    expect(JSON.parse(told[0]!.text)).toMatchObject({
      code: 'DEVICE_AUTO_PROVISIONED',
      msg: 'device was auto-provisioned',
      'object-id': device?.metadata.uid,
      'object-name': 'SN-0001',
      'source-address': expect.stringMatching(/^127\.0\.0\.1:\d+$/),
    })
  })

  it('is refused with the reason where it may not: foreign CA, no name, quota, flag off', async () => {
    const pod = await openHub({}, { limits: { devices: 2 } })
    await using events = await watch(pod, ['$hub/events/#'])
    const codes = async (count: number) =>
      (await events.waitForMessages(count)).map(({ text }) => (JSON.parse(text) as { code: string }).code)
    const elsewhere = await makeCertificate({ commonName: 'other CA', authority: true })
    const foreign = await makeCertificate({ commonName: 'SN-1', issuer: elsewhere })
    expect((await publish(pod, foreign, 'a')).code).not.toBe(0)
    expect((await codes(1)).at(-1)).toBe('INVALID_DEVICE_CERTIFICATE')
    expect((await publish(pod, await factory(''), 'a')).code).not.toBe(0)
    expect((await codes(2)).at(-1)).toBe('EMPTY_COMMON_NAME')
    expect((await publish(pod, await factory('SN-1'), 'a')).code).toBe(0)
    expect((await codes(3)).at(-1)).toBe('DEVICE_AUTO_PROVISIONED')
    expect((await publish(pod, await factory('SN-2'), 'a')).code).not.toBe(0)
    expect((await codes(5)).slice(-2)).toEqual(['AUTO_PROVISIONING_FAILED', 'UNKNOWN_DEVICE'])
    await stage.space.merge(HUBS, 'plant', {
      spec: { limits: { devices: 100 }, autoProvisioning: { enabled: false } },
    })
    await waitUntil('the hub is known without it', async () => {
      const { hub } = await stage.state('plant')
      return hub?.limits.devices === 100
    })
    const third = await factory('SN-3')
    // The broker hears of it a moment later, and asks the operator until then.
    await waitUntil('nobody is asked any more', async () => {
      const before = events.messages.length
      expect((await publish(pod, third, 'a')).code).not.toBe(0)
      const code = (await codes(before + 1))[before]
      if (code === 'AUTO_PROVISIONING_FAILED') await codes(before + 2)
      return code === 'UNKNOWN_DEVICE'
    })
    expect(await devices()).toHaveLength(1)
  })

  it('waits in quarantine until somebody approves it, and is cut to nothing but its topics there', async () => {
    const pod = await openHub({
      mode: 'Approve',
      quarantine: { publish: ['quarantine/{{ device.name }}'] },
    })
    await using messages = await watch(pod, ['quarantine/#', 'open/#'])
    const sensor = await factory('SN-0001')
    expect((await publish(pod, sensor, 'open/1')).code).toBe(0)
    expect((await publish(pod, sensor, 'quarantine/SN-0001')).code).toBe(0)
    const [device] = await devices()
    expect(device?.spec.approved).toBe(false)
    await stage.space.merge(DEVICES, nameFor('SN-0001'), { spec: { approved: true } })
    await untilReady(stage.space, DEVICES, [nameFor('SN-0001')])
    // The broker hears of it a moment later than everybody who asks the API server.
    await waitUntil('it is let out of the quarantine', async () => {
      expect((await publish(pod, sensor, 'open/2')).code).toBe(0)
      return messages.messages.length > 1
    })
    const seen = new Set(messages.messages.map(({ topic }) => topic))
    expect([...seen]).toEqual(['quarantine/SN-0001', 'open/2'])
  })

  it('cannot connect before its approval where there is no quarantine, and goes when nobody gives it', async () => {
    const pod = await openHub({ mode: 'Approve' })
    const sensor = await factory('SN-0001')
    expect((await publish(pod, sensor, 'a')).code).not.toBe(0)
    const name = nameFor('SN-0001')
    await stage.space.merge(DEVICES, name, {
      metadata: { annotations: { 'iot.hublet.dev/provisioned-at': '2020-01-01T00:00:00Z' } },
    })
    await waitUntil('it is gone', async () => (await devices()).length === 0, patience)
    // Nobody has decided anything, so it may ask again.
    await publish(pod, sensor, 'a')
    await waitUntil('it asks again', async () => (await devices()).length === 1, patience)
  })

  it('that somebody deleted does not come back by its certificate, until a person says so', async () => {
    const pod = await openHub({})
    await using events = await watch(pod, ['$hub/events/#'])
    const sensor = await factory('SN-0001')
    expect((await publish(pod, sensor, 'a')).code).toBe(0)
    await stage.space.delete(DEVICES, nameFor('SN-0001'))
    await waitUntil('it is gone', async () => (await devices()).length === 0, patience)
    expect((await publish(pod, sensor, 'a')).code).not.toBe(0)
    const told = await events.waitForMessages(3)
    expect(told.map(({ text }) => (JSON.parse(text) as { code: string }).code)).toEqual([
      'DEVICE_AUTO_PROVISIONED',
      'AUTO_PROVISIONING_FAILED',
      'DEVICE_DELETED',
    ])
    expect(await devices()).toEqual([])
    const { data = {} } = await stage.space.get<ConfigMap>(CONFIG_MAPS, 'hub-plant-deleted-devices')
    const [key = '', ...others] = Object.keys(data)
    expect(others).toEqual([])
    expect(data[key]).toMatch(/^\S+Z SN-0001$/)
    await stage.space.merge(CONFIG_MAPS, 'hub-plant-deleted-devices', { data: { [key]: null } })
    await waitUntil('it is let in', async () => (await publish(pod, sensor, 'a')).code === 0, patience)
  })
})

describe('a burst of new devices', () => {
  it(`gives each of ${BURST.devices} exactly one Device, at ${BURST.perSecond} a second and through a restart of the operator`, {
    timeout: IS_FULL ? 900_000 : 240_000,
  }, async () => {
    const pod = await openHub({ perSecond: BURST.perSecond })
    const sensors = await makeFleet(BURST.devices)
    const started = performance.now()
    let refused = 0
    let isRestarted = false
    const waiting = [...sensors]
    const work = async () => {
      for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) {
        if (await connects(pod, next)) continue
        refused += 1
        waiting.push(next)
        // As a device does that is told to come again.
        await delay(RETRY_MS)
        if (isRestarted || waiting.length > BURST.devices / 2) continue
        isRestarted = true
        await operator.stop()
        operator = stage.start()
      }
    }
    await Promise.all(Array.from({ length: 40 }, work))
    const seconds = (performance.now() - started) / 1000
    const made = await devices()
    expect(new Set(made.map(({ spec }) => spec.name)).size).toBe(BURST.devices)
    expect(made).toHaveLength(BURST.devices)
    console.log(
      `${BURST.devices} devices at ${BURST.perSecond}/s: ${seconds.toFixed(1)} s, ${refused} attempts told to come again`,
    )
    // A second connection of each makes nothing.
    for (const sensor of sensors.slice(0, 20)) expect(await connects(pod, sensor)).toBe(true)
    expect(await devices()).toHaveLength(BURST.devices)
  })
})

/** By our own issuer, which takes a tenth of the time that openssl does: here their number counts. */
async function makeFleet(count: number): Promise<MadePair[]> {
  const issuer = { certificatePem: ca.certPem, privateKeyPem: ca.keyPem }
  const fleet: MadePair[] = []
  for (let n = 0; n < count; n += 1) {
    const { certificatePem, privateKeyPem } = await issueDeviceCertificate({
      ca: issuer,
      commonName: `SN-${n}`,
      keyAlgorithm: 'ECDSA-P256',
      duration: HOUR,
      now: Date.now(),
      serial: serial(),
    })
    fleet.push({ certPem: certificatePem, keyPem: privateKeyPem })
  }
  return fleet
}

type MadePair = Pick<MadeCertificate, 'certPem' | 'keyPem'>

async function connects(pod: PodOfDeployment, { certPem, keyPem }: MadePair): Promise<boolean> {
  const tls = { cert: certPem, key: keyPem }
  const link = await openLink({ listener: 'mqtts', port: pod.port('mqtts'), tls }).catch(() => undefined)
  if (link === undefined) return false
  const client = new MqttClient(link)
  try {
    return (await client.connect({ clientId: 'sensor' })).returnCode === 0
  } catch {
    return false
  } finally {
    client.close()
  }
}
