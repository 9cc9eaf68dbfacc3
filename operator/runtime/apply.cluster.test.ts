import pino from 'pino'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { adminConfig, installWidgets, TestNamespace } from '../../test-support/cluster.ts'
import { FaultProxy } from '../../test-support/fault-proxy.ts'
import { CONFIG_MAPS, type ConfigMap, WIDGETS, type Widget } from '../../test-support/test-kinds.ts'
import { type ApiClient, createApiClient } from './api-client.ts'
import { Applier, type ApplyResult, type Desired } from './apply.ts'
import { systemClock } from './clock.ts'
import { Informer } from './informer.ts'
import { byOwner, OWNER_INDEX } from './owner.ts'
import { RecentWrites } from './recent-writes.ts'
import type { KubeObject, Resource } from './resource.ts'

const SERVICES: Resource = { apiVersion: 'v1', kind: 'Service', plural: 'services', namespaced: true }
const DEPLOYMENTS: Resource = {
  apiVersion: 'apps/v1',
  kind: 'Deployment',
  plural: 'deployments',
  namespaced: true,
}
const HASH = 'runtime.test/applied'
const signal = new AbortController().signal

let space: TestNamespace
let proxy: FaultProxy
let client: ApiClient
let owner: Widget
let applier: Applier
const informers = new Map<string, Informer<KubeObject>>()

beforeEach(async () => {
  space = await TestNamespace.create('apply')
  await installWidgets(space.client)
  proxy = new FaultProxy(adminConfig())
  client = createApiClient({ kubeConfig: await proxy.start() })
  owner = await space.post<Widget>(WIDGETS, 'owner')
  applier = await startApplier([CONFIG_MAPS, SERVICES, DEPLOYMENTS])
})

afterEach(async () => {
  await stopInformers()
  client.close()
  await proxy.stop()
  await space.remove()
})

async function stopInformers(): Promise<void> {
  for (const informer of informers.values()) await informer.stop()
  informers.clear()
}

/** An applier as an operator that has just started has one: with copies, and no memory. */
async function startApplier(resources: readonly Resource[], labelSelector?: string): Promise<Applier> {
  const views = new Map<string, RecentWrites<KubeObject>>()
  for (const resource of resources) {
    const informer = new Informer<KubeObject>({
      client: space.client,
      resource,
      namespace: space.name,
      clock: systemClock,
      random: Math.random,
      logger: pino({ level: 'silent' }),
      indexers: { [OWNER_INDEX]: byOwner },
      ...(labelSelector ? { labelSelector } : {}),
    })
    informers.set(resource.plural, informer)
    views.set(resource.plural, new RecentWrites(informer, systemClock))
    informer.start()
    await informer.whenSynced(AbortSignal.timeout(60_000))
  }
  const view = ({ plural }: Resource) => views.get(plural)
  return new Applier({ client, fieldManager: 'widget-controller', hashAnnotation: HASH, view })
}

const configMap = (name: string, data: Record<string, string>, labels = {}): Desired => ({
  resource: CONFIG_MAPS,
  object: { metadata: { name, namespace: space.name, labels }, data } as KubeObject,
})

const apply = (...desired: Desired[]) => applier.apply(owner, desired, signal)
const outcomes = (results: ApplyResult[]) =>
  results.map((result) => (result.outcome === 'refused' ? result.reason : result.outcome))

/** What went through the proxy since the last call. */
function requests(): string[] {
  return proxy.seen.splice(0).map(({ method }) => method)
}

const copyShows = (resource: Resource, name: string, check: (object: KubeObject | undefined) => void) =>
  vi.waitFor(() => check(informers.get(resource.plural)!.get(space.key(name))), {
    timeout: 60_000,
    interval: 10,
  })

/** Waits until the copy has caught up with the server, as it has when an event starts a reconcile. */
async function copyIsCurrent(resource: Resource, name: string): Promise<void> {
  const { metadata } = await space.get(resource, name)
  await copyShows(resource, name, (object) =>
    expect(object?.metadata.resourceVersion).toBe(metadata.resourceVersion),
  )
}

