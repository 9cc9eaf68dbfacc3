import { once } from 'node:events'
import { connect, createServer } from 'node:net'
import { describe, expect, it } from 'vitest'
import { hub } from '../../test-support/hub-state.ts'
import { waitUntil } from '../../test-support/wait.ts'
import { FakeHost } from './listener-host.fixture.ts'
import { openListeners } from './open-listeners.ts'
import { testListeners } from './test-listeners.fixture.ts'

const local = (port = 0) => ({ host: '127.0.0.1', port })

async function busyPort(): Promise<{ port: number; [Symbol.asyncDispose](): Promise<void> }> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  return {
    port: typeof address === 'object' && address !== null ? address.port : 0,
    async [Symbol.asyncDispose]() {
      server.close()
      await once(server, 'close')
    },
  }
}

async function refuses(port: number): Promise<boolean> {
  const socket = connect(port, '127.0.0.1')
  return await new Promise((resolve) => {
    socket.once('connect', () => {
      socket.destroy()
      resolve(false)
    })
    socket.once('error', () => resolve(true))
  })
}

describe('opening listeners', () => {
  it('gives each the port it asked for, or a free one', async () => {
    const { port } = await (async () => {
      await using free = await busyPort()
      return { port: free.port }
    })()
    const open = await openListeners({
      listeners: { mqtt: local(port), http: local() },
      host: new FakeHost(hub()),
    })
    expect(open.ports.mqtt).toBe(port)
    expect(open.ports.http).toBeGreaterThan(0)
    expect(open.ports.ws).toBeUndefined()
    await open.close()
    expect(await refuses(port)).toBe(true)
  })

  it('fails by name and address when one cannot bind, and leaves none open', async () => {
    await using busy = await busyPort()
    await using free = await busyPort()
    const mqtt = free.port
    await free[Symbol.asyncDispose]()
    free[Symbol.asyncDispose] = async () => {}
    const opening = openListeners({
      listeners: { mqtt: local(mqtt), ws: local(busy.port) },
      host: new FakeHost(hub()),
    })
    await expect(opening).rejects.toThrow(`listener ws cannot bind 127.0.0.1:${busy.port}: EADDRINUSE`)
    expect(await refuses(mqtt)).toBe(true)
  })

  it.each(['mqtts', 'wss', 'https'] as const)('%s fails by name without credentials', async (name) => {
    const opening = openListeners({ listeners: { [name]: local() }, host: new FakeHost(hub()) })
    await expect(opening).rejects.toThrow(`listener ${name} needs server credentials, got none`)
  })
})

describe('a link', () => {
  it('is told with its listener and the address of its client', async () => {
    await using listeners = await testListeners(['mqtt'])
    const client = await listeners.dial('mqtt')
    expect((await listeners.link()).facts).toEqual({
      listener: 'mqtt',
      encrypted: false,
      remoteAddress: client.address,
    })
  })

  it('of an IPv4 client on a dual-stack listener shows its IPv4 address', async () => {
    const host = new FakeHost(hub())
    const open = await openListeners({ listeners: { mqtt: { host: '::', port: 0 } }, host })
    const dial = async (to: string) => {
      const socket = connect(open.ports.mqtt ?? 0, to)
      await once(socket, 'connect')
      return socket
    }
    const [four, six] = [await dial('127.0.0.1'), await dial('::1')]
    await waitUntil('both links', () => host.links.length === 2)
    expect(host.links.map(({ facts }) => facts.remoteAddress)).toEqual([
      `127.0.0.1:${four.localPort}`,
      `[::1]:${six.localPort}`,
    ])
    four.destroy()
    six.destroy()
    await open.close()
  })
})

const EVENT = { code: 'CONNECT_TIMEOUT', objectType: 'hub' }

