import { X509Certificate } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import {
  DEPLOYMENTS,
  DEVICES,
  type Device,
  HUBS,
  type Hub,
  SECRETS,
  type Secret,
} from '../../operator/api/resources.ts'
import { Stage, type TestOperator, textOf, untilReady } from '../../operator/operator.fixture.ts'
import { Random } from '../../test-support/random.ts'
import { waitUntil } from '../../test-support/wait.ts'
import { FleetDevice, forAll, readSecrets } from './fleet.fixture.ts'
import { PodOfDeployment } from './pod-of-deployment.fixture.ts'
import { privateKeys, whereKeysAre } from './private-keys.fixture.ts'

// A fleet through everything that happens to its certificates, with the operator, the API server and a broker of
// its Deployment. The steps follow one another: each begins with the fleet that the one before has left.

const FULL = process.env['HUBLET_TEST_SCALE'] === 'full'
const [DEVICE_COUNT, REVOKED] = FULL ? [2_000, 100] : [40, 4]
const SEED = 20_261_128
/** As long as the operator needs to put the new CA into the Secrets of all. */
const CA_LEAD_TIME = FULL ? '180s' : '10s'
const LONG = FULL ? 1_200_000 : 120_000
const patiently = { timeoutMs: LONG - 20_000, intervalMs: FULL ? 2_000 : 500 }

let stage: Stage
let operator: TestOperator
let pod: PodOfDeployment
const fleet = new Map<string, FleetDevice>()
const keys = new Set<string>()
const random = new Random(SEED)

const tell = (text: string) => process.stdout.write(`fleet of ${DEVICE_COUNT}: ${text}\n`)
const seconds = (since: number) => ((performance.now() - since) / 1000).toFixed(1)

beforeAll(async () => {
  stage = await Stage.create('fleet')
  // Nobody would start it anew, and the handshakes of a fleet leave it little of the processor.
  const lease = { durationMs: 120_000, renewDeadlineMs: 90_000, retryMs: 1_000 }
  operator = stage.start({ activityEveryMs: 1_000, lease })
  await stage.space.post(HUBS, 'fleet', {
    spec: { serverTLS: { managed: { caLeadTime: CA_LEAD_TIME } }, limits: { connectsPerSecond: 0 } },
  })
  await untilReady(stage.space, HUBS, ['fleet'], LONG)
  pod = await PodOfDeployment.start(stage.space, await stage.space.get(DEPLOYMENTS, 'hub-fleet'), 2 * LONG)
  const names = Array.from({ length: DEVICE_COUNT }, (_, n) => `d-${n}`)
  await forAll(names, (name) => stage.space.post(DEVICES, name, { spec: { hubRef: { name: 'fleet' } } }))
  names.forEach((name, n) => {
    fleet.set(name, new FleetDevice(pod, name, n % 2 === 0 ? 'mqtts' : 'wss'))
  })
  await waitUntil(
    'all devices are ready',
    async () => {
      const devices = await stage.space.list<Device>(DEVICES)
      return devices.every(({ status }) => status?.conditions?.some(({ status: is }) => is === 'True'))
    },
    patiently,
  )
  await readSecrets(stage.space, fleet)
  const started = performance.now()
  await forAll(fleet.values(), (device) => device.reconnect())
  tell(`connected by mTLS in ${seconds(started)} s`)
}, LONG)
afterAll(async () => {
  for (const { client } of fleet.values()) client?.close()
  await pod?.stop()
  await stage?.close()
}, LONG)

/** Still on the very link that it had. */
async function goOn(devices: Iterable<FleetDevice>): Promise<void> {
  await forAll(devices, async (device) => {
    expect(device.client?.isClosed, device.name).toBe(false)
    await device.client?.ping()
  })
}

/**
 * Devices take up new certificates as they come, and come back with them at once; some that have none yet come back
 * with what they have. Ends when all have a new one; rejects when one is not let in.
 */
async function renewAll(): Promise<void> {
  const waiting = new Set(fleet.values())
  const refused: unknown[] = []
  const comeBack = (device: FleetDevice) => device.reconnect().catch((error: unknown) => refused.push(error))
  await waitUntil(
    'every device has a new certificate',
    async () => {
      const changed = await readSecrets(stage.space, fleet)
      for (const device of changed) waiting.delete(device)
      await forAll(changed, comeBack)
      const others = [...waiting]
      if (others.length > 0) await comeBack(random.pick(others))
      return waiting.size === 0
    },
    patiently,
  )
  expect(refused).toEqual([])
}

