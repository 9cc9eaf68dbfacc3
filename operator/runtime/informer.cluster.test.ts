import type { KubeConfig } from '@kubernetes/client-node'
import pino from 'pino'
import { Registry } from 'prom-client'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { adminConfig, installWidgets, TestNamespace } from '../../test-support/cluster.ts'
import { type Fault, FaultProxy } from '../../test-support/fault-proxy.ts'
import { CONFIG_MAPS, type ConfigMap, WIDGETS } from '../../test-support/test-kinds.ts'
import { type ApiClient, createApiClient } from './api-client.ts'
import { systemClock } from './clock.ts'
import { type Change, Informer, type InformerOptions } from './informer.ts'
import { createInformerMetrics } from './informer-metrics.ts'
import type { InformerTimes } from './reflector.ts'
import { type KubeObject, keyOf } from './resource.ts'

/** Bounds of a production informer, some hundred times shorter. */
const QUICK: Partial<InformerTimes> = {
  stallMs: 700,
  backoff: { baseMs: 20, maxMs: 200 },
  maxRetryAfterMs: 1_500,
  listMs: 2_000,
}

const waitFor = (check: () => void | Promise<void>, timeout = 60_000) =>
  vi.waitFor(check, { timeout, interval: 20 })

let space: TestNamespace
let proxy: FaultProxy
let proxied: KubeConfig
let throughProxy: ApiClient
const running: Array<Informer<ConfigMap>> = []

beforeEach(async () => {
  space = await TestNamespace.create('informer')
  proxy = new FaultProxy(adminConfig())
  proxied = await proxy.start()
  throughProxy = createApiClient({ kubeConfig: proxied, timeoutMs: 2_000 })
})

afterEach(async () => {
  for (const informer of running.splice(0)) await informer.stop()
  throughProxy.close()
  await proxy.stop()
  await space.remove()
})

const create = (name: string, data: Record<string, string> = {}, labels: Record<string, string> = {}) =>
  space.post(CONFIG_MAPS, name, { metadata: { labels }, data })
const edit = (name: string, data: Record<string, string>) => space.merge(CONFIG_MAPS, name, { data })
const remove = (name: string) => space.delete(CONFIG_MAPS, name)

function xorshift(seed: number): () => number {
  let x = seed
  return () => {
    x ^= x << 13
    x ^= x >>> 17
    x ^= x << 5
    return (x >>> 0) / 2 ** 32
  }
}

function follow(options: Partial<InformerOptions<ConfigMap>> = {}): Informer<ConfigMap> {
  const informer = new Informer<ConfigMap>({
    client: throughProxy,
    resource: CONFIG_MAPS,
    namespace: space.name,
    clock: systemClock,
    random: Math.random,
    logger: pino({ level: 'silent' }),
    ...options,
    times: { ...QUICK, ...options.times },
  })
  running.push(informer)
  informer.start()
  return informer
}

const versions = (objects: readonly KubeObject[]) =>
  Object.fromEntries(objects.map((object) => [keyOf(object), object.metadata.resourceVersion]).sort())

/** Waits until the copy is what the API server itself says. */
async function converges(informer: Informer<ConfigMap>, query: Record<string, string> = {}): Promise<void> {
  await waitFor(async () => {
    const expected = versions(await space.list(informer.resource, query))
    expect(informer.hasSynced).toBe(true)
    expect(versions(informer.list())).toEqual(expected)
  })
}

/** Cuts the one watch there is, once it is there. */
async function cutWatch(): Promise<void> {
  await waitFor(() => expect(proxy.liveWatches).toBe(1))
  proxy.cutWatches()
}

const watchRequests = () => proxy.seen.filter(({ watch }) => watch)
const listRequests = () => proxy.seen.filter(({ watch }) => !watch)

