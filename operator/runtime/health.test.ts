import { Counter, Registry } from 'prom-client'
import { afterEach, describe, expect, it } from 'vitest'
import { Health, informerChecks } from './health.ts'
import { type RunningServer, startMetricsServer, startProbeServer } from './probe-server.ts'

const ANY_PORT = { host: '127.0.0.1', port: 0 }
const servers: RunningServer[] = []
afterEach(async () => {
  for (const server of servers.splice(0)) await server.stop()
})

const get = async (server: RunningServer, path: string, method = 'GET') => {
  const response = await fetch(`http://127.0.0.1:${server.port}${path}`, { method })
  return { status: response.status, text: await response.text() }
}

describe('a probe server', () => {
  it('answers 200 while every check passes and 503 with the reason when one does not', async () => {
    const health = new Health()
    let problem: string | undefined
    health.addLiveness('loop', () => problem)
    health.addReadiness('store', () => 'not reached yet')
    const server = await startProbeServer(ANY_PORT, health)
    servers.push(server)
    expect(await get(server, '/livez')).toEqual({ status: 200, text: '[+]loop ok\nok\n' })
    problem = 'it hangs'
    expect(await get(server, '/livez')).toEqual({ status: 503, text: '[-]loop: it hangs\nfailed\n' })
    expect(await get(server, '/readyz')).toEqual({ status: 503, text: '[-]store: not reached yet\nfailed\n' })
  })

  it('takes a check that throws for one that failed', async () => {
    const health = new Health()
    health.addLiveness('broken', () => {
      throw new Error('no idea')
    })
    const server = await startProbeServer(ANY_PORT, health)
    servers.push(server)
    expect(await get(server, '/livez')).toEqual({ status: 503, text: '[-]broken: no idea\nfailed\n' })
  })

  it('answers nothing else', async () => {
    const server = await startProbeServer(ANY_PORT, new Health())
    servers.push(server)
    expect((await get(server, '/')).status).toBe(404)
    expect((await get(server, '/livez', 'POST')).status).toBe(405)
  })
})

describe('a metrics server', () => {
  it('serves the registry, and goes on when a collector throws', async () => {
    const registry = new Registry()
    let broken = true
    new Counter({
      name: 'things_total',
      help: 'Things',
      registers: [registry],
      collect() {
        if (broken) throw new Error('collector broke')
      },
    })
    const server = await startMetricsServer(ANY_PORT, registry)
    servers.push(server)
    expect((await get(server, '/metrics')).status).toBe(500)
    broken = false
    expect((await get(server, '/metrics')).text).toContain('things_total 0')
    expect((await get(server, '/else')).status).toBe(404)
  })
})

describe('the checks of an informer', () => {
  const informer = { name: 'things', hasSynced: true, age: 1_000, stuck: false }
  const checks = (state: Partial<typeof informer>) => {
    const now = { ...informer, ...state }
    const { live, ready } = informerChecks({
      ...now,
      lastSyncAge: () => now.age,
      isStuck: () => now.stuck,
    })
    return { live: live(), ready: ready() }
  }
  const CASES = {
    'in step: alive and ready': { state: {}, live: undefined, ready: undefined },
    'before the first list: alive, not ready': {
      state: { hasSynced: false },
      live: undefined,
      ready: 'the first list is not complete',
    },
    'API server away: alive, for a restart would not help, and not ready': {
      state: { age: 600_000 },
      live: undefined,
      ready: 'not in step with the API server for 600 s',
    },
    'loop does not turn: not alive': {
      state: { stuck: true },
      live: 'its loop does not turn any more',
      ready: undefined,
    },
  }
  it.each(Object.entries(CASES))('%s', (_, { state, live, ready }) => {
    expect(checks(state)).toEqual({ live, ready })
  })
})
