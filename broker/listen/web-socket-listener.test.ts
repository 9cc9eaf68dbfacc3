import { once } from 'node:events'
import { describe, expect, it } from 'vitest'
import { type ClientOptions, WebSocket } from 'ws'
import { PATIENCE_MS, waitUntil, within } from '../../test-support/wait.ts'
import type { OpenedLink } from './listener-host.fixture.ts'
import { type TestListeners, testListeners } from './test-listeners.fixture.ts'

interface Dialled {
  webSocket: WebSocket
  messages: Array<{ data: Buffer; isBinary: boolean }>
  link: OpenedLink
}

async function dial(
  listeners: TestListeners,
  {
    path = '/mqtt',
    protocols = ['mqtt'],
    ...options
  }: ClientOptions & { path?: string; protocols?: string[] } = {},
): Promise<Dialled> {
  const webSocket = new WebSocket(`ws://127.0.0.1:${listeners.port('ws')}${path}`, protocols, options)
  const messages: Dialled['messages'] = []
  webSocket.on('message', (data: Buffer, isBinary) => messages.push({ data, isBinary }))
  const count = listeners.host.links.length
  await once(webSocket, 'open')
  webSocket.on('error', () => {})
  return { webSocket, messages, link: await listeners.link(count) }
}

async function closeCode(webSocket: WebSocket): Promise<number> {
  const [code] = (await within('closed', PATIENCE_MS, once(webSocket, 'close'))) as [number]
  return code
}

const UPGRADE = (headers: readonly string[], path = '/mqtt') =>
  [
    `GET ${path} HTTP/1.1`,
    'Host: x',
    'Connection: Upgrade',
    'Upgrade: websocket',
    'Sec-WebSocket-Version: 13',
    'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==',
    ...headers,
    '',
    '',
  ].join('\r\n')

