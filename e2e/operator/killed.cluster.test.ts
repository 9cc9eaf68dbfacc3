import { createHash, X509Certificate } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { afterEach, beforeEach, describe, expect, inject, it, vi } from 'vitest'
import {
  DEVICES,
  HUBS,
  NETWORKS,
  OWNED_RESOURCES,
  SECRETS,
  type Secret,
} from '../../operator/api/resources.ts'
import { REDIS_SECRET, readState, Stage, textOf, untilReady } from '../../operator/operator.fixture.ts'
import type { KubeObject, Resource } from '../../operator/runtime/resource.ts'
import { Random } from '../../test-support/random.ts'
import { RunningProgram } from '../../test-support/run-program.ts'
import { makeTempDir } from '../../test-support/temp-dir.ts'

// A real operator process, killed in the middle of whatever it does, again and again.

const SEED = 20_261_123
const FULL = process.env['HUBLET_TEST_SCALE'] === 'full'
const [KILLS, OBJECTS] = FULL ? [200, 300] : [8, 40]
const LIFE_MS = FULL ? 3_600_000 : 300_000
/** About three changes an object while the kills go on. */
const BETWEEN_CHANGES_MS = (KILLS * 600) / OBJECTS
const LEASES: Resource = {
  apiVersion: 'coordination.k8s.io/v1',
  kind: 'Lease',
  plural: 'leases',
  namespaced: true,
}
const MAIN = join(import.meta.dirname, '..', '..', 'operator', 'main.ts')

let stormy: Stage
let calm: Stage
beforeEach(async () => {
  stormy = await Stage.create('stormy')
  calm = await Stage.create('calm')
})
afterEach(async () => {
  await stormy.close()
  await calm.close()
})

class OperatorProcess {
  readonly program: RunningProgram

  constructor(stage: Stage) {
    const folder = makeTempDir('operator')
    const config = join(folder, 'kubeconfig')
    writeFileSync(config, inject('kubeConfig'), { mode: 0o600 })
    const flags = {
      namespaces: stage.space.name,
      namespace: stage.space.name,
      image: 'localhost/hublet:test',
      'default-redis-secret': REDIS_SECRET,
      // Taken away from who is killed, and not to be lost by anybody else.
      'lease-duration': '60',
      'renew-deadline': '45',
      'retry-period': '1',
      'metrics-address': '127.0.0.1:0',
      'health-address': '127.0.0.1:0',
    }
    const args = Object.entries(flags).map(([name, value]) => `--${name}=${value}`)
    this.program = new RunningProgram(process.execPath, [MAIN, ...args], {
      timeoutMs: LIFE_MS,
      env: { KUBECONFIG: config },
    })
  }

  async leads(): Promise<void> {
    const running = (line: string) => line.includes('controllers are running')
    await this.program.waitForLine(running, 'the operator is at work', 60_000)
  }

  /** The lease of a dead process is taken away: waiting for its end would only make the test long. */
  async kill(stage: Stage): Promise<void> {
    await this.program.stop('SIGKILL')
    await stage.space.delete(LEASES, 'hublet-operator').catch(() => undefined)
  }
}

type Wanted = Map<string, { resource: Resource; spec: object }>

const FILTERS = [
  { publish: { policy: 'Accept', topics: ['devices/{{device.name}}/#'] } },
  { subscribe: { policy: 'Reject', topics: ['secret/#'] } },
  {},
]

/** One random change of the world; `wanted` is what it leads to in the end. */
async function change(
  stage: Stage,
  wanted: Wanted,
  random: Random,
  numbers: { next: number },
): Promise<void> {
  const known = [...wanted.keys()]
  const dice = random.below(100)
  if (known.length === 0 || (dice < 55 && numbers.next < OBJECTS)) {
    const number = numbers.next++
    const isNetwork = number % 6 === 5
    const name = `${isNetwork ? 'network' : 'device'}-${number}`
    const spec = isNetwork
      ? { hubRef: { name: 'garden' }, type: 'REST', topicPrefix: `in/${number}` }
      : { hubRef: { name: 'garden' }, messageFilters: random.pick(FILTERS) }
    const resource = isNetwork ? NETWORKS : DEVICES
    await stage.space.post(resource, name, { spec })
    wanted.set(name, { resource, spec })
    return
  }
  const name = random.pick(known)
  const { resource, spec } = wanted.get(name)!
  if (dice < 80) {
    const edit =
      resource === DEVICES ? { allowInsecure: random.below(2) === 0 } : { topicPrefix: `moved/${dice}` }
    await stage.space.merge(resource, name, { spec: edit })
    wanted.set(name, { resource, spec: { ...spec, ...edit } })
  } else {
    await stage.space.delete(resource, name)
    wanted.delete(name)
  }
}