describe('an informer', () => {
  it('follows creations, edits and deletions, and tells each once', async () => {
    await create('before')
    const informer = follow()
    const told: string[] = []
    informer.onChange(({ type, object }: Change<ConfigMap>) => told.push(`${type} ${object.metadata.name}`))
    await informer.whenSynced(AbortSignal.timeout(60_000))
    expect(informer.hasSynced).toBe(true)
    await create('after', { a: '1' })
    await edit('after', { a: '2' })
    await remove('before')
    await converges(informer)
    expect(told.filter((line) => !line.endsWith('kube-root-ca.crt'))).toEqual([
      'added before',
      'added after',
      'updated after',
      'deleted before',
    ])
    expect(informer.get(space.key('after'))?.data).toEqual({ a: '2' })
  })

  it('asks for bookmarks and a server-side end, and lists in pages as of one moment', async () => {
    for (let n = 0; n < 25; n += 1) await create(`object-${n}`)
    const informer = follow({ pageSize: 10 })
    await converges(informer)
    await waitFor(() => expect(watchRequests()).toHaveLength(1))
    const watch = watchRequests()[0]!.url.searchParams
    expect(watch.get('allowWatchBookmarks')).toBe('true')
    expect(Number(watch.get('timeoutSeconds'))).toBeGreaterThanOrEqual(290)
    expect(Number(watch.get('timeoutSeconds'))).toBeLessThanOrEqual(580)
    const pages = listRequests().map(({ url }) => url.searchParams)
    expect(pages.map((query) => query.get('limit'))).toEqual(['10', '10', '10'])
    expect(pages.map((query) => query.has('continue'))).toEqual([false, true, true])
  })

  it('sees only what its selector selects, and a changed label as a deletion', async () => {
    await create('mine', {}, { app: 'hublet' })
    await create('other', {}, { app: 'else' })
    const informer = follow({ labelSelector: 'app=hublet' })
    await converges(informer, { labelSelector: 'app=hublet' })
    expect(informer.list().map(({ metadata }) => metadata.name)).toEqual(['mine'])
    await space.merge(CONFIG_MAPS, 'mine', { metadata: { labels: { app: 'else' } } })
    await waitFor(() => expect(informer.size).toBe(0))
  })

  it('reads metadata alone when asked to, and keeps no managed fields', async () => {
    await create('one', { large: 'x'.repeat(1_000) })
    const informer = follow({ metadataOnly: true })
    await converges(informer)
    await create('two', { large: 'x' })
    await converges(informer)
    for (const object of informer.list()) {
      expect(object).toMatchObject({ apiVersion: 'v1', kind: 'ConfigMap' })
      expect(object.data).toBeUndefined()
      expect(object.metadata.managedFields).toBeUndefined()
    }
  })

  it('finds objects by index after they changed and after they went', async () => {
    const informer = follow({ indexers: { color: ({ data }) => (data?.['color'] ? [data['color']] : []) } })
    await create('a', { color: 'red' })
    await create('b', { color: 'red' })
    await converges(informer)
    const named = (color: string) => informer.byIndex('color', color).map(({ metadata }) => metadata.name)
    expect(named('red').sort()).toEqual(['a', 'b'])
    await edit('a', { color: 'blue' })
    await remove('b')
    await converges(informer)
    expect(named('red')).toEqual([])
    expect(named('blue')).toEqual(['a'])
    expect(() => informer.byIndex('size', 'x')).toThrow('expected one of the indexes color, got size')
  })

  it('goes on when a handler throws or rejects, and counts it', async () => {
    const registry = new Registry()
    const informer = follow({ metrics: createInformerMetrics(registry) })
    const told: string[] = []
    informer.onChange(() => {
      throw new Error('handler broke')
    })
    informer.onChange((async () => {
      throw new Error('async handler broke')
    }) as () => void)
    informer.onChange(({ object }) => told.push(object.metadata.name ?? ''))
    await create('one')
    await create('two')
    await converges(informer)
    expect(told).toContain('two')
    expect(await registry.metrics()).toMatch(/informer_handler_failures_total\{name="configmaps"\} [4-9]/)
  })

  it('stops at once, in a list, in a watch and in a wait', async () => {
    // Whatever it would wait for lasts longer than the bound.
    const client = createApiClient({ kubeConfig: proxied, timeoutMs: 60_000 })
    const times = { stallMs: 60_000, maxRetryAfterMs: 60_000, listMs: 60_000 }
    for (const rule of [
      () => undefined,
      ({ watch }: { watch: boolean }) => (watch ? undefined : ({ kind: 'stall' } as const)),
      () => ({ kind: 'answer', status: 429, headers: { 'retry-after': '1000' } }) as const,
    ]) {
      proxy.rule = rule
      const before = proxy.seen.length
      const informer = follow({ client, times })
      await waitFor(() => expect(proxy.seen.length).toBeGreaterThan(before))
      const started = performance.now()
      await informer.stop()
      expect(performance.now() - started).toBeLessThan(10_000)
    }
    client.close()
  })
})

