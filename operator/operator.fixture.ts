/** A whole operator in the process of a test, on the real API server and with a real Redis. */
import { readdir, readFile } from 'node:fs/promises'
import path from 'node:path'
import pino from 'pino'
import { Registry } from 'prom-client'
import { expect, vi } from 'vitest'
import { parseAllDocuments } from 'yaml'
import type { DeviceRecord, HubRecord, NetworkRecord, RouteRecord } from '../contract/hub-state.ts'
import { decodeDevice, decodeHub, decodeNetworks, decodeRoutes } from '../contract/hub-state-codec.ts'
import { stateKeys } from '../contract/redis-keys.ts'
import { KINDS } from '../crds/kinds.ts'
import { API_VERSION } from '../crds/meta.ts'
import { adminConfig, TestNamespace } from '../test-support/cluster.ts'
import { type RedisServer, startRedis } from '../test-support/redis.ts'
import { DEPLOYMENTS, type Deployment, HUBS, SECRETS, type Secret } from './api/resources.ts'
import { SETTINGS } from './build/settings.fixture.ts'
import { type OperatorOptions, type RunningOperator, startOperator } from './operator.ts'
import type { ApiClient } from './runtime/api-client.ts'
import { systemClock } from './runtime/clock.ts'
import { type Condition, findCondition } from './runtime/conditions.ts'
import { Informer } from './runtime/informer.ts'
import { type KubeObject, keyOf, objectPath, type Resource, resourcePath } from './runtime/resource.ts'

export const ROOT = path.resolve(import.meta.dirname, '..')
const CRDS = '/apis/apiextensions.k8s.io/v1/customresourcedefinitions'

export type Conditioned = KubeObject & {
  status?: { observedGeneration?: number; conditions?: Condition[] }
}

export const readYaml = async (file: string): Promise<KubeObject[]> =>
  parseAllDocuments(await readFile(file, 'utf8')).map((document) => document.toJS() as KubeObject)

/** Installs the four kinds, or finds them installed; resolves when they are served. */
export async function installKinds(client: ApiClient): Promise<void> {
  const folder = path.join(ROOT, 'crds/manifests')
  for (const name of await readdir(folder)) {
    const [crd] = await readYaml(path.join(folder, name))
    await client.request({
      method: 'PATCH',
      path: `${CRDS}/${crd!.metadata.name}`,
      query: { fieldManager: 'test', force: true },
      contentType: 'application/apply-patch+yaml',
      body: crd,
    })
  }
  await vi.waitFor(
    async () => {
      for (const { plural, kind } of KINDS)
        await client.request({
          method: 'GET',
          path: resourcePath({ apiVersion: API_VERSION, kind, plural, namespaced: true }),
        })
    },
    { timeout: 60_000, interval: 100 },
  )
}

/** As `kubectl apply --server-side` does it: the manifest as it stands. */
export async function applyManifest(space: TestNamespace, manifest: KubeObject): Promise<void> {
  const resource = resourceOf(manifest)
  await space.client.request({
    method: 'PATCH',
    path: objectPath(resource, space.key(manifest.metadata.name ?? '')),
    query: { fieldManager: 'kubectl', force: true, fieldValidation: 'Strict' },
    contentType: 'application/apply-patch+yaml',
    body: manifest,
  })
}

export function resourceOf({ apiVersion = '', kind = '' }: KubeObject): Resource {
  const plural = KINDS.find((one) => one.kind === kind)?.plural ?? `${kind.toLowerCase()}s`
  return { apiVersion, kind, plural, namespaced: true }
}

export async function applyQuickstart(space: TestNamespace): Promise<void> {
  const folder = path.join(ROOT, 'examples/quickstart')
  for (const name of (await readdir(folder)).sort())
    for (const manifest of await readYaml(path.join(folder, name))) await applyManifest(space, manifest)
}

/** Plays the part of the Deployment controller, and says that all pods are there. */
export function simulateDeployments(space: TestNamespace): { stop: () => Promise<void> } {
  const informer = new Informer<Deployment>({
    client: space.client,
    resource: DEPLOYMENTS,
    namespace: space.name,
    clock: systemClock,
    random: Math.random,
    logger: pino({ level: 'silent' }),
  })
  informer.onChange(({ type, object }) => {
    const { generation = 1 } = object.metadata
    if (type === 'deleted' || object.status?.observedGeneration === generation) return
    const replicas = object.spec?.replicas ?? 1
    const counts = {
      replicas,
      updatedReplicas: replicas,
      readyReplicas: replicas,
      availableReplicas: replicas,
    }
    void space.client
      .request({
        method: 'PATCH',
        path: `${objectPath(DEPLOYMENTS, keyOf(object))}/status`,
        contentType: 'application/merge-patch+json',
        body: { status: { observedGeneration: generation, ...counts } },
      })
      // Gone or changed by now: the next change tells.
      .catch(() => undefined)
  })
  informer.start()
  return { stop: () => informer.stop() }
}

export const REDIS_SECRET = 'default-redis'

/** The Secret that `--default-redis-secret` names. */
export const offerRedis = (space: TestNamespace, redis: RedisServer): Promise<KubeObject> =>
  space.post(SECRETS, REDIS_SECRET, { stringData: { url: redis.url } })

export interface TestOperator extends RunningOperator {
  registry: Registry
  /** Lines of the log, parsed. */
  log: Array<Record<string, unknown>>
}

