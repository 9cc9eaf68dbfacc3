import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import pino from 'pino'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { adminConfig, TestNamespace } from '../../test-support/cluster.ts'
import { FaultProxy } from '../../test-support/fault-proxy.ts'
import { CONFIG_MAPS, type ConfigMap } from '../../test-support/test-kinds.ts'
import { type ApiClient, type ApiRequest, type ApiResponse, createApiClient } from './api-client.ts'
import { systemClock } from './clock.ts'
import { guardWrites, NotLeader } from './guard-writes.ts'
import { LeaderElection } from './leader.ts'
import type { Lease } from './lease.ts'
import type { KubeObject, Resource } from './resource.ts'

const LEASES: Resource = {
  apiVersion: 'coordination.k8s.io/v1',
  kind: 'Lease',
  plural: 'leases',
  namespaced: true,
}
/** Short enough to wait for, and long enough for a machine that is busy. */
const TIMES = { leaseDurationMs: 3_000, renewDeadlineMs: 2_000, retryMs: 300 }

const waitFor = (check: () => void | Promise<void>, timeout = 60_000) =>
  vi.waitFor(check, { timeout, interval: 20 })

let space: TestNamespace
let folder: string
const cleanUps: Array<() => Promise<void> | void> = []

beforeEach(async () => {
  space = await TestNamespace.create('leader')
  folder = await mkdtemp(path.join(tmpdir(), 'hublet-leader-'))
})

afterEach(async () => {
  for (const cleanUp of cleanUps.splice(0).reverse()) await cleanUp()
  await rm(folder, { recursive: true, force: true })
  await space.remove()
})

function candidate(
  identity: string,
  { client = createApiClient({ kubeConfig: adminConfig() }), times = TIMES } = {},
) {
  const election = new LeaderElection({
    client,
    clock: systemClock,
    random: Math.random,
    logger: pino({ level: 'silent' }),
    namespace: space.name,
    name: 'test-lease',
    identity,
    ...times,
  })
  cleanUps.push(async () => {
    await election.stop()
    client.close()
  })
  election.start()
  return { election, client }
}

const elected = (election: LeaderElection) => waitFor(() => expect(election.mayWrite()).toBe(true))