describe('an informer whose API server is in trouble', () => {
  it('comes back from a burst of 503 on lists and watches', async () => {
    let failures = 0
    proxy.rule = () => {
      failures += 1
      return failures <= 12 ? { kind: 'answer', status: 503, body: 'upstream is away' } : undefined
    }
    const informer = follow()
    await create('one')
    await converges(informer)
    await waitFor(() => expect(proxy.liveWatches).toBe(1))
    failures = 0
    proxy.cutWatches()
    await create('two')
    await converges(informer)
    expect(failures).toBeGreaterThan(12)
  })

  it('waits as long as Retry-After asks, and backs off by itself when a 429 names nothing', async () => {
    let refused = 0
    proxy.rule = () => {
      refused += 1
      return refused === 1 ? { kind: 'answer', status: 429, headers: { 'retry-after': '1' } } : undefined
    }
    const informer = follow()
    await converges(informer)
    expect(proxy.seen[1]!.at - proxy.seen[0]!.at).toBeGreaterThanOrEqual(1_000)

    await waitFor(() => expect(proxy.liveWatches).toBe(1))
    refused = 0
    const from = proxy.seen.length
    proxy.rule = () => {
      refused += 1
      return refused <= 8 ? { kind: 'answer', status: 429 } : undefined
    }
    await cutWatch()
    await create('later')
    await converges(informer)
    const gaps = proxy.seen.slice(from + 1, from + 8).map((seen, n) => seen.at - proxy.seen[from + n]!.at)
    // 20, 40, 80, 160 and then 200 ms, each at least by half. What is slow only makes them longer.
    for (const [n, least] of [10, 20, 40, 80, 100, 100, 100].entries())
      expect(gaps[n], `gap ${n}`).toBeGreaterThanOrEqual(least - 1)
  })

  it('goes on from where a watch was cut, without a new list', async () => {
    const informer = follow()
    await converges(informer)
    const lists = listRequests().length
    for (let n = 0; n < 5; n += 1) {
      await cutWatch()
      await create(`object-${n}`)
      await converges(informer)
    }
    expect(listRequests()).toHaveLength(lists)
    expect(watchRequests().length).toBeGreaterThanOrEqual(6)
  })

  it('is not confused by a watch that is cut in the middle of an event', async () => {
    const informer = follow()
    await converges(informer)
    await waitFor(() => expect(proxy.liveWatches).toBe(1))
    proxy.rule = ({ watch }) => (watch ? { kind: 'truncate', bytes: 120 } : undefined)
    proxy.cutWatches()
    await create('whole', { text: 'y'.repeat(500) })
    await waitFor(() => expect(watchRequests().length).toBeGreaterThan(3))
    expect(informer.get(space.key('whole'))).toBeUndefined()
    proxy.rule = () => undefined
    await converges(informer)
    expect(informer.get(space.key('whole'))?.data).toEqual({ text: 'y'.repeat(500) })
  })

  it('lists again when the server says its version is too old, and tells what it missed', async () => {
    // A kind that was just installed has no history before now, so the real server refuses version 1 with its own
    // 410; of ConfigMaps it still knows everything.
    await installWidgets(space.client)
    await space.post(WIDGETS, 'gone')
    const informer = follow({ resource: WIDGETS })
    await converges(informer)
    const deleted: string[] = []
    informer.onChange(({ type, object, bulk }) => {
      if (type === 'deleted') deleted.push(`${object.metadata.name} bulk=${bulk}`)
    })
    await waitFor(() => expect(proxy.liveWatches).toBe(1))
    let stale = true
    proxy.rule = ({ watch }) => {
      if (!watch) stale = false
      return watch && stale ? { kind: 'rewrite', query: { resourceVersion: '1' } } : undefined
    }
    proxy.silence()
    await space.delete(WIDGETS, 'gone')
    await space.post(WIDGETS, 'new')
    proxy.cutWatches()
    proxy.resume()
    await converges(informer)
    expect(listRequests()).toHaveLength(2)
    expect(deleted).toEqual(['gone bulk=true'])
  })

  it('opens a watch anew that went silent, and knows meanwhile how old its copy is', async () => {
    const informer = follow()
    await converges(informer)
    await waitFor(() => expect(proxy.liveWatches).toBe(1))
    proxy.silence()
    await create('unheard')
    await waitFor(() => expect(informer.lastSyncAge()).toBeGreaterThan(600))
    const watches = watchRequests().length
    await waitFor(() => expect(watchRequests().length).toBeGreaterThan(watches))
    expect(informer.isStuck()).toBe(false)
    proxy.resume()
    await converges(informer)
    await waitFor(() => expect(informer.lastSyncAge()).toBeLessThan(600))
  })

  it('repairs its copy by the periodic list when a watch lies by omission', async () => {
    const informer = follow({ times: { relistMs: 1_500, watchSeconds: { min: 290, max: 580 } } })
    await converges(informer)
    await waitFor(() => expect(proxy.liveWatches).toBe(1))
    // A watch of another selection stays open, is healthy, and tells nothing of these objects.
    proxy.rule = ({ watch }) =>
      watch ? { kind: 'rewrite', query: { labelSelector: 'nothing=at-all' } } : undefined
    proxy.cutWatches()
    await waitFor(() => expect(watchRequests()).toHaveLength(2))
    await create('omitted')
    await converges(informer)
  })

  it('survives a storm of every fault at once and ends with the truth', async () => {
    await installWidgets(space.client)
    const informer = follow({ resource: WIDGETS, pageSize: 7, times: { relistMs: 3_000 } })
    const copy = new Map<string, string | undefined>()
    informer.onChange(({ type, object }) => {
      if (type === 'deleted') copy.delete(keyOf(object))
      else copy.set(keyOf(object), object.metadata.resourceVersion)
    })
    const struck = new Map<string, number>()
    const faults: Array<[string, Fault]> = [
      ['stall', { kind: 'stall' }],
      ['cut', { kind: 'cut' }],
      ['503', { kind: 'answer', status: 503 }],
      ['429', { kind: 'answer', status: 429, headers: { 'retry-after': '0' } }],
      ['truncate', { kind: 'truncate', bytes: 300 }],
      ['410', { kind: 'rewrite', query: { resourceVersion: '1' } }],
    ]
    // Only watches can get the last. Two thirds of the pages pass: a list of several has to end now and then, or
    // nothing is ever watched. The seed is fixed.
    const random = xorshift(7)
    proxy.rule = ({ watch }) => {
      if (random() < (watch ? 1 : 2) / 3) return undefined
      const [name, fault] = faults[Math.floor(random() * (watch ? 6 : 5))]!
      struck.set(name, (struck.get(name) ?? 0) + 1)
      return fault
    }
    const cutter = setInterval(() => proxy.cutWatches(), 150)
    const deadline = performance.now() + 100_000
    const missing = () => faults.filter(([name]) => (struck.get(name) ?? 0) < 2)
    for (let n = 0; n < 120 || (missing().length > 0 && performance.now() < deadline); n += 1) {
      await new Promise((resolve) => setTimeout(resolve, 10))
      await space.post(WIDGETS, `object-${n}`)
      if (n % 2 === 0) await space.merge(WIDGETS, `object-${n}`, { spec: { size: n } })
      if (n % 3 === 0) await space.delete(WIDGETS, `object-${n}`)
      // Never many, however long the storm lasts: a list of hundreds of pages would not get through it.
      const old = n - 20
      if (old >= 0 && old % 3 !== 0) await space.delete(WIDGETS, `object-${old}`)
    }
    expect(missing()).toEqual([])
    clearInterval(cutter)
    proxy.rule = () => undefined
    proxy.resume()
    await converges(informer)
    // What the handlers were told adds up to the same truth: no change was told wrong or not at all.
    expect(Object.fromEntries([...copy].sort())).toEqual(versions(await space.list(WIDGETS)))
  }, 240_000)
})