describe('applying objects', () => {
  it('creates with owner and field manager, changes only what changed, and sends nothing when nothing did', async () => {
    expect(outcomes(await apply(configMap('one', { a: '1' }), configMap('two', { b: '1' })))).toEqual([
      'created',
      'created',
    ])
    const one = await space.get<ConfigMap>(CONFIG_MAPS, 'one')
    expect(one.metadata.ownerReferences).toEqual([
      {
        apiVersion: 'runtime.test/v1',
        kind: 'Widget',
        name: 'owner',
        uid: owner.metadata.uid,
        controller: true,
      },
    ])
    expect(one.metadata.managedFields).toEqual([
      expect.objectContaining({ manager: 'widget-controller', operation: 'Apply' }),
    ])
    requests()
    expect(outcomes(await apply(configMap('one', { a: '1' }), configMap('two', { b: '2' })))).toEqual([
      'unchanged',
      'changed',
    ])
    expect(requests()).toEqual(['PATCH'])
    expect(outcomes(await apply(configMap('one', { a: '1' }), configMap('two', { b: '2' })))).toEqual([
      'unchanged',
      'unchanged',
    ])
    expect(requests()).toEqual([])
  })

  it('sends nothing after a restart either, when all is in place', async () => {
    await apply(configMap('one', { a: '1' }))
    await stopInformers()
    applier = await startApplier([CONFIG_MAPS])
    requests()
    expect(outcomes(await apply(configMap('one', { a: '1' })))).toEqual(['unchanged'])
    expect(requests()).toEqual([])
  })

  it('removes a field that is no longer wanted and leaves those of others alone', async () => {
    await apply(configMap('one', { mine: '1', old: '1' }, { app: 'x' }))
    await space.merge(CONFIG_MAPS, 'one', { data: { theirs: '1' }, metadata: { labels: { team: 'a' } } })
    await copyIsCurrent(CONFIG_MAPS, 'one')
    expect(outcomes(await apply(configMap('one', { mine: '1' }, { app: 'x' })))).toEqual(['changed'])
    const { data, metadata } = await space.get<ConfigMap>(CONFIG_MAPS, 'one')
    expect(data).toEqual({ mine: '1', theirs: '1' })
    expect(metadata.labels).toEqual({ app: 'x', team: 'a' })
  })

  it('repairs what somebody edited, removed or deleted', async () => {
    const wanted = configMap('one', { a: '1', b: '2' }, { app: 'x' })
    await apply(wanted)
    const edits: object[] = [
      { data: { a: 'edited' } },
      { data: { b: null } },
      { metadata: { labels: { app: null } } },
      { metadata: { annotations: { [HASH]: null } } },
      { metadata: { ownerReferences: [{ ...ownerRef(), controller: false }] } },
    ]
    for (const edit of edits) {
      await space.merge(CONFIG_MAPS, 'one', edit)
      await copyIsCurrent(CONFIG_MAPS, 'one')
      await apply(wanted)
      const { data, metadata } = await space.get<ConfigMap>(CONFIG_MAPS, 'one')
      const { labels, ownerReferences } = metadata
      expect({ data, labels, ownerReferences }, JSON.stringify(edit)).toEqual({
        data: { a: '1', b: '2' },
        labels: { app: 'x' },
        ownerReferences: [ownerRef()],
      })
    }
    await space.delete(CONFIG_MAPS, 'one')
    await copyShows(CONFIG_MAPS, 'one', (object) => expect(object).toBeUndefined())
    expect(outcomes(await apply(wanted))).toEqual(['created'])
  })

  it('repairs a selector that somebody made narrower', async () => {
    const wanted: Desired = {
      resource: SERVICES,
      object: {
        metadata: { name: 'web', namespace: space.name },
        spec: {
          selector: { app: 'x' },
          ports: [{ name: 'http', port: 80, targetPort: 8080, protocol: 'TCP' }],
        },
      } as KubeObject,
    }
    expect(outcomes(await apply(wanted))).toEqual(['created'])
    requests()
    expect(outcomes(await apply(wanted))).toEqual(['unchanged'])
    expect(requests()).toEqual([])
    await space.merge(SERVICES, 'web', { spec: { selector: { never: 'matches' } } })
    await copyIsCurrent(SERVICES, 'web')
    expect(outcomes(await apply(wanted))).toEqual(['changed'])
    const { spec } = await space.get<KubeObject & { spec: { selector: object } }>(SERVICES, 'web')
    expect(spec.selector).toEqual({ app: 'x' })
  })

  it('asks once, not for ever, for a value that the API server writes in its own way', async () => {
    const container = { name: 'c', image: 'i', resources: { limits: { cpu: '1000m', memory: '1024Mi' } } }
    const wanted: Desired = {
      resource: DEPLOYMENTS,
      object: {
        metadata: { name: 'app', namespace: space.name },
        spec: {
          selector: { matchLabels: { app: 'x' } },
          template: { metadata: { labels: { app: 'x' } }, spec: { containers: [container] } },
        },
      } as KubeObject,
    }
    expect(outcomes(await apply(wanted))).toEqual(['created'])
    await copyIsCurrent(DEPLOYMENTS, 'app')
    requests()
    expect(outcomes(await apply(wanted))).toEqual(['unchanged'])
    expect(requests()).toEqual([])
    // It still sees what somebody does to it.
    await space.merge(DEPLOYMENTS, 'app', { spec: { template: { metadata: { labels: { extra: 'y' } } } } })
    await copyIsCurrent(DEPLOYMENTS, 'app')
    await apply(wanted)
    expect(requests()).toEqual(['PATCH'])
    await space.merge(DEPLOYMENTS, 'app', { spec: { replicas: 3 } }, { dryRun: 'All' })
    await apply(wanted)
    expect(requests()).toEqual([])
  })

  it('reads its own writes: a run before the copy caught up sends nothing twice', async () => {
    const silent = informers.get('configmaps')!
    await silent.stop()
    await apply(configMap('one', { a: '1' }))
    requests()
    expect(outcomes(await apply(configMap('one', { a: '1' })))).toEqual(['unchanged'])
    expect(requests()).toEqual([])
  })

  it('refuses to adopt an object that is not ours, and applies the others all the same', async () => {
    await space.post(CONFIG_MAPS, 'taken', { data: { theirs: 'x' } })
    await copyIsCurrent(CONFIG_MAPS, 'taken')
    const before = await space.get(CONFIG_MAPS, 'taken')
    const results = await apply(configMap('taken', { mine: '1' }), configMap('free', { mine: '1' }))
    expect(outcomes(results)).toEqual(['NameTaken', 'created'])
    expect(results[0]).toMatchObject({
      message: `ConfigMap ${space.key('taken')} exists and is not ours: delete or rename it`,
    })
    expect(await space.get(CONFIG_MAPS, 'taken')).toEqual(before)
  })

  it('refuses it too when its copy cannot show the object, because a selector hides it', async () => {
    await stopInformers()
    applier = await startApplier([CONFIG_MAPS], 'managed=yes')
    await space.post(CONFIG_MAPS, 'hidden', { data: { theirs: 'x' } })
    const before = await space.get(CONFIG_MAPS, 'hidden')
    expect(outcomes(await apply(configMap('hidden', { mine: '1' }, { managed: 'yes' })))).toEqual([
      'NameTaken',
    ])
    expect(await space.get(CONFIG_MAPS, 'hidden')).toEqual(before)
  })

  it('takes its fields out again when an object of that name appears between look and write', async () => {
    // The look is answered as it would have been a moment before the object was made.
    await informers.get('configmaps')!.stop()
    await space.post(CONFIG_MAPS, 'race', { data: { theirs: 'x' } })
    requests()
    proxy.rule = ({ method }) => (method === 'GET' ? { kind: 'answer', status: 404, body: '{}' } : undefined)
    expect(outcomes(await apply(configMap('race', { mine: '1' })))).toEqual(['NameTaken'])
    expect(requests()).toEqual(['GET', 'PATCH', 'PATCH'])
    const { data, metadata } = await space.get<ConfigMap>(CONFIG_MAPS, 'race')
    expect(data).toEqual({ theirs: 'x' })
    expect(metadata.ownerReferences ?? []).toEqual([])
    expect(metadata.annotations ?? {}).toEqual({})
  })

  it('tells a name that a stranger holds from one that an earlier owner left behind', async () => {
    await apply(configMap('one', { a: '1' }))
    await space.delete(WIDGETS, 'owner')
    owner = await space.post<Widget>(WIDGETS, 'owner')
    expect(outcomes(await apply(configMap('one', { a: '1' })))).toEqual(['PreviousOwner'])
  })

  it('waits for an object of ours that is being deleted', async () => {
    await apply(configMap('one', { a: '1' }))
    await space.merge(CONFIG_MAPS, 'one', { metadata: { finalizers: ['runtime.test/hold'] } })
    await space.delete(CONFIG_MAPS, 'one')
    await copyIsCurrent(CONFIG_MAPS, 'one')
    expect(outcomes(await apply(configMap('one', { a: '2' })))).toEqual(['Terminating'])
    await space.merge(CONFIG_MAPS, 'one', { metadata: { finalizers: null } })
  })

  it('does not write into an object that took the name after the copy was made', async () => {
    await apply(configMap('one', { a: '1' }))
    await copyIsCurrent(CONFIG_MAPS, 'one')
    await informers.get('configmaps')!.stop()
    await space.delete(CONFIG_MAPS, 'one')
    await space.post(CONFIG_MAPS, 'one', { data: { theirs: 'x' } })
    expect(outcomes(await apply(configMap('one', { a: '2' })))).toEqual(['NameTaken'])
    expect((await space.get<ConfigMap>(CONFIG_MAPS, 'one')).data).toEqual({ theirs: 'x' })
  })

  it('makes anew what was deleted after the copy was made', async () => {
    await apply(configMap('one', { a: '1' }))
    await copyIsCurrent(CONFIG_MAPS, 'one')
    await informers.get('configmaps')!.stop()
    await space.delete(CONFIG_MAPS, 'one')
    expect(outcomes(await apply(configMap('one', { a: '2' })))).toEqual(['created'])
  })

  it('fails on what the API server refuses, naming the reason', async () => {
    const bad = configMap('Not_A_Name', {})
    await expect(apply(bad)).rejects.toMatchObject({ status: 422, reason: 'Invalid' })
  })
})

