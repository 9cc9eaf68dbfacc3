/** What GitOps tools do to objects beside applying them in a good order. */
import { readdir } from 'node:fs/promises'
import path from 'node:path'
import { afterEach, describe, expect, it, vi } from 'vitest'
import {
  CONFIG_MAPS,
  DEPLOYMENTS,
  DEVICES,
  HUBS,
  NETWORKS,
  ROUTES,
  SECRETS,
  SERVICES,
} from '../../operator/api/resources.ts'
import {
  applyManifest,
  applyQuickstart,
  REDIS_SECRET,
  ROOT,
  readYaml,
  resourceOf,
  Stage,
  untilCondition,
  untilReady,
} from '../../operator/operator.fixture.ts'
import { type KubeObject, objectPath, type Resource } from '../../operator/runtime/resource.ts'
import { Random } from '../../test-support/random.ts'

const SEEDS = [1, 2, 3]
const waiting = { timeout: 60_000, interval: 100 }

let stage: Stage
afterEach(() => stage?.close())

/** The quickstart, a route with a Secret, and a device with a password: objects that refer to each other. */
async function repository(): Promise<KubeObject[]> {
  const quickstart = path.join(ROOT, 'examples/quickstart')
  const files = (await readdir(quickstart)).sort().map((name) => path.join(quickstart, name))
  const found = await Promise.all([...files, path.join(ROOT, 'examples/routes/rest.yaml')].map(readYaml))
  const password: KubeObject = {
    apiVersion: 'v1',
    kind: 'Secret',
    metadata: { name: 'keypad' },
    stringData: { password: 'a password of some length' },
  } as KubeObject
  const keypad = {
    apiVersion: HUBS.apiVersion,
    kind: 'Device',
    metadata: { name: 'keypad' },
    spec: { hubRef: { name: 'garden' }, allowInsecure: true, passwordSecretRef: { name: 'keypad' } },
  } as KubeObject
  return [...found.flat(), password, keypad]
}

function shuffled<T>(items: readonly T[], seed: number): T[] {
  const random = new Random(seed)
  const left = [...items]
  return items.map(() => left.splice(random.below(left.length), 1)[0] as T)
}

const remove = async (object: KubeObject) =>
  await stage.space.delete(resourceOf(object), object.metadata.name ?? '')

describe('a repository', () => {
  it.each(SEEDS)('converges in any order of its objects, and goes in any order (seed %i)', async (seed) => {
    stage = await Stage.create('order')
    stage.start({ activityEveryMs: 200 })
    const objects = await repository()
    for (const object of shuffled(objects, seed)) await applyManifest(stage.space, object)
    await untilReady(stage.space, HUBS, ['garden'])
    await untilReady(stage.space, DEVICES, ['thermometer', 'dashboard', 'pump', 'keypad'])
    await untilReady(stage.space, NETWORKS, ['web', 'sigfox'])
    // No worker runs here that could say it delivers; nothing is missing for it.
    await untilCondition(stage.space, ROUTES, 'function', { type: 'Ready', reason: 'Progressing' })
    const { devices, networks, routes } = await stage.state('garden')
    expect(Object.keys(devices).sort()).toEqual(['dashboard', 'keypad', 'pump', 'thermometer'])
    expect(devices['keypad']?.passwordVerifier).toMatch(/^scrypt\$/)
    expect(networks.map(({ name }) => name).sort()).toEqual(['sigfox', 'web'])
    expect(routes.map(({ name }) => name)).toEqual(['function'])

    for (const object of shuffled(objects, seed + 100)) await remove(object)
    await vi.waitFor(async () => {
      for (const resource of [HUBS, DEVICES, NETWORKS, ROUTES])
        expect(await stage.space.list(resource), resource.plural).toEqual([])
    }, waiting)
  })
})