/**
 * On a machine that is busy a process must not lose what it holds within seconds. One that stops gives it up, so
 * the next need not wait; one that is cut off does not, and a test of that has a lease of its own.
 */
const LEASE = { durationMs: 60_000, renewDeadlineMs: 45_000, retryMs: 300 }

let operators = 0

export function startTestOperator(
  space: TestNamespace,
  options: Partial<OperatorOptions> = {},
): TestOperator {
  operators += 1
  const registry = new Registry()
  const log: Array<Record<string, unknown>> = []
  const logger = pino({ level: 'debug' }, { write: (line: string) => void log.push(JSON.parse(line)) })
  const operator = startOperator({
    access: adminConfig(),
    logger,
    registry,
    scope: { namespaces: [space.name] },
    namespace: space.name,
    identity: `test-${process.pid}-${operators}`,
    leaseName: 'hublet-operator',
    settings: SETTINGS,
    defaultRedisSecret: REDIS_SECRET,
    concurrency: { hub: 4, device: 8, member: 4 },
    times: { stallMs: 5_000, backoff: { baseMs: 20, maxMs: 300 }, maxRetryAfterMs: 1_000, listMs: 10_000 },
    timeoutMs: 10_000,
    backoff: { baseMs: 20, maxMs: 500 },
    lease: LEASE,
    ...options,
  })
  return { ...operator, registry, log }
}

/** Resolves when the operator has become leader and reconciled something. */
export const untilAtWork = ({ registry }: TestOperator): Promise<void> =>
  vi.waitFor(
    async () => {
      const { values } = await registry.getSingleMetric('controller_runtime_reconcile_total')!.get()
      expect(values.reduce((sum, { value }) => sum + value, 0)).toBeGreaterThan(0)
    },
    { timeout: 60_000, interval: 50 },
  )

/** Resolves when each named object is Ready for its current generation, and nothing else is said of it. */
export async function untilReady(
  space: TestNamespace,
  resource: Resource,
  names: readonly string[],
  timeout = 60_000,
): Promise<void> {
  await vi.waitFor(
    async () => {
      for (const name of names) {
        const { metadata, status } = await space.get<Conditioned>(resource, name)
        const { generation } = metadata
        expect(status?.conditions, `${resource.kind} ${name}`).toEqual([
          expect.objectContaining({ type: 'Ready', status: 'True', observedGeneration: generation }),
        ])
        expect(status?.observedGeneration).toBe(generation)
      }
    },
    { timeout, interval: 50 },
  )
}

/** Resolves to the condition once the object has one of that type and reason for its current generation. */
export async function untilCondition(
  space: TestNamespace,
  resource: Resource,
  name: string,
  wanted: Partial<Condition> & { type: string },
): Promise<Condition> {
  return await vi.waitFor(
    async () => {
      const { metadata, status } = await space.get<Conditioned>(resource, name)
      const found = findCondition(status?.conditions, wanted.type)
      expect(found).toMatchObject({ ...wanted, observedGeneration: metadata.generation })
      return found!
    },
    { timeout: 60_000, interval: 50 },
  )
}

/** A namespace with an API server's and a Redis' real answers, and with as many operators as a test starts. */
export class Stage {
  readonly space: TestNamespace
  readonly redis: RedisServer
  readonly #deployments: { stop: () => Promise<void> }
  readonly #operators: RunningOperator[] = []

  private constructor(space: TestNamespace, redis: RedisServer) {
    this.space = space
    this.redis = redis
    this.#deployments = simulateDeployments(space)
  }

  static async create(prefix: string): Promise<Stage> {
    const space = await TestNamespace.create(prefix)
    await installKinds(space.client)
    const redis = await startRedis()
    await offerRedis(space, redis)
    return new Stage(space, redis)
  }

  start(options: Partial<OperatorOptions> = {}): TestOperator {
    const operator = startTestOperator(this.space, options)
    this.#operators.push(operator)
    return operator
  }

  /** What brokers read of a hub, by their own user. */
  async state(hub: string): Promise<PublishedState> {
    const { metadata } = await this.space.get(HUBS, hub)
    return await readState(this.redis, metadata.uid ?? '')
  }

  async close(): Promise<void> {
    for (const operator of this.#operators.splice(0)) await operator.stop()
    await this.#deployments.stop()
    await this.redis.stop()
    await this.space.remove()
  }
}

export interface PublishedState {
  hub: HubRecord | undefined
  /** By name. */
  devices: Record<string, DeviceRecord>
  networks: NetworkRecord[]
  routes: RouteRecord[]
}

export async function readState(redis: RedisServer, uid: string): Promise<PublishedState> {
  const client = redis.client()
  try {
    const keys = stateKeys(uid)
    const [hub, networks, routes] = await client.mget(keys.hub, keys.networks, keys.routes)
    const records = Object.values(await client.hgetall(keys.devices)).map((json) => decodeDevice(json)!)
    return {
      hub: decodeHub(hub ?? ''),
      devices: Object.fromEntries(records.map((record) => [record.name, record])),
      networks: decodeNetworks(networks ?? '') ?? [],
      routes: decodeRoutes(routes ?? '') ?? [],
    }
  } finally {
    client.disconnect()
  }
}

/** The value of a key of a Secret. */
export const textOf = (secret: Secret, key: string): string =>
  Buffer.from(secret.data?.[key] ?? '', 'base64').toString()