describe('pruning', () => {
  const prune = (...keep: Desired[]) => applier.prune(owner, keep, [CONFIG_MAPS], signal)

  it('deletes what we applied for the owner and no longer want, and nothing else', async () => {
    const other = await space.post<Widget>(WIDGETS, 'other')
    await apply(configMap('keep', {}), configMap('drop', {}))
    await applier.apply(other, [configMap('of-another-owner', {})], signal)
    await space.post(CONFIG_MAPS, 'strangers')
    // Owned by the same object, but made by somebody else.
    await space.post(CONFIG_MAPS, 'by-another-controller', { metadata: { ownerReferences: [ownerRef()] } })
    for (const name of ['drop', 'of-another-owner', 'by-another-controller']) {
      await copyIsCurrent(CONFIG_MAPS, name)
    }
    expect(await prune(configMap('keep', {}))).toEqual([`ConfigMap ${space.key('drop')}`])
    const left = (await space.list(CONFIG_MAPS)).map(({ metadata }) => metadata.name)
    expect(left.sort()).toEqual(['by-another-controller', 'keep', 'of-another-owner', 'strangers'])
    requests()
    await copyShows(CONFIG_MAPS, 'drop', (object) => expect(object).toBeUndefined())
    expect(await prune(configMap('keep', {}))).toEqual([])
    expect(requests()).toEqual([])
  })

  it('does not delete an object that changed since the copy was made', async () => {
    await apply(configMap('drop', {}))
    await copyIsCurrent(CONFIG_MAPS, 'drop')
    await informers.get('configmaps')!.stop()
    await space.merge(CONFIG_MAPS, 'drop', { data: { changed: 'yes' } })
    await expect(prune()).rejects.toMatchObject({ status: 409 })
    expect((await space.get<ConfigMap>(CONFIG_MAPS, 'drop')).data).toEqual({ changed: 'yes' })
  })
})

const ownerRef = () => ({
  apiVersion: 'runtime.test/v1',
  kind: 'Widget',
  name: 'owner',
  uid: owner.metadata.uid,
  controller: true,
})
