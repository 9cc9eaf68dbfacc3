import { once } from 'node:events'
import { setTimeout as delay } from 'node:timers/promises'
import { describe, expect, it } from 'vitest'
import { WebSocket } from 'ws'
import { openMqtt } from '../../test-support/mqtt-client.ts'
import { fuzz } from '../../test-support/mqtt-fuzz.ts'
import { Random } from '../../test-support/random.ts'
import { RunningProgram } from '../../test-support/run-program.ts'
import type { FloodJob, FloodReport } from '../../test-support/socket-flood-child.ts'
import { waitUntil } from '../../test-support/wait.ts'
import { rawLink, start, underWatch, victim } from './under-attack.fixture.ts'

// Everything a hostile or broken client may send. Each attack runs against a broker in a process of its own,
// with two well-behaved devices exchanging QoS 1 messages meanwhile. Afterwards the process lives, its memory
// is back where it was, the two have noticed nothing, and the refusals were told.

const SEED = 20_260_923
const IS_FULL = process.env['HUBLET_TEST_SCALE'] === 'full'
const [FRAMES_PER_LEVEL, WARM_UP_FRAMES] = IS_FULL ? [100_000, 10_000] : [6_000, 3_000]

function flood(job: FloodJob): RunningProgram & { report(): FloodReport } {
  const program = new RunningProgram(
    process.execPath,
    [`${import.meta.dirname}/../../test-support/socket-flood-child.ts`, JSON.stringify(job)],
    { timeoutMs: 120_000 },
  )
  const report = () =>
    JSON.parse(program.lines.at(-1) ?? '{"opened":0,"closed":0,"failed":0,"done":false}') as FloodReport
  return Object.assign(program, { report })
}

describe('mutated MQTT frames', () => {
  it.each([3, 4, 5] as const)(
    `of protocol level %i, ${FRAMES_PER_LEVEL} of them from a fixed seed, harm nobody`,
    async (version) => {
      await using broker = await start(['mqtt'])
      const random = new Random(SEED + version)
      const port = broker.port('mqtt')
      const job = { port, version, random, deviceId: victim.id, concurrency: 16 }
      let taken = 0
      await underWatch(broker, {
        warmUp: async () => await fuzz({ ...job, frames: WARM_UP_FRAMES }),
        attack: async () => {
          const result = await fuzz({ ...job, frames: FRAMES_PER_LEVEL })
          taken = result.frames
          expect(result.hanging).toBe(0)
        },
      })
      expect(taken).toBeGreaterThanOrEqual(FRAMES_PER_LEVEL)
      const events = await broker.eventCounts()
      expect(events['PACKET_MALFORMED']).toBeGreaterThan(0)
      expect(events['PROTOCOL_ERROR']).toBeGreaterThan(0)
    },
  )
})

/** A PUBLISH header at QoS 0 that promises so many bytes. */
function publishHeader(promised: number): Buffer {
  const length: number[] = []
  for (let rest = promised; ; rest >>= 7) {
    length.push(rest > 127 ? (rest & 127) | 128 : rest)
    if (rest <= 127) break
  }
  return Buffer.from([0x30, ...length, 0, 1, 97])
}

describe('oversize packets', () => {
  it('are refused by their header, before their bytes fill the memory', async () => {
    await using broker = await start(['mqtt'], { payloadBytes: 10_000 })
    const port = broker.port('mqtt')
    const burst = async (count: number) => {
      for (let i = 0; i < count; i++) {
        const client = await openMqtt({ port })
        await client.connect({ clientId: `big ${i}`, username: victim.id })
        client.sendBytes(publishHeader(200_000_000))
        client.sendBytes(Buffer.alloc(1_000_000, 120))
        await client.closed
      }
    }
    await underWatch(broker, { warmUp: async () => await burst(50), attack: async () => await burst(300) })
    const events = await broker.eventCounts()
    expect((events['PACKET_TOO_LARGE'] ?? 0) + (events['PAYLOAD_TOO_LARGE'] ?? 0)).toBe(350)
  })

  it('are refused before anybody has said who they are', async () => {
    await using broker = await start(['mqtt'])
    // CONNECT that promises 256 MiB.
    await rawLink(broker.port('mqtt'), Buffer.from([0x10, 0xff, 0xff, 0xff, 0x7f]), Buffer.alloc(300_000))
    const events = await broker.eventCounts()
    expect(events['PACKET_TOO_LARGE']).toBe(1)
  })

  it('of exactly the limit pass', async () => {
    await using broker = await start(['mqtt'], { payloadBytes: 10_000 })
    const client = await openMqtt({ port: broker.port('mqtt') })
    await client.connect({ clientId: victim.id })
    await client.subscribe('a')
    await client.publish('a', 'x'.repeat(10_000), { qos: 1 })
    expect((await client.waitForMessages(1))[0]?.payload).toHaveLength(10_000)
    client.close()
  })
})

