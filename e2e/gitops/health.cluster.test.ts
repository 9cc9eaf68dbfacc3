/** How GitOps tools see our objects: Flux by kstatus, Argo CD by the health check that we ship. */
import path from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { DEVICES, HUBS, NETWORKS, ROUTES } from '../../operator/api/resources.ts'
import {
  applyQuickstart,
  ROOT,
  Stage,
  type TestOperator,
  untilCondition,
  untilReady,
} from '../../operator/operator.fixture.ts'
import type { KubeObject, Resource } from '../../operator/runtime/resource.ts'
import { findJudges, type Judge } from './go-tools.ts'

const HEALTH_CHECK = path.join(ROOT, 'deploy/argocd/health.lua')

let stage: Stage
let operator: TestOperator
let kstatus: Judge
let argo: Judge

beforeAll(async () => {
  ;({ kstatus, argo } = await findJudges(HEALTH_CHECK))
  stage = await Stage.create('health')
  // A judge that has to be built takes a minute or two.
}, 20 * 60_000)
afterAll(() => stage?.close())

const get = (resource: Resource, name: string) => stage.space.get(resource, name)

async function expectBoth(objects: readonly KubeObject[], flux: string, argoCd: string): Promise<string[]> {
  const judged = await kstatus(objects)
  expect(judged.map(({ status }) => status)).toEqual(objects.map(() => flux))
  const health = await argo(objects)
  expect(health.map(({ status }) => status)).toEqual(objects.map(() => argoCd))
  return health.map(({ message }) => message)
}

describe('Flux and Argo CD', () => {
  it('wait for an object that no operator has seen', async () => {
    await applyQuickstart(stage.space)
    const objects = [
      await get(HUBS, 'garden'),
      await get(DEVICES, 'pump'),
      await get(NETWORKS, 'web'),
      await stage.space.post(ROUTES, 'off', {
        spec: { hubRef: { name: 'garden' }, topic: '#', enabled: false, rest: { url: 'https://sink' } },
      }),
    ]
    await expectBoth(objects, 'InProgress', 'Progressing')
  })

  it('see what is ready', async () => {
    operator = stage.start()
    await untilReady(stage.space, HUBS, ['garden'])
    await untilReady(stage.space, DEVICES, ['pump'])
    await untilReady(stage.space, NETWORKS, ['web'])
    const objects = [await get(HUBS, 'garden'), await get(DEVICES, 'pump'), await get(NETWORKS, 'web')]
    await expectBoth(objects, 'Current', 'Healthy')
  })

  it('see what is off on purpose, and do not wait for it', async () => {
    await untilReady(stage.space, ROUTES, ['off'])
    await expectBoth([await get(ROUTES, 'off')], 'Current', 'Suspended')
  })

  it('wait for what the operator tries again by itself, and say what it waits for', async () => {
    await stage.space.post(DEVICES, 'early', { spec: { hubRef: { name: 'later' } } })
    await untilCondition(stage.space, DEVICES, 'early', { type: 'Reconciling' })
    const [message] = await expectBoth([await get(DEVICES, 'early')], 'InProgress', 'Progressing')
    expect(message).toContain('later')
  })

  it('see what only a person can repair as failed', async () => {
    await stage.space.merge(HUBS, 'garden', { spec: { listeners: { https: { enabled: false } } } })
    await untilCondition(stage.space, NETWORKS, 'web', { type: 'Stalled' })
    const [message] = await expectBoth([await get(NETWORKS, 'web')], 'Failed', 'Degraded')
    expect(message).toContain('needs https and http of the hub')
  })

  it('wait for what is being deleted', async () => {
    await stage.space.delete(HUBS, 'garden')
    const hub = await get(HUBS, 'garden')
    expect(hub.metadata.deletionTimestamp).toBeDefined()
    await expectBoth([hub], 'Terminating', 'Progressing')
  })

  it('wait for a change that the operator has not seen, whatever was said before it', async () => {
    await untilReady(stage.space, DEVICES, ['pump'])
    await operator.stop()
    await stage.space.merge(DEVICES, 'pump', { spec: { allowInsecure: true } })
    await expectBoth([await get(DEVICES, 'pump')], 'InProgress', 'Progressing')
  })
})