describe('an election', () => {
  it('lets the first be leader, and keeps the second waiting for longer than a lease', async () => {
    const first = candidate('first')
    await elected(first.election)
    const second = candidate('second')
    await new Promise((resolve) => setTimeout(resolve, TIMES.leaseDurationMs + 1_000))
    expect(first.election.mayWrite()).toBe(true)
    expect(second.election.mayWrite()).toBe(false)
  })

  it('hands over when the first gives up, long before its lease would have run out', async () => {
    // Longer than the test waits: only the hand-over makes the second leader.
    const times = { leaseDurationMs: 120_000, renewDeadlineMs: 90_000, retryMs: 300 }
    const first = candidate('first', { times })
    await elected(first.election)
    const second = candidate('second', { times })
    await new Promise((resolve) => setTimeout(resolve, 2 * times.retryMs))
    expect(second.election.mayWrite()).toBe(false)
    await first.election.stop()
    expect(first.election.mayWrite()).toBe(false)
    await elected(second.election)
    const lease = await space.get<Lease>(LEASES, 'test-lease')
    expect(lease.spec).toMatchObject({
      holderIdentity: 'second',
      leaseDurationSeconds: 120,
      leaseTransitions: 1,
    })
  })

  it.each(['renewal', 'first claim'])(
    'hands over also when a %s that was cut off is stored after all, in the middle of it',
    async (what) => {
      const times = { leaseDurationMs: 120_000, renewDeadlineMs: 90_000, retryMs: 300 }
      const real = createApiClient({ kubeConfig: adminConfig() })
      let late: (() => Promise<unknown>) | undefined
      let isStopping = false
      const isHeldBack = ({ method, signal }: ApiRequest) =>
        late === undefined && (method === 'POST' ? what === 'first claim' : method === 'PUT') && signal
      const client: ApiClient = {
        ...real,
        request: async <T>(request: ApiRequest): Promise<ApiResponse<T>> => {
          if (isHeldBack(request)) {
            const { signal, ...rest } = request
            late = () => real.request(rest)
            return await new Promise((_, reject) => {
              signal?.addEventListener('abort', () => reject(signal.reason))
            })
          }
          // A claim is seen by the look already, a renewal comes after it.
          if (isStopping && what === 'first claim') await late?.()
          const answer = await real.request<T>(request)
          if (isStopping && what === 'renewal') await late?.()
          if (isStopping) late = async () => {}
          return answer
        },
      }
      const first = candidate('first', { client, times })
      if (what === 'renewal') await elected(first.election)
      await waitFor(() => expect(late).toBeDefined())
      isStopping = true
      await first.election.stop()
      const second = candidate('second', { times })
      await elected(second.election)
    },
  )

  it('elects one of many that start at once', async () => {
    const all = ['a', 'b', 'c', 'd', 'e'].map((identity) => candidate(identity).election)
    await waitFor(() => expect(all.filter((election) => election.mayWrite())).toHaveLength(1))
    for (let n = 0; n < 20; n += 1) {
      await new Promise((resolve) => setTimeout(resolve, 50))
      expect(all.filter((election) => election.mayWrite())).toHaveLength(1)
    }
  })

  it('ends when another took the lease, or somebody deleted it', async () => {
    const first = candidate('first')
    await elected(first.election)
    await space.merge(LEASES, 'test-lease', { spec: { holderIdentity: 'usurper' } })
    await waitFor(() => expect(first.election.lost.aborted).toBe(true))
    await space.delete(LEASES, 'test-lease')
    const second = candidate('second')
    await elected(second.election)
    const third = candidate('third')
    await new Promise((resolve) => setTimeout(resolve, 2 * TIMES.retryMs))
    await space.delete(LEASES, 'test-lease')
    await waitFor(() => expect(second.election.lost.aborted).toBe(true))
    expect(third.election.mayWrite()).toBe(false)
    await elected(third.election)
  })

  it('goes on when somebody only annotates the lease', async () => {
    const { election } = candidate('first')
    await elected(election)
    for (let n = 0; n < 8; n += 1) {
      await space.merge(LEASES, 'test-lease', { metadata: { annotations: { n: String(n) } } })
      await new Promise((resolve) => setTimeout(resolve, 250))
    }
    expect(election.lost.aborted).toBe(false)
    expect(election.mayWrite()).toBe(true)
  })

  it('ends at the renew deadline when the API server cannot be reached, before another can begin', async () => {
    const proxy = new FaultProxy(adminConfig())
    const cutOff = createApiClient({ kubeConfig: await proxy.start() })
    cleanUps.push(() => proxy.stop())
    const times = { ...TIMES, leaseDurationMs: 5_000 }
    const first = candidate('first', { client: cutOff, times })
    await elected(first.election)
    const second = candidate('second', { times })
    proxy.silence()
    const silent = performance.now()
    await waitFor(() => expect(first.election.lost.aborted).toBe(true))
    const lostAt = performance.now()
    expect(lostAt - silent).toBeLessThan(times.leaseDurationMs)
    expect(second.election.mayWrite()).toBe(false)
    await elected(second.election)
    // What separates the two is the difference between lease duration and renew deadline, less one renewal's way.
    expect(performance.now() - lostAt).toBeGreaterThan(400)
  })

  it('refuses times with which two could lead', () => {
    const build = (times: Partial<typeof TIMES>) => () =>
      new LeaderElection({
        client: space.client,
        clock: systemClock,
        random: Math.random,
        logger: pino({ level: 'silent' }),
        namespace: 'n',
        name: 'l',
        identity: 'i',
        ...TIMES,
        ...times,
      })
    expect(build({ renewDeadlineMs: 3_000 })).toThrow(/lease duration > renew deadline/)
    expect(build({ retryMs: 1_100 })).toThrow(/renew deadline >= 2 × retry/)
  })
})

