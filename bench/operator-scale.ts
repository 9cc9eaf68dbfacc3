/**
 * What a fleet costs the operator: a real API server and Redis, a real operator process, many Devices on one
 * hub. Prints a table; with `--out` it goes into a file.
 */
import { mkdtempSync, readFileSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import type { KubeConfig } from '@kubernetes/client-node'
import { decodeDevice } from '../contract/hub-state-codec.ts'
import { stateKeys } from '../contract/redis-keys.ts'
import { installKinds } from '../e2e/apiserver/install-kinds.ts'
import { startApiServer } from '../e2e/apiserver/start-api-server.ts'
import { DEPLOYMENTS, DEVICES, HUBS, SECRETS } from '../operator/api/resources.ts'
import { type ApiClient, createApiClient } from '../operator/runtime/api-client.ts'
import { type KubeObject, objectPath, type Resource, resourcePath } from '../operator/runtime/resource.ts'
import { type RedisServer, startRedis } from '../test-support/redis.ts'
import { RunningProgram } from '../test-support/run-program.ts'

const { values } = parseArgs({
  options: { devices: { type: 'string', default: '5000' }, out: { type: 'string' } },
})
const DEVICE_COUNT = Number(values.devices)
const NAMESPACE = 'scale'
const ROOT = resolve(import.meta.dirname, '..')
const CREATORS = 8
const TIMEOUT_MS = 20 * 60_000

type Conditioned = KubeObject & { status?: { conditions?: Array<{ type: string; status: string }> } }

interface DeviceList {
  items: Conditioned[]
  metadata: { continue?: string }
}

class World {
  readonly #client: ApiClient

  constructor(kubeConfig: KubeConfig) {
    this.#client = createApiClient({ kubeConfig })
  }

  get client(): ApiClient {
    return this.#client
  }

  async post(resource: Resource, name: string, fields: object): Promise<void> {
    const { apiVersion, kind } = resource
    const body = { apiVersion, kind, metadata: { name }, ...fields }
    await this.#client.request({ method: 'POST', path: resourcePath(resource, NAMESPACE), body })
  }

  async patch(resource: Resource, name: string, body: object, part = ''): Promise<void> {
    const path = `${objectPath(resource, `${NAMESPACE}/${name}`)}${part}`
    await this.#client.request({ method: 'PATCH', path, contentType: 'application/merge-patch+json', body })
  }

  async get<T>(resource: Resource, name: string): Promise<T> {
    return (
      await this.#client.request<T>({ method: 'GET', path: objectPath(resource, `${NAMESPACE}/${name}`) })
    ).body
  }

  async readyDevices(): Promise<number> {
    let ready = 0
    let next: string | undefined = ''
    while (next !== undefined) {
      const query: Record<string, string | number> = {
        limit: 500,
        ...(next === '' ? {} : { continue: next }),
      }
      const path = resourcePath(DEVICES, NAMESPACE)
      const { body } = await this.#client.request<DeviceList>({ method: 'GET', path, query })
      ready += body.items.filter(({ status }) =>
        status?.conditions?.some(({ type, status: value }) => type === 'Ready' && value === 'True'),
      ).length
      next = body.metadata.continue || undefined
    }
    return ready
  }
}

interface Operator {
  program: RunningProgram
  metricsPort: number
}

async function startOperator(kubeConfig: KubeConfig): Promise<Operator> {
  const config = join(mkdtempSync(join(tmpdir(), 'hublet-scale-')), 'kubeconfig')
  writeFileSync(config, kubeConfig.exportConfig(), { mode: 0o600 })
  const flags = [
    ...[`--namespaces=${NAMESPACE}`, `--namespace=${NAMESPACE}`, '--image=localhost/hublet:bench'],
    ...['--default-redis-secret=redis', '--metrics-address=127.0.0.1:0', '--health-address=127.0.0.1:0'],
  ]
  // As the chart starts it.
  const memory = ['--max-old-space-size=200', '--max-semi-space-size=8']
  const args = [...memory, join(ROOT, 'operator', 'main.ts'), ...flags]
  const program = new RunningProgram(process.execPath, args, {
    timeoutMs: TIMEOUT_MS,
    env: { KUBECONFIG: config },
  })
  const line = await program.waitForLine(
    (text) => text.includes('the operator is starting'),
    'the operator',
    30_000,
  )
  return { program, metricsPort: (JSON.parse(line) as { metricsPort: number }).metricsPort }
}

async function requestCount({ metricsPort }: Operator): Promise<number> {
  const text = await (await fetch(`http://127.0.0.1:${metricsPort}/metrics`)).text()
  const counts = [...text.matchAll(/^rest_client_requests_total\{[^}]*method="(\w+)"[^}]*\} (\d+)$/gm)]
  // PUTs are the renewals of the lease.
  return counts.filter(([, method]) => method !== 'PUT').reduce((sum, [, , count]) => sum + Number(count), 0)
}