const namesOf = (wanted: Wanted, resource: Resource) =>
  [...wanted].filter(([, one]) => one.resource === resource).map(([name]) => name)

async function settled(stage: Stage, wanted: Wanted): Promise<void> {
  await untilReady(stage.space, HUBS, ['garden'], 90_000)
  for (const resource of [DEVICES, NETWORKS]) {
    await untilReady(stage.space, resource, namesOf(wanted, resource), 90_000)
    await vi.waitFor(
      async () => expect((await stage.space.list(resource)).length).toBe(namesOf(wanted, resource).length),
      { timeout: 60_000, interval: 200 },
    )
  }
}

/** Everything that two runs must have in common: names of all owned objects, and what brokers know. */
async function picture(stage: Stage) {
  const owned: string[] = []
  for (const resource of OWNED_RESOURCES) {
    const objects = await stage.space.list<KubeObject>(resource)
    owned.push(
      ...objects
        .filter(({ metadata }) => (metadata.ownerReferences ?? []).length > 0)
        .map(({ metadata }) => `${resource.kind}/${metadata.name}`),
    )
  }
  const { metadata } = await stage.space.get(HUBS, 'garden')
  const { devices, networks } = await readState(stage.redis, metadata.uid ?? '')
  const client = stage.redis.client()
  try {
    const keys = (await client.keys('*')).map((key) => key.replaceAll(metadata.uid ?? '', '<uid>'))
    return {
      owned: owned.sort(),
      devices: Object.values(devices)
        .map(({ id, certificate, ...record }) => ({
          ...record,
          certificates: certificate.fingerprints.length,
        }))
        .sort((a, b) => (a.name < b.name ? -1 : 1)),
      networks: networks
        .map(({ name, type, topicPrefix }) => ({ name, type, topicPrefix }))
        .sort((a, b) => (a.name < b.name ? -1 : 1)),
      keys: keys.sort(),
    }
  } finally {
    client.disconnect()
  }
}

describe('an operator that is killed', () => {
  it(
    `at ${KILLS} points of a storm over ${OBJECTS} objects leaves what an undisturbed one leaves`,
    async () => {
      const random = new Random(SEED)
      await stormy.space.post(HUBS, 'garden', { spec: {} })
      const wanted: Wanted = new Map()
      const numbers = { next: 0 }
      let storming = true
      const storm = (async () => {
        while (storming) {
          await change(stormy, wanted, random, numbers)
          await delay(BETWEEN_CHANGES_MS)
          if (numbers.next >= OBJECTS && wanted.size < 10) break
        }
      })()
      const moments = new Random(SEED + 1)
      for (let kill = 0; kill < KILLS; kill++) {
        const operator = new OperatorProcess(stormy)
        await operator.leads()
        await delay(moments.below(700))
        await operator.kill(stormy)
      }
      storming = false
      await storm
      const last = new OperatorProcess(stormy)
      await last.leads()
      await settled(stormy, wanted)

      calm.start()
      await calm.space.post(HUBS, 'garden', { spec: {} })
      for (const [name, { resource, spec }] of wanted) await calm.space.post(resource, name, { spec })
      await settled(calm, wanted)
      const [found, expected] = [await picture(stormy), await picture(calm)]
      expect(found.devices).toEqual(expected.devices)
      expect(found.networks).toEqual(expected.networks)
      expect(found.owned).toEqual(expected.owned)
      expect(found.keys).toEqual(expected.keys)
      for (const { certificates } of found.devices) expect(certificates).toBe(1)
      await secretsHoldWhatBrokersKnow()
      expect((await last.program.stop('SIGTERM')).code).toBe(0)
    },
    LIFE_MS,
  )
})

async function secretsHoldWhatBrokersKnow(): Promise<void> {
  const { devices } = await stormy.state('garden')
  for (const { name, certificate } of Object.values(devices)) {
    const secret = await stormy.space.get<Secret>(SECRETS, `device-${name}-tls`)
    const { raw } = new X509Certificate(textOf(secret, 'tls.crt'))
    expect(certificate.fingerprints).toEqual([createHash('sha256').update(raw).digest('hex')])
  }
}
