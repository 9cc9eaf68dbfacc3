import { connect } from 'node:net'
import { describe, expect, it } from 'vitest'
import { startCanary } from '../../test-support/canary.ts'
import { openMqtt } from '../../test-support/mqtt-client.ts'
import { waitUntil } from '../../test-support/wait.ts'
import {
  CANARY_SLOWEST_MS,
  canaries,
  rawLink,
  start,
  TOKEN,
  underWatch,
  victim,
  waitForClose,
} from './under-attack.fixture.ts'

// Mostly waiting for time-outs: together they take as long as the longest.
describe('slow clients', () => {
  it.concurrent('that drip a CONNECT or an HTTP request are cut off while others are served', async () => {
    await using broker = await start(['mqtt', 'http', 'ws'])
    const post = async () =>
      await fetch(`http://127.0.0.1:${broker.port('http')}/networks/rest`, {
        method: 'POST',
        headers: { 'X-Secret': TOKEN, 'X-Topic': 'a' },
        body: 'x',
      })
    const drip = async (port: number, first: string | Buffer, next: string): Promise<void> => {
      const socket = connect({ port, host: '127.0.0.1' })
      socket.on('error', () => {})
      socket.resume()
      socket.write(first)
      const dripping = setInterval(() => socket.write(next), 500)
      try {
        await waitForClose(socket)
      } finally {
        clearInterval(dripping)
      }
    }
    const headers = `X-Secret: ${TOKEN}\r\nX-Topic: a\r\nContent-Length: 100000\r\n`
    const attack = async () => {
      const slow = Array.from({ length: 20 }, () => [
        drip(broker.port('mqtt'), Buffer.from([0x10, 100]), 'M'),
        drip(broker.port('http'), 'POST /networks/rest HTTP/1.1\r\nHost: x\r\n', 'X: y\r\n'),
        drip(broker.port('http'), `POST /networks/rest HTTP/1.1\r\nHost: x\r\n${headers}\r\n`, 'x'),
        drip(broker.port('ws'), 'GET /mqtt HTTP/1.1\r\nHost: x\r\n', 'X: y\r\n'),
      ]).flat()
      expect((await post()).status).toBe(204)
      await Promise.all(slow)
    }
    await underWatch(broker, {
      warmUp: async () => {
        for (let i = 0; i < 50; i++) await post()
      },
      attack,
    })
    const events = await broker.eventCounts()
    expect(events['CONNECT_TIMEOUT']).toBeGreaterThanOrEqual(20)
  })

  it.concurrent('that read nothing are cut off and never slow the others', async () => {
    await using broker = await start(['mqtt'], { queueBytes: 2_000_000 })
    const port = broker.port('mqtt')
    const frozen = await openMqtt({ port })
    await frozen.connect({ clientId: 'frozen', username: victim.id })
    await frozen.subscribe('news')
    const reader = await openMqtt({ port })
    await reader.connect({ clientId: 'reader', username: victim.id })
    await reader.subscribe('news')
    const publisher = await openMqtt({ port })
    await publisher.connect({ clientId: 'publisher', username: victim.id })
    frozen.freeze()

    const canary = await startCanary(port, canaries)
    const total = 4_000
    const payload = Buffer.alloc(10_000, 120)
    for (let i = 0; i < total; i++) {
      publisher.sendPublish('news', payload)
      if (i % 100 === 99) await publisher.ping()
    }
    await reader.waitForMessages(total)
    expect((await canary.stop()).slowestMs).toBeLessThan(CANARY_SLOWEST_MS)
    await waitUntil('the slow consumer is told of', async () => (await broker.eventCounts())['SLOW_CONSUMER'])
    for (const client of [frozen, reader, publisher]) client.close()
  })

  it.concurrent('that send garbage before a TLS handshake is finished do not keep the link for ever', async () => {
    await using broker = await start(['mqtts', 'mqtt'])
    const started = performance.now()
    await rawLink(broker.port('mqtts'), Buffer.from([22, 3, 1, 2, 0, 1]))
    expect(performance.now() - started).toBeLessThan(30_000)
    const events = await broker.eventCounts()
    expect((events['TLS_HANDSHAKE_FAILED'] ?? 0) + (events['CONNECT_TIMEOUT'] ?? 0)).toBe(1)
  })
})