/** As Argo CD and Flux apply: their own fields, with force. */
const applyAs = async (fieldManager: string, resource: Resource, name: string, metadata: object) =>
  await stage.space.client.request({
    method: 'PATCH',
    path: objectPath(resource, stage.space.key(name)),
    query: { fieldManager, force: true },
    contentType: 'application/apply-patch+yaml',
    body: { apiVersion: resource.apiVersion, kind: resource.kind, metadata: { name, ...metadata } },
  })

describe('labels and annotations of another field manager', () => {
  const theirs = {
    labels: { 'argocd.argoproj.io/instance': 'iot', team: 'garden' },
    annotations: { 'argocd.argoproj.io/tracking-id': 'iot:apps/Deployment:x' },
  }
  const OWNED: Array<[Resource, string]> = [
    [SERVICES, 'hub-garden'],
    [DEPLOYMENTS, 'hub-garden'],
    [CONFIG_MAPS, 'hub-garden-server-ca'],
    [SECRETS, 'device-pump-tls'],
  ]

  it('stay on our kinds and on what we make of them, through changes of both sides', async () => {
    stage = await Stage.create('fields')
    stage.start()
    await applyQuickstart(stage.space)
    await untilReady(stage.space, DEVICES, ['pump'])
    await untilReady(stage.space, HUBS, ['garden'])
    const all: Array<[Resource, string]> = [[HUBS, 'garden'], [DEVICES, 'pump'], [NETWORKS, 'web'], ...OWNED]
    for (const [resource, name] of all) await applyAs('argocd-controller', resource, name, theirs)
    // The operator writes each of its objects anew.
    await stage.space.merge(HUBS, 'garden', {
      spec: {
        service: { type: 'NodePort' },
        pod: { labels: { a: 'b' } },
        serverTLS: { managed: { dnsNames: ['a.example'] } },
      },
    })
    await stage.space.merge(DEVICES, 'pump', {
      spec: { certificate: { managed: { keyAlgorithm: 'RSA-2048' } } },
    })
    await untilReady(stage.space, HUBS, ['garden'])
    await untilReady(stage.space, DEVICES, ['pump'])
    for (const [resource, name] of all) {
      const { metadata } = await stage.space.get(resource, name)
      expect(metadata.labels, `${resource.kind} ${name}`).toMatchObject(theirs.labels)
      expect(metadata.annotations, `${resource.kind} ${name}`).toMatchObject(theirs.annotations)
    }
    for (const [resource, name] of OWNED) {
      const { metadata } = await stage.space.get(resource, name)
      expect(metadata.labels?.['app.kubernetes.io/managed-by'], `${resource.kind} ${name}`).toBe('hublet')
    }
    // They give theirs up again: nothing of it stays.
    await applyAs('argocd-controller', SERVICES, 'hub-garden', {})
    const { metadata } = await stage.space.get(SERVICES, 'hub-garden')
    expect(metadata.labels).not.toHaveProperty('team')
  })
})

it('everything that the operator makes names its owner, so that pruning the owner prunes it', async () => {
  stage = await Stage.create('owners')
  stage.start()
  await applyQuickstart(stage.space)
  await untilReady(stage.space, HUBS, ['garden'])
  await untilReady(stage.space, NETWORKS, ['web', 'sigfox'])
  await untilReady(stage.space, DEVICES, ['thermometer', 'dashboard', 'pump'])
  const made: string[] = []
  for (const resource of [SERVICES, DEPLOYMENTS, CONFIG_MAPS, SECRETS]) {
    for (const { metadata } of await stage.space.list(resource)) {
      const [owner] = metadata.ownerReferences ?? []
      if (metadata.name === REDIS_SECRET || metadata.name === 'kube-root-ca.crt') continue
      expect(owner, `${resource.kind} ${metadata.name}`).toMatchObject({
        controller: true,
        apiVersion: HUBS.apiVersion,
      })
      made.push(`${owner?.kind} ${owner?.name}`)
    }
  }
  expect(new Set(made)).toEqual(
    new Set([
      'Hub garden',
      'Device pump',
      'Device dashboard',
      'Device thermometer',
      'Network web',
      'Network sigfox',
    ]),
  )
})
