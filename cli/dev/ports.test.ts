import { createServer, type Server } from 'node:net'
import { afterEach, describe, expect, it } from 'vitest'
import { hubsOf } from './hub-manifests.ts'
import { hubYaml, setOf } from './manifests.fixture.ts'
import { isPortFree } from './port-probe.ts'
import { assignPorts, wantedPorts } from './ports.ts'

const assign = (wanted: Parameters<typeof assignPorts>[0], taken: number[] = [], used: number[] = []) =>
  assignPorts(wanted, new Set(taken), async (port) => !used.includes(port))

describe('wantedPorts', () => {
  it('holds the open listeners only', () => {
    const [garden] = hubsOf(setOf(hubYaml('{ listeners: { ws: { enabled: false }, mqtt: { port: 2883 } } }')))
    expect(garden && wantedPorts(garden.hub.object)).toEqual({
      mqtts: 8883,
      mqtt: 2883,
      wss: 8084,
      https: 8443,
    })
  })
})

describe('assignPorts', () => {
  it.each([
    ['the wanted port when it is free', [], [], 1883],
    ['10,000 more when another hub has it', [1883], [], 11883],
    ['10,000 more when another program has it', [], [1883], 11883],
    ['further steps as long as ports are taken', [1883, 21883], [11883, 31883], 41883],
    [
      'the next one up when all steps are taken',
      [1883, 11883, 21883, 31883, 41883],
      [51883, 61883, 1884],
      1885,
    ],
  ])('gives %s', async (_, taken, used, expected) => {
    expect(await assign({ mqtt: 1883 }, taken, used)).toEqual({ mqtt: expected })
  })

  it('never gives one listener what another one of the hub asks for', async () => {
    expect(await assign({ mqtts: 1883, mqtt: 11883 }, [1883])).toEqual({ mqtts: 21883, mqtt: 11883 })
  })

  it('gives three hubs with the same wishes ports of their own', async () => {
    const taken = new Set<number>()
    const ports: number[] = []
    for (let hub = 0; hub < 3; hub += 1) {
      const assigned = await assignPorts({ mqtt: 1883, mqtts: 8883 }, taken, async () => true)
      ports.push(...Object.values(assigned).map((port) => port ?? 0))
    }
    expect(ports.sort((a, b) => a - b)).toEqual([1883, 8883, 11883, 18883, 21883, 28883])
  })

  it('says so when there is no port left', async () => {
    const nothingFree = async () => false
    expect(await assignPorts({ http: 65_530 }, new Set(), nothingFree)).toEqual({ http: undefined })
  })
})

describe('isPortFree', () => {
  let server: Server | undefined
  afterEach(() => server?.close())

  it('tells a port that another program listens on from one that it does not', async () => {
    server = createServer()
    await new Promise<void>((resolve) => server?.listen(0, '127.0.0.1', resolve))
    const address = server.address()
    const port = typeof address === 'object' ? (address?.port ?? 0) : 0
    expect(await isPortFree('127.0.0.1', port)).toBe(false)
    await new Promise((resolve) => server?.close(resolve))
    expect(await isPortFree('127.0.0.1', port)).toBe(true)
  })

  it('rejects an address that this machine does not have', async () => {
    await expect(isPortFree('192.0.2.1', 0)).rejects.toThrow(/EADDRNOTAVAIL/)
  })
})