describe('a socket without CONNECT', () => {
  it.each(['mqtt', 'ws'] as const)('is cut off on %s when its time is up, and told of', async (name) => {
    await using listeners = await testListeners([name], { connectTimeoutMs: 200 })
    const client = await listeners.dial(name)
    const started = performance.now()
    await client.closed
    // Not the ten seconds that are the default.
    expect(performance.now() - started).toBeLessThan(8_000)
    expect(listeners.host.events).toEqual([
      {
        ...EVENT,
        objectId: listeners.host.record.uid,
        detail: 'no CONNECT within 0.2 s',
        extra: { 'source-address': client.address },
      },
    ])
  })

  it('that drips bytes is cut off all the same', async () => {
    await using listeners = await testListeners(['mqtt'], { connectTimeoutMs: 300 })
    const client = await listeners.dial('mqtt')
    const dripping = setInterval(() => client.socket.write('x'), 20)
    await client.closed
    clearInterval(dripping)
    const link = await listeners.link()
    await waitUntil('the link is told', () => link.closes === 1)
    expect(listeners.host.codes()).toEqual(['CONNECT_TIMEOUT'])
  })

  it('stays once the host has accepted its CONNECT', async () => {
    await using listeners = await testListeners(['mqtt'], { connectTimeoutMs: 150 })
    const first = await listeners.dial('mqtt')
    const link = await listeners.link()
    link.place.leave()
    const second = await listeners.dial('mqtt')
    await second.closed
    first.socket.write('still here')
    await waitUntil('the first goes on', () => link.received.toString() === 'still here')
    expect(listeners.host.events).toHaveLength(1)
  })

  it('takes no event with it when it leaves by itself', async () => {
    await using listeners = await testListeners(['mqtt'], { connectTimeoutMs: 150 })
    const client = await listeners.dial('mqtt')
    const link = await listeners.link()
    client.socket.destroy()
    await waitUntil('closed', () => link.closes === 1)
    const late = await listeners.dial('mqtt')
    await late.closed
    expect(listeners.host.events).toHaveLength(1)
  })

  it('makes room for newcomers beyond the limit, those who have connected do not', async () => {
    await using listeners = await testListeners(['mqtt', 'ws'], { limits: { pendingConnections: 10 } })
    const connected = await listeners.dial('mqtt')
    ;(await listeners.link()).place.leave()
    const flood = []
    for (let i = 0; i < 100; i++) flood.push(await listeners.dial(i % 2 === 0 ? 'mqtt' : 'ws'))
    await Promise.all(flood.slice(0, 90).map(async ({ closed }) => await closed))
    expect(flood.slice(90).some(({ socket }) => socket.destroyed)).toBe(false)
    expect(connected.socket.destroyed).toBe(false)
    expect(listeners.host.events).toHaveLength(90)
    expect(listeners.host.events[0]).toMatchObject({
      ...EVENT,
      detail: 'more than 10 sockets waited for their CONNECT',
      extra: { 'source-address': flood[0]?.address },
    })
  })

  it('goes when a lower limit is set', async () => {
    await using listeners = await testListeners(['mqtt'])
    const clients = [await listeners.dial('mqtt'), await listeners.dial('mqtt')]
    await listeners.link(1)
    listeners.setLimits({ pendingConnections: 1 })
    await clients[0]?.closed
    expect(clients[1]?.socket.destroyed).toBe(false)
  })
})

describe('closing', () => {
  it('cuts pending sockets at once, lets links end, and takes no more', async () => {
    const listeners = await testListeners(['mqtt', 'ws', 'http'])
    const pending = await listeners.dial('ws')
    const client = await listeners.dial('mqtt')
    const link = await listeners.link()
    link.place.leave()
    const started = performance.now()
    const closed = listeners.open.close()
    await pending.closed
    link.transport.write(Buffer.from('goodbye'))
    link.transport.end()
    await closed
    await client.closed
    expect(client.text).toBe('goodbye')
    expect(performance.now() - started).toBeLessThan(1_500)
    expect(await refuses(listeners.port('mqtt'))).toBe(true)
    expect(listeners.host.events).toEqual([])
  })

  it('cuts a link that is not ended within 3 s', async () => {
    const listeners = await testListeners(['mqtt'])
    const client = await listeners.dial('mqtt')
    const link = await listeners.link()
    link.place.leave()
    await listeners.open.close()
    await client.closed
    await waitUntil('the link is told', () => link.closes === 1)
  })
})