describe('a WebSocket link', () => {
  it('carries bytes both ways, one binary message a write', async () => {
    await using listeners = await testListeners(['ws'])
    const { webSocket, messages, link } = await dial(listeners)
    expect(webSocket.protocol).toBe('mqtt')
    expect(webSocket.extensions).toBe('')
    expect(link.facts).toMatchObject({ listener: 'ws', encrypted: false })
    webSocket.send(Buffer.from('one '))
    webSocket.send(Buffer.from('two'))
    await waitUntil('both', () => link.received.toString() === 'one two')
    link.transport.write(Buffer.from('three'))
    link.transport.write(Buffer.from('four'))
    await waitUntil('both answers', () => messages.length === 2)
    expect(messages.map(({ data, isBinary }) => [data.toString(), isBinary])).toEqual([
      ['three', true],
      ['four', true],
    ])
    expect(link.transport.pendingBytes).toBe(0)
    expect(link.transport.flushedBytes).toBeGreaterThan(9)
  })

  it('takes the protocol name of MQTT 3.1 and a query in the address', async () => {
    await using listeners = await testListeners(['ws'])
    const { webSocket } = await dial(listeners, { protocols: ['other', 'mqttv3.1'], path: '/mqtt?x=1' })
    expect(webSocket.protocol).toBe('mqttv3.1')
  })

  it('puts a message together that comes in fragments, with a ping between them', async () => {
    await using listeners = await testListeners(['ws'])
    const { webSocket, link } = await dial(listeners)
    const bytes = Buffer.from('a packet in many small pieces')
    for (const [i, byte] of bytes.entries()) {
      webSocket.send(Buffer.from([byte]), { fin: i === bytes.length - 1, binary: true })
      if (i === 3) webSocket.ping()
    }
    await waitUntil('the whole', () => link.received.equals(bytes))
  })

  it('takes a message that comes one byte a segment', async () => {
    await using listeners = await testListeners(['ws'])
    const client = await listeners.dial('ws')
    client.socket.setNoDelay(true)
    const mask = Buffer.from([1, 2, 3, 4])
    const body = Buffer.from('hello').map((byte, i) => byte ^ (mask[i % 4] as number))
    const bytes = Buffer.concat([
      Buffer.from(UPGRADE(['Sec-WebSocket-Protocol: mqtt'])),
      Buffer.from([0x82, 0x85]),
      mask,
      body,
    ])
    for (const byte of bytes) {
      client.socket.write(Buffer.from([byte]))
      await new Promise((resolve) => setImmediate(resolve))
    }
    const link = await listeners.link()
    await waitUntil('the message', () => link.received.toString() === 'hello')
  })

  it('that sends text is closed and told of', async () => {
    await using listeners = await testListeners(['ws'])
    const { webSocket, link } = await dial(listeners)
    webSocket.send('text')
    webSocket.send(Buffer.from('after it'))
    expect(await closeCode(webSocket)).toBe(1003)
    await waitUntil('the link is told', () => link.closes === 1)
    expect(link.received).toHaveLength(0)
    expect(listeners.host.events).toMatchObject([
      {
        code: 'PROTOCOL_ERROR',
        objectType: 'hub',
        objectId: listeners.host.record.uid,
        detail: 'a text message on a WebSocket',
        extra: { 'source-address': link.facts.remoteAddress },
      },
    ])
  })

  it('that announces a message larger than any packet is closed before it comes', async () => {
    await using listeners = await testListeners(['ws'], { limits: { payloadBytes: 1_000 } })
    const { webSocket, link } = await dial(listeners)
    link.place.leave()
    webSocket.send(Buffer.alloc(1024 * 1024 + 1_001))
    expect(await closeCode(webSocket)).toBe(1009)
    await waitUntil('the link is told', () => link.closes === 1)
    expect(link.received).toHaveLength(0)
    expect(listeners.host.codes()).toEqual(['PACKET_TOO_LARGE'])
  })

  it('takes larger messages once the hub allows them, on new connections', async () => {
    await using listeners = await testListeners(['ws'], { limits: { payloadBytes: 1_000 } })
    listeners.setLimits({ payloadBytes: 4 * 1024 * 1024 })
    const { webSocket, link } = await dial(listeners)
    link.place.leave()
    webSocket.send(Buffer.alloc(3 * 1024 * 1024))
    await waitUntil('all of it', () => link.received.length === 3 * 1024 * 1024)
  })

  it('may not make the hub hold a large message before its CONNECT is accepted', async () => {
    await using listeners = await testListeners(['ws'])
    const { webSocket, link } = await dial(listeners)
    webSocket.send(Buffer.alloc(3 * 1024 * 1024), { fin: false })
    await closeCode(webSocket)
    await waitUntil('the link is told', () => link.closes === 1)
    expect(listeners.host.events).toMatchObject([
      { code: 'PACKET_TOO_LARGE', detail: 'more than 1048576 bytes before CONNECT' },
    ])
  })

  it('reads no further while it is paused', async () => {
    await using listeners = await testListeners(['ws'])
    const { webSocket, link } = await dial(listeners)
    link.place.leave()
    link.transport.pause()
    const message = Buffer.alloc(64 * 1024)
    for (let i = 0; i < 400; i++) webSocket.send(message)
    await waitUntil('the client is stuck', async () => {
      const before = webSocket.bufferedAmount
      await new Promise((resolve) => setTimeout(resolve, 100))
      return before > 0 && webSocket.bufferedAmount === before
    })
    expect(link.received.length).toBeLessThan(1024 * 1024)
    link.transport.resume()
    await waitUntil('the rest', () => link.chunks.length === 400)
    expect(link.received.length).toBe(400 * message.length)
  })

  it('sends what is pending before it ends, then nothing more', async () => {
    await using listeners = await testListeners(['ws'])
    const { webSocket, messages, link } = await dial(listeners)
    link.transport.pause()
    link.transport.write(Buffer.from('goodbye'))
    link.transport.end()
    link.transport.write(Buffer.from('too late'))
    expect(await closeCode(webSocket)).toBe(1000)
    expect(messages.map(({ data }) => data.toString())).toEqual(['goodbye'])
    await waitUntil('the link is told', () => link.closes === 1)
  })

  it('is cut 2 s after its end when the client does not answer', async () => {
    await using listeners = await testListeners(['ws'])
    const client = await listeners.dial('ws')
    client.socket.write(UPGRADE(['Sec-WebSocket-Protocol: mqtt']))
    const link = await listeners.link()
    const started = performance.now()
    link.transport.end()
    await waitUntil('cut', () => link.closes === 1)
    expect(performance.now() - started).toBeGreaterThan(1_900)
  })

  it('tells its end once, whoever closes and however', async () => {
    await using listeners = await testListeners(['ws'])
    for (const how of ['close', 'terminate', 'destroy'] as const) {
      const { webSocket, link } = await dial(listeners)
      if (how === 'close') webSocket.close()
      if (how === 'terminate') webSocket.terminate()
      if (how === 'destroy') link.transport.destroy()
      await waitUntil(`told of ${how}`, () => link.closes > 0)
      link.transport.end()
      link.transport.destroy()
      link.transport.write(Buffer.from('x'))
      await new Promise((resolve) => setImmediate(resolve))
      expect(link.closes).toBe(1)
    }
    expect(listeners.host.events).toEqual([])
  })

  it.each<[string, Buffer]>([
    ['unmasked', Buffer.from([0x82, 5, 1, 2, 3, 4, 5])],
    ['with reserved bits', Buffer.from([0xf2, 0x85, 0, 0, 0, 0, 1, 2, 3, 4, 5])],
    ['of a kind that does not exist', Buffer.from([0x83, 0x80, 0, 0, 0, 0])],
    ['that continues nothing', Buffer.from([0x80, 0x80, 0, 0, 0, 0])],
  ])('with a frame %s is closed and told of', async (_, frame) => {
    await using listeners = await testListeners(['ws'])
    const client = await listeners.dial('ws')
    client.socket.write(UPGRADE(['Sec-WebSocket-Protocol: mqtt']))
    const link = await listeners.link()
    client.socket.write(frame)
    await within('closed', PATIENCE_MS, client.closed)
    await waitUntil('the link is told', () => link.closes === 1)
    expect(listeners.host.codes()).toEqual(['PACKET_MALFORMED'])
  })

  it('is cut alone when its handler fails', async () => {
    await using listeners = await testListeners(['ws'])
    const { webSocket, link } = await dial(listeners)
    const other = await dial(listeners)
    link.onChunk = () => {
      throw new Error('a fault of ours')
    }
    webSocket.send(Buffer.from('x'))
    await closeCode(webSocket)
    other.webSocket.send(Buffer.from('y'))
    await waitUntil('the other goes on', () => other.link.received.toString() === 'y')
    expect(listeners.host.logged.join()).toContain('a fault of ours')
  })
})

