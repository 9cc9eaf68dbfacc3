import { describe, expect, it } from 'vitest'
import { Outbox } from './outbox.ts'
import type { Transport } from './transport.ts'

/** A socket whose kernel takes bytes only when the test says so. */
class SlowTransport implements Transport {
  readonly writes: Buffer[] = []
  taken = 0
  asked = 0

  get written(): Buffer {
    return Buffer.concat(this.writes)
  }

  get pendingBytes(): number {
    this.asked += 1
    return this.written.length - this.taken
  }

  get flushedBytes(): number {
    return this.taken
  }

  write(chunk: Buffer): void {
    this.writes.push(chunk)
  }
  pause(): void {}
  resume(): void {}
  end(): void {}
  destroy(): void {}
}

function outbox() {
  const transport = new SlowTransport()
  return { transport, box: new Outbox(transport) }
}

/** The end of the event loop's turn, where outboxes are flushed. */
const turn = async () => await new Promise((resolve) => setImmediate(() => setImmediate(resolve)))

const frames = (...texts: string[]) => texts.map((text) => Buffer.from(text))

describe('an outbox', () => {
  it('writes the frames of one turn as one, in order', async () => {
    const { transport, box } = outbox()
    for (const frame of frames('a', 'bc', '', 'def')) box.send(frame)
    expect(transport.writes).toEqual([])
    await turn()
    expect(transport.writes.map(String)).toEqual(['abcdef'])
    box.send(Buffer.from('g'))
    await turn()
    expect(transport.writes.map(String)).toEqual(['abcdef', 'g'])
  })

  it('hands on a single frame as it is, uncopied', async () => {
    const { transport, box } = outbox()
    const [frame] = frames('shared with other links')
    box.send(frame as Buffer)
    await turn()
    expect(transport.writes[0]).toBe(frame)
  })

  it('leaves frames unchanged, because other links send them too', async () => {
    const one = outbox()
    const two = outbox()
    const shared = frames('a', 'b')
    for (const frame of shared) {
      one.box.send(frame)
      two.box.send(frame)
    }
    one.box.send(Buffer.from('only one'))
    await turn()
    expect([one.transport.written, two.transport.written].map(String)).toEqual(['abonly one', 'ab'])
    expect(shared.map(String)).toEqual(['a', 'b'])
  })

  it('joins no more than about 256 KiB at a time, and loses nothing', async () => {
    const { transport, box } = outbox()
    const sent = Array.from({ length: 100 }, (_, i) => Buffer.alloc(10_000, i))
    for (const frame of sent) box.send(frame)
    await turn()
    expect(transport.written.equals(Buffer.concat(sent))).toBe(true)
    expect(transport.writes.length).toBe(4)
    expect(Math.max(...transport.writes.map((write) => write.length))).toBeLessThan(256 * 1024 + 10_000)
  })

  it('passes on one frame larger than that', async () => {
    const { transport, box } = outbox()
    const sent = [Buffer.alloc(10, 1), Buffer.alloc(1_000_000, 2), Buffer.alloc(10, 3)]
    for (const frame of sent) box.send(frame)
    await turn()
    expect(transport.written.equals(Buffer.concat(sent))).toBe(true)
  })

  it('can be flushed before the turn ends, once', async () => {
    const { transport, box } = outbox()
    box.send(Buffer.from('a'))
    box.flush()
    box.flush()
    expect(transport.writes.map(String)).toEqual(['a'])
    box.send(Buffer.from('b'))
    box.send(Buffer.from('c'))
    await turn()
    expect(transport.writes.map(String)).toEqual(['a', 'bc'])
  })

  it('sends nothing of what was cleared, and can go on', async () => {
    const { transport, box } = outbox()
    box.send(Buffer.from('lost'))
    box.clear()
    await turn()
    expect(transport.writes).toEqual([])
    expect(box.pendingBytes).toBe(0)
    box.send(Buffer.from('kept'))
    await turn()
    expect(transport.writes.map(String)).toEqual(['kept'])
  })

  it('sends what a flush of another makes it send, in a later turn', async () => {
    const { transport, box } = outbox()
    const other = outbox()
    other.transport.write = () => box.send(Buffer.from('from a flush'))
    other.box.send(Buffer.from('x'))
    await turn()
    await turn()
    expect(transport.writes.map(String)).toEqual(['from a flush'])
  })

  it('counts what waits here and in the socket', async () => {
    const { transport, box } = outbox()
    box.send(Buffer.alloc(100))
    expect(box.pendingBytes).toBe(100)
    await turn()
    expect(box.pendingBytes).toBe(100)
    transport.taken = 60
    box.send(Buffer.alloc(5))
    expect(box.pendingBytes).toBe(45)
  })

  it('is over a limit by what waits in both, and no longer once the kernel has taken it', async () => {
    const { transport, box } = outbox()
    box.send(Buffer.alloc(100))
    expect(box.isOver(100)).toBe(false)
    expect(box.isOver(99)).toBe(true)
    await turn()
    expect(box.isOver(100)).toBe(false)
    expect(box.isOver(99)).toBe(true)
    transport.taken = 50
    expect(box.isOver(99)).toBe(false)
    expect(box.isOver(50)).toBe(false)
    expect(box.isOver(49)).toBe(true)
  })

  it('does not ask the socket while the last answer is low enough', async () => {
    const { transport, box } = outbox()
    box.send(Buffer.alloc(100))
    await turn()
    transport.asked = 0
    for (let i = 0; i < 100; i++) box.isOver(1_000)
    expect(transport.asked).toBe(0)
  })
})