const keep = async () => {
  for (const key of await privateKeys(stage.space)) keys.add(key)
}

describe('a fleet', () => {
  it(
    'loses those whose certificates are revoked, at once, and nobody else',
    async () => {
      const all = [...fleet.values()]
      const gone = new Set<FleetDevice>()
      while (gone.size < REVOKED) gone.add(random.pick(all))
      const asked = new Map<FleetDevice, number>()
      await forAll(gone, async (device) => {
        asked.set(device, performance.now())
        await stage.space.merge(DEVICES, device.name, { spec: { revoked: true } })
      })
      await waitUntil(
        'the revoked are cut off',
        () => [...gone].every(({ closedAt }) => closedAt !== undefined),
        { timeoutMs: 60_000 },
      )
      const slowest = Math.max(...[...gone].map((device) => device.closedAt! - asked.get(device)!))
      tell(`${REVOKED} revoked: the last was cut ${(slowest / 1000).toFixed(2)} s after it was asked for`)
      await forAll(gone, async (device) => expect(await device.attempt(), device.name).not.toBe(0))
      await goOn(all.filter((device) => !gone.has(device)))
      await keep()
      for (const { name } of gone) fleet.delete(name)
    },
    LONG,
  )

  it(
    'gets new certificates, all at once, and no handshake fails',
    async () => {
      const started = performance.now()
      await forAll(fleet.keys(), (name) =>
        stage.space.merge(DEVICES, name, { metadata: { annotations: { 'iot.hublet.dev/rotate': 'all' } } }),
      )
      await renewAll()
      tell(`rotated in ${seconds(started)} s`)
      await keep()
      // Every new one was used, so brokers report it and the one before is accepted no more.
      await waitUntil(
        'no overlap is left',
        async () => {
          const { devices } = await stage.state('fleet')
          return [...fleet.keys()].every((name) => devices[name]?.certificate.fingerprints.length === 1)
        },
        patiently,
      )
      await goOn(fleet.values())
    },
    LONG,
  )

  it(
    'gets a new device CA, and nobody is locked out',
    async () => {
      const started = performance.now()
      await stage.space.merge(HUBS, 'fleet', {
        metadata: { annotations: { 'iot.hublet.dev/rotate-device-ca': 'now' } },
      })
      await renewAll()
      tell(`moved to another device CA in ${seconds(started)} s`)
      const ca = new X509Certificate(
        textOf(await stage.space.get<Secret>(SECRETS, 'hub-fleet-device-ca'), 'tls.crt'),
      )
      for (const { credentials, name } of fleet.values())
        expect(new X509Certificate(credentials?.cert ?? '').verify(ca.publicKey), name).toBe(true)
      await goOn(fleet.values())
      await keep()
    },
    LONG,
  )

  it(
    'gets another server CA and server certificate without losing a link',
    async () => {
      const started = performance.now()
      const serverCert = async () =>
        textOf(await stage.space.get<Secret>(SECRETS, 'hub-fleet-server-tls'), 'tls.crt')
      const before = await serverCert()
      await stage.space.merge(HUBS, 'fleet', {
        metadata: { annotations: { 'iot.hublet.dev/rotate-server-ca': 'now' } },
      })
      await waitUntil('the new CA signs', async () => (await serverCert()) !== before, patiently)
      const { status } = await stage.space.get<Hub>(HUBS, 'fleet')
      expect(status?.serverCA?.fingerprints).toHaveLength(2)
      await readSecrets(stage.space, fleet)
      await pod.mount()
      const { client } = [...fleet.values()][0]!
      // Whoever comes back from now on checks the new certificate with the bundle of its Secret.
      await waitUntil('the pod shows it', () => /server certificate/.test(pod.output), { timeoutMs: 60_000 })
      expect(client?.isClosed).toBe(false)
      await goOn(fleet.values())
      const some = [...fleet.values()].filter((_, n) => n % 10 === 0)
      await forAll(some, (device) => device.reconnect())
      tell(`moved to another server CA in ${seconds(started)} s, ${CA_LEAD_TIME} of them by choice`)
      await keep()
    },
    LONG,
  )

  it(
    'leaves none of its private keys anywhere but in Secrets',
    async () => {
      expect(keys.size).toBeGreaterThan(2 * fleet.size)
      expect(await whereKeysAre([...keys], { stage, operator, pod })).toEqual([])
    },
    LONG,
  )
})
