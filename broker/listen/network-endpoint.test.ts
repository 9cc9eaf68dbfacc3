import { Agent } from 'node:http'
import { describe, expect, it } from 'vitest'
import { waitUntil } from '../../test-support/wait.ts'
import { deny } from '../policy/verdict.ts'
import { type Answer, endpoint, LIMIT, type Post, send, TOKEN } from './network-endpoint.fixture.ts'

describe('a POST to a token network', () => {
  it('publishes the body with the topic, QoS and retain flag of its headers', async () => {
    await using listeners = await endpoint()
    const bytes = Buffer.from(Array.from({ length: 256 }, (_, i) => i))
    const headers = { 'X-Topic': 'door', 'X-QoS': '1', 'X-Retain': 'true', 'Content-Type': 'any/thing' }
    const answer = await send(listeners, { path: '/networks/site?x=1', headers, body: bytes })
    expect(answer).toMatchObject({ status: 204, body: '' })
    expect(listeners.host.published).toEqual([
      { network: listeners.host.networks[1], topic: 'site/a/door', qos: 1, retain: true, payload: bytes },
    ])
    expect(listeners.host.events).toEqual([])
  })

  it('takes a body in chunks, of exactly the limit, and none at all', async () => {
    await using listeners = await endpoint()
    const headers = { 'Transfer-Encoding': 'chunked' }
    expect(await send(listeners, { headers, body: 'x'.repeat(LIMIT) })).toMatchObject({ status: 204 })
    expect(await send(listeners, { body: '' })).toMatchObject({ status: 204 })
    expect(listeners.host.published.map(({ payload }) => payload.length)).toEqual([LIMIT, 0])
  })

  it('is answered only when the message is stored', async () => {
    await using listeners = await endpoint()
    let store = () => {}
    listeners.host.answer = async () => {
      await new Promise<void>((resolve) => {
        store = resolve
      })
      return { allowed: true, value: undefined }
    }
    let answered = false
    const answer = send(listeners).then((result) => {
      answered = true
      return result
    })
    await waitUntil('published', () => listeners.host.published.length === 1)
    expect(answered).toBe(false)
    store()
    expect(await answer).toMatchObject({ status: 204 })
  })

  it('leaves the connection open for the next, also after a refusal', async () => {
    await using listeners = await endpoint()
    const agent = new Agent({ keepAlive: true, maxSockets: 1 })
    await send(listeners, { agent })
    await send(listeners, { agent, headers: { 'X-Topic': '#' } })
    await send(listeners, { agent })
    expect(listeners.host.published).toHaveLength(2)
    expect(Object.values(agent.freeSockets).flat()).toHaveLength(1)
    agent.destroy()
  })
})

interface Refusal extends Post {
  status: number
  code: string
  detail: string
  event?: string
}

const REFUSALS: Record<string, Refusal> = {
  'another path': { path: '/', status: 404, code: 'NOT_FOUND', detail: 'expected path /networks/<name>' },
  'a path below a network': {
    path: '/networks/rest/x',
    status: 404,
    code: 'NOT_FOUND',
    detail: 'expected path /networks/<name>',
  },
  'another method': {
    method: 'PUT',
    status: 405,
    code: 'METHOD_NOT_ALLOWED',
    detail: 'expected method POST, got PUT',
  },
  'a wrong secret': {
    headers: { 'X-Secret': 'wrong' },
    status: 401,
    code: 'BAD_NETWORK_TOKEN',
    detail: 'X-Secret: expected the token of an existing network, got another',
    event: 'BAD_NETWORK_TOKEN',
  },
  'two secrets': {
    headers: { 'X-Secret': [TOKEN, TOKEN] },
    status: 401,
    code: 'BAD_NETWORK_TOKEN',
    detail: 'X-Secret: expected the token of an existing network, got another',
    event: 'BAD_NETWORK_TOKEN',
  },
  'a network that is not there': {
    path: '/networks/nowhere',
    status: 401,
    code: 'BAD_NETWORK_TOKEN',
    detail: 'X-Secret: expected the token of an existing network, got another',
    event: 'BAD_NETWORK_TOKEN',
  },
  'a name out of the prototype': {
    path: '/networks/__proto__',
    status: 401,
    code: 'BAD_NETWORK_TOKEN',
    detail: 'X-Secret: expected the token of an existing network, got another',
    event: 'BAD_NETWORK_TOKEN',
  },
  'a bad topic': {
    headers: { 'X-Topic': 'a/#' },
    status: 400,
    code: 'BAD_NETWORK_REQUEST',
    detail: 'X-Topic: expected a topic, got one that has a wildcard, which only filters may have',
    event: 'BAD_NETWORK_REQUEST',
  },
  'two topics': {
    headers: { 'X-Topic': ['a', 'b'] },
    status: 400,
    code: 'BAD_NETWORK_REQUEST',
    detail: 'X-Topic: expected one topic, got 2',
    event: 'BAD_NETWORK_REQUEST',
  },
  'a body over the limit': {
    body: 'x'.repeat(LIMIT + 1),
    status: 413,
    code: 'PAYLOAD_TOO_LARGE',
    detail: 'body: expected at most 1000 bytes, got 1001 bytes',
    event: 'PAYLOAD_TOO_LARGE',
  },
  'a body in chunks over the limit': {
    headers: { 'Transfer-Encoding': 'chunked' },
    body: 'x'.repeat(LIMIT + 1),
    status: 413,
    code: 'PAYLOAD_TOO_LARGE',
    detail: 'body: expected at most 1000 bytes, got more',
    event: 'PAYLOAD_TOO_LARGE',
  },
}