describe('10,000 half-open connections', () => {
  it('push each other out, never those who have connected', async () => {
    await using broker = await start(['mqtt'], { pendingConnections: 500 })
    const port = broker.port('mqtt')
    const run = async (count: number) => {
      // The first bytes of a CONNECT, and then nothing.
      const attackers = flood({ port, count, bytes: '101a00044d51', concurrency: 64 })
      await waitUntil('all have tried', () => attackers.report().done, {
        timeoutMs: 110_000,
      })
      const { opened, failed } = attackers.report()
      expect(opened + failed).toBe(count)
      // A newcomer gets in while the others still stand.
      const client = await openMqtt({ port })
      expect((await client.connect({ clientId: victim.id })).returnCode).toBe(0)
      await client.disconnect()
      await waitUntil('no more than the bound is held', () => {
        const now = attackers.report()
        return now.opened - now.closed <= 500
      })
      await attackers.stop()
    }
    await underWatch(broker, { warmUp: async () => await run(1_500), attack: async () => await run(10_000) })
    const events = await broker.eventCounts()
    expect((events['CONNECT_TIMEOUT'] ?? 0) + (events['HUB_BUSY'] ?? 0)).toBeGreaterThan(10_000)
  })
})

describe('garbage', () => {
  it('on TLS, WebSocket and HTTP ports is turned away and told of', async () => {
    await using broker = await start(['mqtt', 'mqtts', 'ws', 'wss', 'http', 'https'])
    const random = new Random(SEED)
    // Record header of a TLS 1.0 ClientHello, with a body that is none.
    const clientHello = () =>
      Buffer.concat([Buffer.from([22, 3, 1, 0, 200, 1, 0, 0, 196]), random.bytes(196)])
    const mqttConnect = Buffer.from('101000044d5154540402003c00046e6f7065', 'hex')
    const upgrade =
      'GET /mqtt HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n' +
      'Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: mqtt\r\n\r\n'
    const round = async () => {
      for (const listener of ['mqtts', 'wss', 'https'] as const) {
        const port = broker.port(listener)
        await rawLink(port, random.bytes(300))
        await rawLink(port, clientHello())
        await rawLink(port, mqttConnect)
        await rawLink(port, 'GET / HTTP/1.1\r\n\r\n')
      }
      for (const listener of ['ws', 'http'] as const) {
        const port = broker.port(listener)
        await rawLink(port, random.bytes(300))
        await rawLink(port, `GET /mqtt HTTP/1.1\r\nHost: x\r\nX: ${'y'.repeat(100_000)}\r\n\r\n`)
        await rawLink(port, 'GET /elsewhere HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n')
      }
      // Frames that no client may send: unmasked, reserved bits, too long by their header.
      const ws = broker.port('ws')
      await rawLink(ws, upgrade, Buffer.from([0x82, 5, 1, 2, 3, 4, 5]))
      await rawLink(ws, upgrade, Buffer.from([0xf2, 0x85, 0, 0, 0, 0, 1, 2, 3, 4, 5]))
      await rawLink(ws, upgrade, Buffer.from([0x82, 0xff, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0]))
      await textFrame(ws)
    }
    await underWatch(broker, {
      warmUp: round,
      attack: async () => {
        for (let i = 0; i < 20; i++) await round()
      },
    })
    const events = await broker.eventCounts()
    expect(events['TLS_HANDSHAKE_FAILED']).toBeGreaterThanOrEqual(21 * 3 * 3)
  })
})

/** MQTT over WebSocket is binary only [MQTT-6.0.0-1]. */
async function textFrame(port: number): Promise<void> {
  const socket = new WebSocket(`ws://127.0.0.1:${port}/mqtt`, 'mqtt')
  socket.on('error', () => {})
  await once(socket, 'open')
  socket.send('this is text')
  await Promise.race([once(socket, 'close'), delay(20_000, undefined, { ref: false })])
  expect(socket.readyState).toBe(WebSocket.CLOSED)
}