/** Highest resident memory so far, MiB. */
function peakMemory({ program }: Operator): number {
  const status = readFileSync(`/proc/${program.child.pid}/status`, 'utf8')
  return Number(/^VmHWM:\s+(\d+) kB$/m.exec(status)?.[1]) / 1024
}

async function makeDevices(world: World): Promise<void> {
  let next = 0
  const create = async () => {
    for (let n = next++; n < DEVICE_COUNT; n = next++) {
      await world.post(DEVICES, `device-${n}`, { spec: { hubRef: { name: 'fleet' } } })
    }
  }
  await Promise.all(Array.from({ length: CREATORS }, create))
}

/** The part of the Deployment controller, once. */
async function simulateDeployment(world: World): Promise<void> {
  for (;;) {
    try {
      const { metadata } = await world.get<KubeObject>(DEPLOYMENTS, 'hub-fleet')
      const counts = { replicas: 1, updatedReplicas: 1, readyReplicas: 1, availableReplicas: 1 }
      const status = { observedGeneration: metadata.generation, ...counts }
      await world.patch(DEPLOYMENTS, 'hub-fleet', { status }, '/status')
      return
    } catch {
      await delay(200)
    }
  }
}

async function until(done: () => Promise<boolean>, everyMs: number): Promise<void> {
  const deadline = performance.now() + TIMEOUT_MS
  while (!(await done())) {
    if (performance.now() > deadline) throw new Error('not within the time allowed')
    await delay(everyMs)
  }
}

async function measureEdit(world: World, redis: RedisServer, uid: string): Promise<number> {
  const client = redis.client()
  const id = (await world.get<{ status: { id: string } }>(DEVICES, 'device-7')).status.id
  const started = performance.now()
  await world.patch(DEVICES, 'device-7', { spec: { allowInsecure: true } })
  await until(async () => {
    const record = decodeDevice((await client.hget(stateKeys(uid).devices, id)) ?? '')
    return record?.allowInsecure === true
  }, 5)
  client.disconnect()
  return performance.now() - started
}

async function main(): Promise<void> {
  const server = await startApiServer({ root: ROOT })
  const redis = await startRedis()
  const world = new World(server.kubeConfig)
  let operator: Operator | undefined
  try {
    await world.client.request({
      method: 'POST',
      path: '/api/v1/namespaces',
      body: { metadata: { name: NAMESPACE } },
    })
    await installKinds(world.client)
    await world.post(SECRETS, 'redis', { stringData: { url: redis.url } })
    await world.post(HUBS, 'fleet', { spec: {} })
    await makeDevices(world)
    const started = performance.now()
    operator = await startOperator(server.kubeConfig)
    await simulateDeployment(world)
    await until(async () => (await world.readyDevices()) === DEVICE_COUNT, 1_000)
    const seconds = (performance.now() - started) / 1000
    const requests = await requestCount(operator)
    const memory = peakMemory(operator)
    const { metadata } = await world.get<KubeObject>(HUBS, 'fleet')
    // Counts in the status of the hub follow a while later.
    await delay(15_000)
    const before = await requestCount(operator)
    const editMs = await measureEdit(world, redis, metadata.uid ?? '')
    await delay(3_000)
    const editRequests = (await requestCount(operator)) - before
    const rows = [
      ['devices on one hub', String(DEVICE_COUNT)],
      ['start of the operator to all Ready, s', seconds.toFixed(1)],
      ['devices a second', (DEVICE_COUNT / seconds).toFixed(0)],
      ['API requests a device', (requests / DEVICE_COUNT).toFixed(2)],
      ['highest memory of the operator, MiB', memory.toFixed(0)],
      ['one edit until it is in Redis, ms', editMs.toFixed(0)],
      ['API requests for one edit', String(editRequests)],
    ]
    const table = ['| what | figure |', '| --- | ---: |', ...rows.map((cells) => `| ${cells.join(' | ')} |`)]
    console.log(table.join('\n'))
    if (values.out !== undefined) writeFileSync(values.out, `${table.join('\n')}\n`)
  } finally {
    await operator?.program.stop()
    await redis.stop()
    await server.stop()
  }
}

await main()