describe('a refusal', () => {
  it.each(Object.entries(REFUSALS))('of %s is a problem that names it', async (_, row) => {
    const { status, code, detail, event, ...post } = row
    await using listeners = await endpoint()
    const answer = await send(listeners, post)
    expect(answer.status).toBe(status)
    expect(answer.headers['content-type']).toBe('application/problem+json')
    expect(answer.problem).toEqual({
      type: 'about:blank',
      title: expect.any(String),
      status,
      code,
      detail,
    })
    expect(answer.body).not.toContain(TOKEN)
    expect(listeners.host.published).toEqual([])
    expect(listeners.host.codes()).toEqual(event === undefined ? [] : [event])
    expect(JSON.stringify(listeners.host.events)).not.toContain(TOKEN)
  })

  it('of a missing secret says that there was none', async () => {
    await using listeners = await endpoint()
    const answer = await fetch(`http://127.0.0.1:${listeners.port('http')}/networks/rest`, { method: 'POST' })
    expect(answer.status).toBe(401)
    expect(answer.headers.get('www-authenticate')).toBe('X-Secret')
    expect(await answer.json()).toMatchObject({
      detail: 'X-Secret: expected the token of an existing network, got none',
    })
  })

  it('tells nobody but the events which names exist', async () => {
    await using listeners = await endpoint()
    const headers = { 'X-Secret': 'wrong' }
    const known = await send(listeners, { headers })
    const unknown = await send(listeners, { headers, path: '/networks/nowhere' })
    const comparable = ({ status, headers: { date, ...rest }, body }: Answer) => ({ status, rest, body })
    expect(comparable(known)).toEqual(comparable(unknown))
    const { host } = listeners
    expect(host.events.map(({ objectType, objectId }) => [objectType, objectId])).toEqual([
      ['network', host.networks[0]?.id],
      ['hub', host.record.uid],
    ])
  })

  it('of a method names the right one', async () => {
    await using listeners = await endpoint()
    expect((await send(listeners, { method: 'GET', body: '' })).headers['allow']).toBe('POST')
  })

  it.each([
    ['HUB_DISABLED', 503],
    ['HUB_BUSY', 503],
    ['RETAINED_FORBIDDEN', 400],
    ['PUBLISH_QOS_FORBIDDEN', 400],
    ['PAYLOAD_TOO_LARGE', 413],
    ['RATE_LIMITED', 429],
  ] as const)('of the hub for %s becomes %i, without a second event', async (code, status) => {
    await using listeners = await endpoint()
    listeners.host.answer = async () => deny(code)
    const answer = await send(listeners)
    expect(answer.status).toBe(status)
    expect(answer.problem).toMatchObject({ code, detail: expect.any(String) })
    if (status === 503 || status === 429) expect(Number(answer.headers['retry-after'])).toBeGreaterThan(0)
    expect(listeners.host.events).toEqual([])
  })

  it('by a store that fails is 503 and a line in the log', async () => {
    await using listeners = await endpoint()
    listeners.host.answer = async () => {
      throw new Error('disk is full')
    }
    const answer = await send(listeners)
    expect(answer.status).toBe(503)
    expect(answer.body).not.toContain('disk')
    expect(listeners.host.logged.join()).toContain('disk is full')
    expect(listeners.host.logged.join()).not.toContain(TOKEN)
  })
})
