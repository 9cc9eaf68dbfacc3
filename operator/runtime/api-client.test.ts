import { createServer, type RequestListener, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { KubeConfig } from '@kubernetes/client-node'
import { afterEach, describe, expect, it } from 'vitest'
import { type ApiClient, type ApiClientOptions, createApiClient, retryAfterMs } from './api-client.ts'
import { ApiError, isConflict, isExpired, isInvalid, isNotFound, TransportError } from './api-error.ts'

const servers: Server[] = []
const clients: ApiClient[] = []
afterEach(async () => {
  for (const client of clients.splice(0)) client.close()
  for (const server of servers.splice(0)) {
    server.closeAllConnections()
    await new Promise((resolve) => server.close(resolve))
  }
})

/** A client of a server that answers as `listener` does. */
async function serve(listener: RequestListener, options: Partial<ApiClientOptions> = {}) {
  const server = createServer(listener)
  let connections = 0
  server.on('connection', () => {
    connections += 1
  })
  servers.push(server)
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const kubeConfig = new KubeConfig()
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/base`
  kubeConfig.loadFromOptions({
    clusters: [{ name: 'c', server: url, skipTLSVerify: true }],
    users: [{ name: 'u', token: 'the-token' }],
    contexts: [{ name: 'x', cluster: 'c', user: 'u' }],
    currentContext: 'x',
  })
  const client = createApiClient({ kubeConfig, timeoutMs: 2_000, ...options })
  clients.push(client)
  return { client, connections: () => connections }
}

const get = (client: ApiClient) => client.request<{ ok: boolean }>({ method: 'GET', path: '/things' })

describe('an API client', () => {
  it('sends path, query, body, credentials and its name', async () => {
    const seen: Record<string, unknown>[] = []
    const { client } = await serve((request, response) => {
      let body = ''
      request.on('data', (chunk) => {
        body += chunk
      })
      request.on('end', () => {
        const { authorization, 'content-type': type, 'user-agent': agent } = request.headers
        seen.push({ method: request.method, url: request.url, body, authorization, type, agent })
        response.writeHead(201).end('{"ok":true}')
      })
    })
    const answer = await client.request({
      method: 'PATCH',
      path: '/things/a',
      query: { force: true, absent: undefined, labelSelector: 'a=b,c' },
      body: { text: 'ü' },
      contentType: 'application/apply-patch+yaml',
    })
    expect(answer).toEqual({ status: 201, body: { ok: true } })
    expect(seen).toEqual([
      {
        method: 'PATCH',
        url: '/base/things/a?force=true&labelSelector=a%3Db%2Cc',
        body: '{"text":"ü"}',
        authorization: 'Bearer the-token',
        type: 'application/apply-patch+yaml',
        agent: 'hublet',
      },
    ])
  })

  it('keeps its connection from request to request', async () => {
    const { client, connections } = await serve((_, response) => response.end('{}'))
    for (let n = 0; n < 20; n += 1) await get(client)
    expect(connections()).toBe(1)
  })

  it('opens no more connections than its bound, and takes the rest in turn', async () => {
    const { client, connections } = await serve((_, response) => setTimeout(() => response.end('{}'), 5), {
      maxConnections: 3,
    })
    await Promise.all(Array.from({ length: 30 }, () => get(client)))
    expect(connections()).toBe(3)
  })

  const REFUSALS = {
    'not found': { status: 404, reason: 'NotFound', is: isNotFound },
    conflict: { status: 409, reason: 'Conflict', is: isConflict },
    'version too old': { status: 410, reason: 'Expired', is: isExpired },
    invalid: { status: 422, reason: 'Invalid', is: isInvalid },
  }
  it.each(Object.entries(REFUSALS))('turns "%s" into an ApiError', async (_, { status, reason, is }) => {
    const body = { kind: 'Status', reason, message: 'because', code: status }
    const { client } = await serve((_request, response) =>
      response.writeHead(status).end(JSON.stringify(body)),
    )
    const error = await get(client).catch((thrown) => thrown)
    expect(error).toBeInstanceOf(ApiError)
    expect(error).toMatchObject({ status, reason, message: `GET /things: ${status} ${reason}: because` })
    for (const { is: test, reason: other } of Object.values(REFUSALS))
      expect(test(error)).toBe(other === reason)
    expect(is(error)).toBe(true)
  })

  it('takes a refusal that is no Status, as a proxy sends it, by its code and header', async () => {
    const { client } = await serve((_, response) =>
      response.writeHead(503, { 'retry-after': '7' }).end('<html>away</html>'),
    )
    const error = await get(client).catch((thrown) => thrown)
    expect(error).toMatchObject({ status: 503, reason: '', retryAfterMs: 7_000 })
  })

  const FAILURES: Record<
    string,
    { listener: RequestListener; options?: Partial<ApiClientOptions>; code: string }
  > = {
    'no answer in time': { listener: () => {}, options: { timeoutMs: 100 }, code: 'TIMEOUT' },
    'an answer that does not end in time': {
      listener: (_, response) => void response.writeHead(200).write('{"a":'),
      options: { timeoutMs: 100 },
      code: 'TIMEOUT',
    },
    'a connection that is cut before the answer': {
      listener: (request) => void request.socket.destroy(),
      code: 'ECONNRESET',
    },
    'a connection that is cut in the answer': {
      listener: (request, response) => {
        response.writeHead(200, { 'content-length': 100 }).write('{"a":')
        setTimeout(() => request.socket.destroy(), 20)
      },
      code: 'ECONNRESET',
    },
    'an answer that is not JSON': { listener: (_, response) => void response.end('hello'), code: 'BAD_BODY' },
    'an answer beyond the bound': {
      listener: (_, response) => void response.end(JSON.stringify('x'.repeat(5_000))),
      options: { maxBodyBytes: 1_000 },
      code: 'TOO_LARGE',
    },
  }
  it.each(Object.entries(FAILURES))('turns %s into a TransportError, and goes on', async (_, failure) => {
    let first = true
    const { client } = await serve((request, response) => {
      if (!first) return response.end('{"ok":true}')
      first = false
      return failure.listener(request, response)
    }, failure.options)
    const error = await get(client).catch((thrown) => thrown)
    expect(error).toBeInstanceOf(TransportError)
    expect(error.code).toBe(failure.code)
    expect((await get(client)).body).toEqual({ ok: true })
  })

  it('names the reason when nobody listens', async () => {
    const { client } = await serve(() => {})
    const server = servers.pop()!
    await new Promise((resolve) => server.close(resolve))
    await expect(get(client)).rejects.toMatchObject({ name: 'TransportError', code: 'ECONNREFUSED' })
  })

  it('ends a request with the reason of its signal, before and after it was sent', async () => {
    let received = 0
    const { client } = await serve(() => {
      received += 1
    })
    const reason = new Error('enough')
    const before = client.request({ method: 'GET', path: '/', signal: AbortSignal.abort(reason) })
    await expect(before).rejects.toBe(reason)
    expect(received).toBe(0)
    const abort = new AbortController()
    const after = client.request({ method: 'GET', path: '/', signal: abort.signal })
    setTimeout(() => abort.abort(reason), 50)
    await expect(after).rejects.toBe(reason)
    expect(received).toBe(1)
  })

  it('tells method, code and time of each request, failed ones too', async () => {
    const facts: string[] = []
    let answers = 0
    const { client } = await serve(
      (request, response) => {
        answers += 1
        if (answers === 2) response.writeHead(404).end('{}')
        else if (answers === 3) request.socket.destroy()
        else response.end('{}')
      },
      { onDone: ({ method, code, seconds }) => facts.push(`${method} ${code} ${seconds >= 0}`) },
    )
    for (let n = 0; n < 3; n += 1) await get(client).catch(() => {})
    expect(facts).toEqual(['GET 200 true', 'GET 404 true', 'GET <error> true'])
  })

  it('gives no secret to a logger that prints its errors', async () => {
    const { client } = await serve((_, response) =>
      response.writeHead(422).end(JSON.stringify({ kind: 'Status', details: { causes: [{ field: 'x' }] } })),
    )
    const error = await get(client).catch((thrown) => thrown)
    expect(JSON.stringify({ ...error, message: error.message })).not.toMatch(/token|causes/)
    expect(error.causes).toEqual([{ field: 'x' }])
  })
})

describe('a Retry-After header', () => {
  const NOW = Date.UTC(2026, 0, 1)
  it.each([
    ['5', 5_000],
    ['0', 0],
    ['Thu, 01 Jan 2026 00:00:10 GMT', 10_000],
    ['Wed, 31 Dec 2025 00:00:00 GMT', 0],
    ['soon', undefined],
    [undefined, undefined],
  ])('%s is %s ms', (header, expected) => {
    expect(retryAfterMs(header, NOW)).toBe(expected)
  })
})