describe('a request on a WebSocket port', () => {
  const PROTOCOL = 'Sec-WebSocket-Protocol: mqtt'
  it.each<[string, string, string]>([
    ['for another path', UPGRADE([PROTOCOL], '/other'), '404 Not Found'],
    ['without a sub-protocol', UPGRADE([]), '400 Bad Request'],
    ['with other sub-protocols only', UPGRADE(['Sec-WebSocket-Protocol: wamp, mqttx']), '400 Bad Request'],
    ['that is none of a WebSocket', 'GET /mqtt HTTP/1.1\r\nHost: x\r\n\r\n', '426 Upgrade Required'],
    ['for nothing at all', 'GET / HTTP/1.1\r\nHost: x\r\n\r\n', '404 Not Found'],
    ['that posts', 'POST /mqtt HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\nx', '426 Upgrade Required'],
    [
      'for another kind of upgrade',
      'GET /mqtt HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n',
      '426 Upgrade Required',
    ],
    ['with headers without end', `GET /mqtt HTTP/1.1\r\nX: ${'x'.repeat(20_000)}`, '431 '],
    ['that is no HTTP', '\x10\x10\0\x04MQTT\x04\x02\0\x3c\0\x04nope', '400 Bad Request'],
  ])('%s is refused with a problem and closed', async (_, request, status) => {
    await using listeners = await testListeners(['ws'])
    const client = await listeners.dial('ws')
    client.socket.write(request, 'latin1')
    await within('closed', PATIENCE_MS, client.closed)
    expect(client.text).toMatch(new RegExp(`^HTTP/1\\.1 ${status}`))
    expect(client.text).toContain('application/problem+json')
    expect(JSON.parse(client.text.split('\r\n\r\n')[1] ?? '')).toMatchObject({
      status: Number(status.slice(0, 3)),
      title: expect.any(String),
      detail: expect.any(String),
      code: expect.any(String),
    })
    expect(listeners.host.links).toEqual([])
  })

  it('that ends in the middle of its headers holds its place no longer than the time-out', async () => {
    await using listeners = await testListeners(['ws'], { connectTimeoutMs: 200 })
    const client = await listeners.dial('ws')
    client.socket.write('GET /mqtt HTTP/1.1\r\nHost:')
    await within('closed', PATIENCE_MS, client.closed)
    expect(listeners.host.codes()).toEqual(['CONNECT_TIMEOUT'])
  })
})
