import path from 'node:path'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { DEVICES, HUBS, SECRETS, type Secret } from '../../operator/api/resources.ts'
import { type Conditioned, ROOT, Stage, textOf } from '../../operator/operator.fixture.ts'
import { Kubectl } from '../../test-support/kubectl.ts'

// A person at a shell, and nothing else: what is known of an object is what kubectl says of it.

const QUICKSTART = path.join(ROOT, 'examples/quickstart')
const ALL = [
  'hub/garden',
  ...['device/thermometer', 'device/dashboard', 'device/pump'],
  ...['network/web', 'network/sigfox'],
]
/** How often a field is edited while somebody waits. */
const EDITS = 12
const waiting = { timeout: 60_000, interval: 300 }

let stage: Stage
let kubectl: Kubectl

beforeEach(async () => {
  stage = await Stage.create('kubectl')
  kubectl = await Kubectl.create(stage.space.name)
})
afterEach(async () => {
  kubectl.close()
  await stage.close()
})

const wait = (...what: string[]) => kubectl.run('wait', '--for=condition=Ready', '--timeout=60s', ...what)

const row = (plural: string, name: string) => kubectl.row(plural, name)

describe('the quickstart by kubectl apply', () => {
  it('is waited for with kubectl wait, and its columns answer whether it is fine', async () => {
    stage.start()
    await kubectl.run('apply', '-f', QUICKSTART)
    await wait(...ALL)
    // A hub can be Ready before it has counted all of its devices.
    await vi.waitFor(
      async () =>
        expect(await row('hubs', 'garden')).toMatchObject({
          ready: 'True',
          reason: 'Succeeded',
          devices: '3',
          endpoint: expect.stringMatching(/^mqtts:\/\/hub-garden\.kubectl-\S+:8883$/),
          age: expect.stringMatching(/^\d+(s|m(\d+s)?)$/),
        }),
      waiting,
    )
    expect(await row('devices', 'pump')).toMatchObject({ hub: 'garden', ready: 'True', reason: 'Succeeded' })
    expect(await row('networks', 'web')).toMatchObject({
      hub: 'garden',
      type: 'REST',
      ready: 'True',
      reason: 'Succeeded',
    })
    // Nothing changed, so nothing is to be done: no manifest fights with the operator over a field.
    const again = (await kubectl.run('apply', '-f', QUICKSTART)).trim().split('\n')
    expect(again.filter((line) => !line.endsWith(' unchanged'))).toEqual([])
    expect(await kubectl.run('diff', '-f', QUICKSTART)).toBe('')
  })

  it('shows in the same columns what is not fine, and why', async () => {
    stage.start({ activityEveryMs: 200 })
    const device = { hubRef: { name: 'nowhere' } }
    await stage.space.post(DEVICES, 'lost', { spec: device })
    await stage.space.post(HUBS, 'garden', { spec: { replicas: 2 } })
    await kubectl.run('apply', '-f', path.join(ROOT, 'examples/routes/rest.yaml'))
    await vi.waitFor(async () => {
      expect(await row('devices', 'lost')).toMatchObject({
        hub: 'nowhere',
        ready: 'False',
        reason: 'HubNotFound',
      })
      expect(await row('hubs', 'garden')).toMatchObject({
        ready: 'False',
        reason: 'MultiBrokerUnsupported',
      })
      const [route] = (await kubectl.run('get', 'routes', '-o', 'name')).trim().split('\n')
      const found = await row('routes', route?.split('/')[1] ?? '')
      expect(found).toMatchObject({ ready: 'Unknown', reason: 'Progressing' })
    }, waiting)
  })

  it('is described without its secrets', async () => {
    stage.start()
    await kubectl.run('apply', '-f', QUICKSTART)
    await wait(...ALL)
    expect(await kubectl.run('get', 'iot', '-o', 'name')).toContain('device.iot.hublet.dev/dashboard')
    const described = await vi.waitFor(async () => {
      const text = await kubectl.run('describe', 'network', 'web')
      expect(text).toContain('TokenIssued')
      return text
    }, waiting)
    const token = textOf(await stage.space.get<Secret>(SECRETS, 'network-web-token'), 'token')
    expect(token).toMatch(/^[\w-]{43}$/)
    expect(described).not.toContain(token)
  })

  it('is never said to be Ready for an edit that nobody has looked at yet', async () => {
    stage.start()
    await kubectl.run('apply', '-f', QUICKSTART)
    await wait(...ALL)
    for (let n = 0; n < EDITS; n += 1) {
      const allowInsecure = n % 2 === 0
      await kubectl.run(
        'patch',
        'device/pump',
        '--type=merge',
        '-p',
        JSON.stringify({ spec: { allowInsecure } }),
      )
      const { metadata } = await stage.space.get(DEVICES, 'pump')
      // kubectl wait goes by status.observedGeneration, as kstatus does.
      await wait('device/pump')
      const { status } = await stage.space.get<Conditioned>(DEVICES, 'pump')
      expect(status?.observedGeneration).toBe(metadata.generation)
      expect((await stage.state('garden')).devices['pump']?.allowInsecure).toBe(allowInsecure)
    }
  })
})
