import { once } from 'node:events'
import { describe, expect, it } from 'vitest'
import { PATIENCE_MS, waitUntil, within } from '../../test-support/wait.ts'
import { testListeners } from './test-listeners.fixture.ts'

const MIB = 1024 * 1024

async function link() {
  const listeners = await testListeners(['mqtt'])
  const client = await listeners.dial('mqtt')
  const opened = await listeners.link()
  return { listeners, client, opened, [Symbol.asyncDispose]: () => listeners[Symbol.asyncDispose]() }
}

describe('a link on a socket', () => {
  it('hands over what the client sends and sends what it is given, in order', async () => {
    await using test = await link()
    const { client, opened } = test
    client.socket.write('first ')
    client.socket.write('second')
    await waitUntil('all bytes', () => opened.received.toString() === 'first second')
    for (const part of ['a', 'b', 'c']) opened.transport.write(Buffer.from(part))
    await waitUntil('the answer', () => client.text === 'abc')
    expect(opened.transport.pendingBytes).toBe(0)
    expect(opened.transport.flushedBytes).toBe(3)
  })

  it('tells a slow reader from a frozen one, also inside one large write', async () => {
    await using test = await link()
    const { client, opened } = test
    client.socket.pause()
    opened.transport.write(Buffer.alloc(32 * MIB))
    opened.transport.write(Buffer.alloc(1))
    // The kernel's buffers fill up; then nothing moves.
    let last = -1
    await waitUntil(
      'the reader is frozen',
      () => {
        const now = opened.transport.flushedBytes
        const same = now === last
        last = now
        return same
      },
      { intervalMs: 100 },
    )
    expect(last).toBeGreaterThan(0)
    expect(last).toBeLessThan(32 * MIB)
    // What it took counts although no write is done.
    expect(opened.transport.pendingBytes).toBe(32 * MIB + 1)

    client.socket.resume()
    await waitUntil('all is taken', () => opened.transport.pendingBytes === 0)
    expect(opened.transport.flushedBytes).toBe(32 * MIB + 1)
  })

  it('reads no further while it is paused', async () => {
    await using test = await link()
    const { client, opened } = test
    opened.transport.pause()
    client.socket.write(Buffer.alloc(32 * MIB))
    await waitUntil('the client cannot write any more', async () => {
      const before = client.socket.bytesWritten - client.socket.writableLength
      await new Promise((resolve) => setTimeout(resolve, 50))
      return (
        client.socket.writableLength > 0 &&
        client.socket.bytesWritten - client.socket.writableLength === before
      )
    })
    expect(opened.received.length).toBeLessThan(MIB)
    opened.transport.resume()
    await waitUntil('the rest', () => opened.received.length === 32 * MIB, { intervalMs: 100 })
  })

  it('sends what is pending before it ends, and ignores what comes later', async () => {
    await using test = await link()
    const { client, opened } = test
    opened.transport.write(Buffer.alloc(4 * MIB, 'x'))
    opened.transport.end()
    opened.transport.write(Buffer.from('too late'))
    opened.transport.end()
    await client.closed
    expect(client.text).toBe('x'.repeat(4 * MIB))
    await waitUntil('closed', () => opened.closes === 1)
  })

  it('ends cleanly although the client has sent what nobody read', async () => {
    await using test = await link()
    const { client, opened } = test
    opened.transport.pause()
    client.socket.write(Buffer.alloc(64 * 1024))
    await waitUntil('sent', () => client.socket.writableLength === 0)
    opened.transport.write(Buffer.from('goodbye'))
    opened.transport.end()
    const [hadError] = await once(client.socket, 'close')
    expect(hadError).toBe(false)
    expect(client.text).toBe('goodbye')
    expect(opened.received).toHaveLength(0)
  })

  it('is cut 2 s after its end when the client reads nothing', async () => {
    await using test = await link()
    const { client, opened } = test
    client.socket.pause()
    opened.transport.write(Buffer.alloc(32 * MIB))
    const started = performance.now()
    opened.transport.end()
    await waitUntil('cut', () => opened.closes === 1)
    expect(performance.now() - started).toBeGreaterThan(1_900)
  })

  it('tells its end once, whoever closes and however', async () => {
    await using test = await link()
    const { listeners } = test
    for (const how of ['end', 'reset', 'destroy'] as const) {
      const client = await listeners.dial('mqtt')
      const opened = await waitUntil('the link', () =>
        listeners.host.links.find(({ facts }) => facts.remoteAddress === client.address),
      )
      if (how === 'end') client.socket.end()
      if (how === 'reset') client.socket.resetAndDestroy()
      if (how === 'destroy') opened.transport.destroy()
      await within(`closed by ${how}`, PATIENCE_MS, client.closed)
      await waitUntil(`told of ${how}`, () => opened.closes > 0)
      opened.transport.destroy()
      opened.transport.end()
      opened.transport.write(Buffer.from('x'))
      await new Promise((resolve) => setImmediate(resolve))
      expect(opened.closes).toBe(1)
    }
  })

  it('is cut alone when its handler fails, and that is logged', async () => {
    await using test = await link()
    const { listeners, client, opened } = test
    const other = await listeners.dial('mqtt')
    const bystander = await listeners.link(1)
    opened.onChunk = () => {
      throw new Error('a fault of ours')
    }
    client.socket.write('x')
    await client.closed
    other.socket.write('y')
    await waitUntil('the other link goes on', () => bystander.received.toString() === 'y')
    expect(listeners.host.logged.join()).toContain('a fault of ours')
  })
})
