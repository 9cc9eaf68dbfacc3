import { writeFile } from 'node:fs/promises'
import path from 'node:path'
import { afterEach, beforeEach, expect, inject, it, vi } from 'vitest'
import { TestNamespace } from '../test-support/cluster.ts'
import { type RedisServer, startRedis } from '../test-support/redis.ts'
import { RunningProgram } from '../test-support/run-program.ts'
import { makeTempDir, removeTempDir } from '../test-support/temp-dir.ts'
import { DEVICES, HUBS } from './api/resources.ts'
import {
  applyQuickstart,
  installKinds,
  offerRedis,
  REDIS_SECRET,
  ROOT,
  simulateDeployments,
  untilReady,
} from './operator.fixture.ts'
import type { Lease } from './runtime/lease.ts'
import type { Resource } from './runtime/resource.ts'

const LEASES: Resource = {
  apiVersion: 'coordination.k8s.io/v1',
  kind: 'Lease',
  plural: 'leases',
  namespaced: true,
}
const waiting = { timeout: 60_000, interval: 50 }

let space: TestNamespace
let redis: RedisServer
let folder: string
const stops: Array<() => unknown> = []

beforeEach(async () => {
  space = await TestNamespace.create('main')
  await installKinds(space.client)
  redis = await startRedis()
  await offerRedis(space, redis)
  folder = makeTempDir('operator-main')
  await writeFile(path.join(folder, 'config'), inject('kubeConfig'), { mode: 0o600 })
  const deployments = simulateDeployments(space)
  stops.push(
    () => deployments.stop(),
    () => redis.stop(),
    () => space.remove(),
    () => removeTempDir(folder),
  )
})

afterEach(async () => {
  for (const stop of stops.splice(0)) await stop()
})

function run(...args: string[]): RunningProgram {
  const program = new RunningProgram(
    process.execPath,
    [path.join(ROOT, 'operator/main.ts'), '--image', 'hublet:test', '--namespace', space.name, ...args],
    {
      timeoutMs: 240_000,
      env: { KUBECONFIG: path.join(folder, 'config'), HUBLET_DEFAULT_REDIS_SECRET: REDIS_SECRET },
    },
  )
  stops.unshift(() => program.stop('SIGKILL'))
  return program
}

const linesOf = (program: RunningProgram): Array<Record<string, unknown>> =>
  program.lines
    .filter((line) => line.startsWith('{'))
    .map((line) => JSON.parse(line) as Record<string, unknown>)

const local = ['--health-address', '127.0.0.1:0', '--metrics-address', '127.0.0.1:0']

it('serves a hub from its start to SIGTERM, and says by probes, metrics and log how it is', async () => {
  const program = run(...local, '--log-level', 'debug')
  const started = await vi.waitFor(() => {
    const line = linesOf(program).find(({ msg }) => msg === 'the operator is starting')
    expect(line).toBeDefined()
    return line!
  }, waiting)
  await applyQuickstart(space)
  await untilReady(space, HUBS, ['garden'])
  await untilReady(space, DEVICES, ['pump'])
  const get = async (port: unknown, where: string) => {
    const response = await fetch(`http://127.0.0.1:${port}${where}`)
    return { status: response.status, text: await response.text() }
  }
  expect(await get(started['healthPort'], '/livez')).toMatchObject({ status: 200 })
  const ready = await get(started['healthPort'], '/readyz')
  expect(ready).toMatchObject({ status: 200, text: expect.stringContaining('[+]informer-devices ok') })
  // An object is Ready before the worker that wrote so has ended.
  await vi.waitFor(async () => {
    const { text } = await get(started['metricsPort'], '/metrics')
    for (const line of [
      'leader_election_master_status{name="hublet-operator"} 1',
      'controller_runtime_active_workers{controller="device"} 0',
      'informer_objects{name="devices"} 3',
      'process_resident_memory_bytes',
    ])
      expect(text).toContain(line)
  }, waiting)
  const reconciles = linesOf(program).filter(({ controller }) => controller === 'hubstate')
  expect(reconciles[0]).toMatchObject({
    key: `${space.name}/garden`,
    reconcileId: expect.stringMatching(/^[0-9a-f-]{36}$/),
  })
  const lease = await space.get<Lease>(LEASES, 'hublet-operator')
  expect(lease.spec?.holderIdentity).not.toBe('')
  expect((await program.stop('SIGTERM')).code).toBe(0)
  // The next one need not wait for it to run out.
  expect((await space.get<Lease>(LEASES, 'hublet-operator')).spec?.holderIdentity ?? '').toBe('')
})

it('ends with every fault of its configuration, before it touches anything', async () => {
  const program = run('--log-level', 'loud', '--device-concurrency', '0')
  const { code, stderr } = await program.exited
  expect(code).toBe(2)
  expect(stderr.trim().split('\n')).toEqual([
    expect.stringContaining('--device-concurrency (HUBLET_DEVICE_CONCURRENCY): expected a whole number'),
    expect.stringContaining('--log-level (HUBLET_LOG_LEVEL): expected one of fatal'),
  ])
})

it('ends when an address is taken, and says which', async () => {
  const first = run(...local)
  const line = await vi.waitFor(() => {
    const found = linesOf(first).find(({ healthPort }) => healthPort !== undefined)
    expect(found).toBeDefined()
    return found!
  }, waiting)
  const second = run('--health-address', `127.0.0.1:${line['healthPort']}`)
  const { code, stdout } = await second.exited
  expect(code).toBe(1)
  expect(stdout.toString()).toContain('EADDRINUSE')
})
