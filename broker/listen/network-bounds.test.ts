import { describe, expect, it } from 'vitest'
import { PATIENCE_MS, waitUntil, within } from '../../test-support/wait.ts'
import { endpoint, head, send } from './network-endpoint.fixture.ts'
import type { TestSocket } from './test-listeners.fixture.ts'

describe('too much', () => {
  it('of one network is 429 with a time to come back, and leaves the other alone', async () => {
    await using listeners = await endpoint()
    listeners.setLimits({ messagesPerSecond: 3 })
    const answers = []
    for (let i = 0; i < 6; i++) answers.push(await send(listeners))
    const refused = answers.filter(({ status }) => status === 429)
    expect(refused.length).toBeGreaterThanOrEqual(2)
    expect(refused[0]?.headers['retry-after']).toBe('1')
    expect(listeners.host.codes()).toEqual(refused.map(() => 'RATE_LIMITED'))
    expect(await send(listeners, { path: '/networks/site' })).toMatchObject({ status: 204 })
    listeners.setLimits({ messagesPerSecond: 0 })
    expect(await send(listeners)).toMatchObject({ status: 204 })
  })

  it('guessing is 429 and silent, yet the right secret still passes', async () => {
    await using listeners = await endpoint()
    const statuses = []
    for (let i = 0; i < 15; i++) {
      statuses.push((await send(listeners, { headers: { 'X-Secret': `guess ${i}` } })).status)
    }
    expect(statuses).toEqual([...Array(10).fill(401), ...Array(5).fill(429)])
    expect(listeners.host.events).toHaveLength(10)
    expect(await send(listeners)).toMatchObject({ status: 204 })
  })

  it('of a body announced is refused before it comes', async () => {
    await using listeners = await endpoint()
    const client = await listeners.dial('http')
    client.socket.write(head(['Content-Length: 1000000000']))
    await waitUntil('the answer', () => client.text.includes('\r\n\r\n{'))
    expect(client.text).toMatch(/^HTTP\/1\.1 413 /)
    expect(client.text).toMatch(/\r\nConnection: close\r\n/i)
    await within('closed', PATIENCE_MS, client.closed)
  })

  it('of a body without an announced end is read no further', async () => {
    await using listeners = await endpoint()
    const client = await listeners.dial('http')
    client.socket.write(head(['Transfer-Encoding: chunked']))
    const chunk = Buffer.concat([Buffer.from('10000\r\n'), Buffer.alloc(65_536), Buffer.from('\r\n')])
    const flood = setInterval(() => client.socket.write(chunk), 1)
    await within('closed', PATIENCE_MS, client.closed)
    clearInterval(flood)
    expect(client.text).toMatch(/^HTTP\/1\.1 413 /)
    expect(listeners.host.published).toEqual([])
    expect(listeners.host.codes()).toEqual(['PAYLOAD_TOO_LARGE'])
  })

  it('of bodies at once is 503, and room comes back', async () => {
    // Bodies of 4 MiB at most are held to 64 MiB together.
    await using listeners = await endpoint({ limits: { payloadBytes: 4 * 1024 * 1024 } })
    const unfinished = Buffer.alloc(4 * 1024 * 1024 - 1)
    const clients: TestSocket[] = []
    for (let i = 0; i < 18; i++) {
      const client = await listeners.dial('http')
      client.socket.write(head([`Content-Length: ${unfinished.length + 1}`]))
      client.socket.write(unfinished)
      clients.push(client)
    }
    await waitUntil('one too many', () => clients.some(({ text }) => text.includes('503')))
    expect(clients.filter(({ text }) => text === '').length).toBeGreaterThan(10)
    for (const client of clients) client.socket.destroy()
    await waitUntil('room', async () => (await send(listeners, { body: unfinished })).status === 204)
  })
})

describe('a client', () => {
  it('that waits for leave to send is told to go on, or why not', async () => {
    await using listeners = await endpoint()
    const good = await listeners.dial('http')
    good.socket.write(head(['Content-Length: 2', 'Expect: 100-continue']))
    await waitUntil('leave', () => good.text === 'HTTP/1.1 100 Continue\r\n\r\n')
    good.socket.write('ok')
    await waitUntil('the answer', () => good.text.includes('204 No Content'))
    const large = await listeners.dial('http')
    large.socket.write(head(['Content-Length: 2000', 'Expect: 100-continue']))
    await waitUntil('the refusal', () => large.text.startsWith('HTTP/1.1 413 '))
    expect(listeners.host.published.map(({ payload }) => payload.toString())).toEqual(['ok'])
  })

  it('that leaves in the middle of its body publishes nothing', async () => {
    await using listeners = await endpoint()
    const client = await listeners.dial('http')
    client.socket.write(head(['Content-Length: 100']))
    client.socket.write('half')
    client.socket.end()
    await client.closed
    expect(await send(listeners)).toMatchObject({ status: 204 })
    expect(listeners.host.published).toHaveLength(1)
    expect(listeners.host.logged).toEqual([])
  })

  it.each([
    ['two lengths', ['Content-Length: 1', 'Content-Length: 2']],
    ['a length and chunks', ['Content-Length: 1', 'Transfer-Encoding: chunked']],
    ['a length that is none', ['Content-Length: many']],
  ])('that gives %s is refused, so that no proxy sees another request than we do', async (_, headers) => {
    await using listeners = await endpoint()
    const client = await listeners.dial('http')
    client.socket.write(`${head(headers)}x`)
    await within('closed', PATIENCE_MS, client.closed)
    expect(client.text).toMatch(/^HTTP\/1\.1 400 /)
    expect(listeners.host.published).toEqual([])
  })

  it('that sends several requests at once gets all answers, in order', async () => {
    await using listeners = await endpoint()
    const client = await listeners.dial('http')
    client.socket.write(`${head(['Content-Length: 1'])}1${head(['Content-Length: 1'], 'GET')}2`)
    client.socket.write(`${head(['Content-Length: 1'])}3`)
    await waitUntil('all', () => client.text.split('HTTP/1.1').length === 4)
    const statuses = [...client.text.matchAll(/HTTP\/1\.1 (\d+)/g)].map(([, status]) => status)
    expect(statuses).toEqual(['204', '405', '204'])
  })

  it('that has done nothing for longest makes room for the 1,001st', async () => {
    await using listeners = await endpoint()
    const busy = await listeners.dial('http')
    const idle = await listeners.dial('http')
    for (let i = 2; i < 1_000; i++) await listeners.dial('http')
    busy.socket.write(`${head(['Content-Length: 1'])}x`)
    await waitUntil('served', () => busy.text.includes('204'))
    await listeners.dial('http')
    await within('closed', PATIENCE_MS, idle.closed)
    expect(busy.socket.destroyed).toBe(false)
    expect(listeners.host.events).toMatchObject([
      { code: 'HUB_BUSY', objectType: 'hub', extra: { 'source-address': idle.address } },
    ])
  })
})
