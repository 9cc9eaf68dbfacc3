import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import { pino } from 'pino'
import { afterEach, describe, expect, it } from 'vitest'
import { makeTempDir } from '../../test-support/temp-dir.ts'
import { openDataFolder } from './data-folder.ts'
import { describeChange } from './hub-observer.ts'
import { type HubPlan, planHubs } from './hub-plan.ts'
import { HubRunners, type RunnersObserver } from './hub-runners.ts'
import { IdentityStore } from './identity-store.ts'
import { deviceYaml, hubYaml, setOf } from './manifests.fixture.ts'
import { RecordingBroker } from './recording-broker.fixture.ts'

const stops: (() => Promise<unknown>)[] = []
afterEach(async () => {
  for (const stop of stops.splice(0)) await stop()
})

function makeRunners({ used = [] as number[], failing = '' } = {}) {
  const folder = openDataFolder(join(makeTempDir('runners'), '.hublet'))
  const log: string[] = []
  const told: string[] = []
  const now = { value: Date.now() }
  const observer: RunnersObserver = {
    started: ({ plan }, reason) => told.push(`started ${plan.key} ${reason}`),
    updated: ({ plan }, change, previous) => told.push(describeChange(change, previous, plan) ?? 'nothing'),
    stopped: (key, reason) => told.push(`stopped ${key} ${reason}`),
  }
  const runners = new HubRunners({
    startBroker: async (options) => {
      if (options.state.hub().name === failing) throw new Error('no luck')
      return await new RecordingBroker(options, log).start()
    },
    bind: '127.0.0.1',
    file: folder.file,
    logger: pino({ level: 'silent' }),
    provision: async () => 'Failed',
    enrol: async () => ({ refusal: 'NOT_ENROLLABLE', detail: '' }),
    isPortFree: async (_, port) => !used.includes(port),
    observer,
  })
  const identities = new IdentityStore(
    folder,
    { now: () => now.value, random: randomBytes },
    { dnsNames: ['localhost'], ipAddresses: [] },
  )
  stops.push(
    () => runners.stopAll(),
    async () => folder.close(),
  )
  const plan = async (...documents: string[]): Promise<HubPlan[]> => {
    const result = await planHubs(setOf(...documents), identities)
    if (!result.valid) throw new Error('not valid')
    return result.plans
  }
  const apply = async (...documents: string[]) => await runners.apply(await plan(...documents))
  return { apply, log, told, now, runners }
}

describe('HubRunners', () => {
  it('tells a running broker of a change instead of starting it again', async () => {
    const { apply, log, told } = makeRunners()
    await apply(hubYaml(), deviceYaml('lamp'))
    await apply(hubYaml(), deviceYaml('lamp', 'enabled: false'), deviceYaml('pump'))
    expect(log).toEqual(['started garden', 'changed garden'])
    expect(told.at(-1)).toBe('manifests applied: 1 device added (pump), 1 device changed (lamp)')
  })

  it('tells it nothing when nothing changed', async () => {
    const { apply, log, told } = makeRunners()
    await apply(hubYaml(), deviceYaml('lamp'))
    await apply(hubYaml(), deviceYaml('lamp'))
    expect(log).toEqual(['started garden'])
    expect(told).toEqual(['started garden New', 'nothing'])
  })

  it('starts an added hub and stops a removed one, others untouched', async () => {
    const { apply, log, told } = makeRunners()
    const other = (name: string) => hubYaml('{}', name)
    await apply(hubYaml(), other('farm'))
    await apply(hubYaml(), other('house'))
    expect(log).toEqual(['started farm', 'started garden', 'stopped farm', 'started house'])
    expect(told).toContain('stopped farm Removed')
  })

  it.each([
    ['another port', '{ listeners: { mqtt: { port: 2883 } } }'],
    ['a closed listener', '{ listeners: { ws: { enabled: false } } }'],
  ])('starts a hub again for %s, and no other', async (_, spec) => {
    const { apply, log, told } = makeRunners()
    await apply(hubYaml(), hubYaml('{}', 'farm'))
    await apply(hubYaml(spec), hubYaml('{}', 'farm'))
    expect(log).toEqual(['started farm', 'started garden', 'stopped garden', 'started garden'])
    expect(told).toContain('started garden ListenersChanged')
  })

  it('gives a renewed server certificate to a running broker', async () => {
    const { apply, log, now } = makeRunners()
    await apply(hubYaml())
    now.value += 70 * 86_400_000
    await apply(hubYaml())
    expect(log).toEqual(['started garden', 'credentials garden'])
  })

  it('gives every hub ports of its own, and keeps clear of other programs', async () => {
    const { apply, runners } = makeRunners({ used: [1883] })
    const only =
      '{ listeners: { mqtts: { enabled: false }, ws: { enabled: false }, wss: { enabled: false }, https: { enabled: false } } }'
    await apply(hubYaml(only, 'a'), hubYaml(only, 'b'))
    expect(runners.ports()).toEqual({ a: { mqtt: 11883 }, b: { mqtt: 21883 } })
  })

  it('reports a hub that cannot be started, and brings up the others', async () => {
    const { apply, log } = makeRunners({ failing: 'farm' })
    const failures = await apply(hubYaml(), hubYaml('{}', 'farm'))
    expect(failures).toEqual([{ key: 'farm', error: new Error('no luck') }])
    expect(log).toEqual(['started garden'])
  })

  it('stops all of them at the end', async () => {
    const { apply, runners, log } = makeRunners()
    await apply(hubYaml(), hubYaml('{}', 'farm'))
    await runners.stopAll()
    expect(log.slice(2).sort()).toEqual(['stopped farm', 'stopped garden'])
  })
})
