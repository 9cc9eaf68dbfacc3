import { describe, expect, it } from 'vitest'
import { waitUntil } from '../../test-support/wait.ts'
import { headerOf, proxyHeader } from './proxy-header.fixture.ts'
import { type TestListeners, type TestSocket, testListeners } from './test-listeners.fixture.ts'
import { PROXY_HEADER_TIMEOUT_MS } from './trusted-proxies.ts'

type Names = Parameters<typeof testListeners>[0]

async function listenersTrusting(ranges: string[], names: Names): Promise<TestListeners> {
  const listeners = await testListeners(names)
  const { host } = listeners
  host.record = { ...host.record, trustedProxies: ranges }
  return listeners
}

const CLIENT = headerOf('198.51.100.7', 50_000)
const ADDRESS = '198.51.100.7:50000'
const CONNECT = Buffer.from('100c00044d5154540402003c0000', 'hex')
const post = (secret: string) =>
  `POST /networks/none HTTP/1.1\r\nHost: hub\r\nX-Secret: ${secret}\r\nContent-Length: 0\r\n\r\n`
const UPGRADE =
  'GET /mqtt HTTP/1.1\r\nHost: hub\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n' +
  'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: mqtt\r\n\r\n'

async function sendInBytes({ socket }: TestSocket, bytes: Buffer): Promise<void> {
  for (const byte of bytes) await new Promise((resolve) => socket.write(Buffer.from([byte]), resolve))
}

describe('a connection from a trusted proxy', () => {
  it('is that of the client whom the header names, who sends MQTT right after it', async () => {
    await using listeners = await listenersTrusting(['127.0.0.0/8'], ['mqtt'])
    const { socket } = await listeners.dial('mqtt')
    socket.write(Buffer.concat([CLIENT, CONNECT]))
    const link = await listeners.link()
    expect(link.facts.remoteAddress).toBe(ADDRESS)
    await waitUntil('the CONNECT', () => link.received.length === CONNECT.length)
    expect(link.received).toEqual(CONNECT)
  })

  it('may take its header and its packets apart byte by byte', async () => {
    await using listeners = await listenersTrusting(['127.0.0.1/32'], ['mqtt'])
    const client = await listeners.dial('mqtt')
    await sendInBytes(client, Buffer.concat([CLIENT, CONNECT]))
    const link = await listeners.link()
    await waitUntil('the CONNECT', () => link.received.length === CONNECT.length)
    expect(link.facts.remoteAddress).toBe(ADDRESS)
  })

  it('reaches WebSocket with the address of its client', async () => {
    await using listeners = await listenersTrusting(['127.0.0.0/8'], ['ws'])
    const client = await listeners.dial('ws')
    client.socket.write(Buffer.concat([CLIENT, Buffer.from(UPGRADE)]))
    expect((await listeners.link()).facts.remoteAddress).toBe(ADDRESS)
    await waitUntil('the answer', () => client.text.includes('101 Switching Protocols'))
  })

  it('is bounded by the address of its client, not by that of the proxy all come through', async () => {
    await using listeners = await listenersTrusting(['127.0.0.0/8'], ['http'])
    const knock = async (address: string) => {
      const client = await listeners.dial('http')
      client.socket.write(Buffer.concat([headerOf(address, 50_000), Buffer.from(post('guess'))]))
      await waitUntil('an answer', () => client.text.includes('\r\n\r\n'))
      return client.text.slice(9, 12)
    }
    for (let tries = 0; tries < 10; tries++) expect(await knock('198.51.100.7')).toBe('401')
    expect(await knock('198.51.100.7')).toBe('429')
    expect(await knock('198.51.100.8')).toBe('401')
    expect(listeners.host.events.at(-1)?.extra).toEqual({ 'source-address': '198.51.100.8:50000' })
  })

  it('that speaks for itself, as a health check does, has the address of the proxy', async () => {
    await using listeners = await listenersTrusting(['127.0.0.0/8'], ['mqtt'])
    const client = await listeners.dial('mqtt')
    client.socket.write(Buffer.concat([proxyHeader({ command: 0, family: 0 }), CONNECT]))
    expect((await listeners.link()).facts.remoteAddress).toBe(client.address)
  })

  it.each(['mqtt', 'ws', 'http'] as const)('without a header is refused on %s and told of', async (name) => {
    await using listeners = await listenersTrusting(['127.0.0.0/8'], [name])
    const client = await listeners.dial(name)
    client.socket.write(name === 'mqtt' ? CONNECT : UPGRADE)
    await client.closed
    expect(client.text).toBe('')
    expect(listeners.host.links).toEqual([])
    expect(listeners.host.events).toMatchObject([
      { code: 'PROXY_HEADER_REFUSED', extra: { 'source-address': client.address } },
    ])
  })

  it('that says nothing is closed in time, also where no CONNECT is awaited', async () => {
    await using listeners = await listenersTrusting(['127.0.0.0/8'], ['http'])
    const client = await listeners.dial('http')
    client.socket.write(CLIENT.subarray(0, 20))
    const started = performance.now()
    await client.closed
    expect(performance.now() - started).toBeGreaterThan(PROXY_HEADER_TIMEOUT_MS - 500)
    expect(listeners.host.events[0]?.detail).toBe('none came whole within 5 s')
  })

  it('that opens and leaves, as a probe does, is not told of', async () => {
    await using listeners = await listenersTrusting(['127.0.0.0/8'], ['mqtt'])
    const probe = await listeners.dial('mqtt')
    probe.socket.end()
    await probe.closed
    expect(listeners.host.events).toEqual([])
  })

  it('follows a change of the ranges with the next connection', async () => {
    await using listeners = await listenersTrusting(['192.0.2.0/24'], ['mqtt'])
    const plain = await listeners.dial('mqtt')
    expect((await listeners.link(0)).facts.remoteAddress).toBe(plain.address)
    listeners.host.record = { ...listeners.host.record, trustedProxies: ['127.0.0.0/8'] }
    const { socket } = await listeners.dial('mqtt')
    socket.write(CLIENT)
    expect((await listeners.link(1)).facts.remoteAddress).toBe(ADDRESS)
  })
})

describe('a connection from elsewhere', () => {
  it.each(['mqtt', 'ws', 'http'] as const)('gains nothing by a header on %s', async (name) => {
    await using listeners = await listenersTrusting(['192.0.2.0/24', '2001:db8::/32'], [name])
    const liar = await listeners.dial(name)
    liar.socket.write(Buffer.concat([CLIENT, Buffer.from(post('guess'))]))
    if (name === 'mqtt') {
      const link = await listeners.link()
      expect(link.facts.remoteAddress).toBe(liar.address)
      // The header is what the client "says" in MQTT: its first byte is a packet type that is reserved.
      await waitUntil('its bytes', () => link.received.length > 0)
      expect(link.received[0]! >> 4).toBe(0)
      return
    }
    await liar.closed
    expect(liar.text).toMatch(/^HTTP\/1.1 400 /)
    expect(JSON.stringify(listeners.host.events)).not.toContain('198.51.100.7')
  })
})

it('a range that cannot be read trusts nobody, and is told of', async () => {
  await using listeners = await listenersTrusting(['nonsense'], ['mqtt'])
  const client = await listeners.dial('mqtt')
  expect((await listeners.link()).facts.remoteAddress).toBe(client.address)
  expect(listeners.host.logged.join()).toContain('a range of proxies trusts nobody')
})