describe('a guarded client', () => {
  it('reads always, writes only as leader, and cuts a write that is under way when leadership is lost', async () => {
    const proxy = new FaultProxy(adminConfig())
    const client = createApiClient({ kubeConfig: await proxy.start() })
    cleanUps.push(() => proxy.stop())
    const { election } = candidate('first')
    const writer = guardWrites(client, election)
    const configMaps = `/api/v1/namespaces/${space.name}/configmaps`
    const write = (name: string) =>
      writer.request({ method: 'POST', path: configMaps, body: { metadata: { name } } })
    await elected(election)
    await write('as-leader')
    proxy.rule = ({ method }) => (method === 'POST' ? { kind: 'stall' } : undefined)
    const underWay = expect(write('under-way')).rejects.toThrow('leadership was lost: stopped')
    await waitFor(() => expect(proxy.seen.filter(({ method }) => method === 'POST')).toHaveLength(2))
    await election.stop()
    await underWay
    const sent = proxy.seen.length
    await expect(write('after')).rejects.toThrow()
    expect(proxy.seen.length).toBe(sent)
    await writer.request({ method: 'GET', path: configMaps })
  })

  it('asks when the first byte leaves, not when the request was made', async () => {
    const proxy = new FaultProxy(adminConfig())
    const client = createApiClient({ kubeConfig: await proxy.start(), maxConnections: 1 })
    cleanUps.push(() => proxy.stop())
    let may = true
    proxy.rule = () => {
      may = false
      return undefined
    }
    const writer = guardWrites(client, { mayWrite: () => may, lost: new AbortController().signal })
    const path = `/api/v1/namespaces/${space.name}/configmaps`
    // The only connection is taken by the first write; the permission ends while the second waits for it.
    const first = writer.request({ method: 'POST', path, body: { metadata: { name: 'first' } } })
    const second = writer.request({ method: 'POST', path, body: { metadata: { name: 'second' } } })
    const refused = expect(second).rejects.toBeInstanceOf(NotLeader)
    await first
    await refused
    client.close()
    const names = (await space.list(CONFIG_MAPS)).map(({ metadata }) => metadata.name)
    expect(names).toEqual(['first'])
  })
})

describe('two operators', () => {
  interface Operator {
    child: ChildProcess
    output: () => string
  }

  async function spawnOperator(identity: string): Promise<Operator> {
    const file = path.join(folder, 'kubeconfig')
    await writeFile(file, adminConfig().exportConfig(), { mode: 0o600 })
    const script = path.join(import.meta.dirname, 'leader-child.fixture.ts')
    const child = spawn(process.execPath, [script, file, space.name, identity], {
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    let text = ''
    child.stdout.on('data', (chunk) => {
      text += chunk
    })
    cleanUps.push(async () => {
      if (child.exitCode !== null || child.signalCode !== null) return
      const exited = new Promise((resolve) => child.once('exit', resolve))
      child.kill('SIGCONT')
      child.kill('SIGKILL')
      await exited
    })
    return { child, output: () => text }
  }

  const order = (object: KubeObject) => Number(object.metadata.resourceVersion)

  /** Who wrote, in the API server's own order, repetitions left out. */
  async function turns(): Promise<string[]> {
    const writes = (await space.list<ConfigMap>(CONFIG_MAPS)).sort((a, b) => order(a) - order(b))
    const holders = writes.map(({ data }) => data?.['holder'] ?? '')
    return holders.filter((holder, n) => holder !== holders[n - 1])
  }

  const leads = ({ output }: Operator) => waitFor(() => expect(output()).toContain('leading'))
  const hasWritten = (identity: string) => waitFor(async () => expect((await turns()).at(-1)).toBe(identity))

  it('never write in the same interval, whether the leader is frozen, killed or ends in order', async () => {
    const frozen = await spawnOperator('frozen')
    await leads(frozen)
    await hasWritten('frozen')
    const killed = await spawnOperator('killed')

    // Frozen in the middle of its work, for longer than its lease, as a machine that swaps or is suspended.
    frozen.child.kill('SIGSTOP')
    await leads(killed)
    await hasWritten('killed')
    frozen.child.kill('SIGCONT')
    await waitFor(() => expect(frozen.output()).toContain('lost'))

    const orderly = await spawnOperator('orderly')
    killed.child.kill('SIGKILL')
    await leads(orderly)
    await hasWritten('orderly')

    const last = await spawnOperator('last')
    await new Promise((resolve) => setTimeout(resolve, 500))
    orderly.child.kill('SIGTERM')
    await leads(last)
    await hasWritten('last')
    last.child.kill('SIGTERM')
    await waitFor(() => expect(last.output()).toContain('lost'))
    // One block of writes each: nobody wrote again once the next had begun.
    expect(await turns()).toEqual(['frozen', 'killed', 'orderly', 'last'])
  })
})
