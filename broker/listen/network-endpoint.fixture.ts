import { type Agent, request as httpRequest, type IncomingHttpHeaders } from 'node:http'
import { network } from '../../test-support/hub-state.ts'
import { type TestListeners, testListeners } from './test-listeners.fixture.ts'

export const TOKEN = 'the-token-of-the-test'
export const LIMIT = 1_000

/** An HTTP listener with two networks of the same token, one of them with a prefix. */
export async function endpoint(limits: Parameters<typeof testListeners>[1] = {}): Promise<TestListeners> {
  const listeners = await testListeners(['http'], { limits: { payloadBytes: LIMIT }, ...limits })
  listeners.host.networks = [
    network({ name: 'rest', token: TOKEN }),
    network({ name: 'site', token: TOKEN, topicPrefix: 'site/a' }),
  ]
  return listeners
}

export interface Answer {
  status: number
  headers: IncomingHttpHeaders
  body: string
  problem: { status: number; code: string; detail: string; title: string; type: string }
}

export interface Post {
  path?: string
  method?: string
  headers?: Record<string, string | string[]>
  body?: string | Buffer
  agent?: Agent
}

/** One request by Node's client; by default one that is right. */
export async function send(listeners: TestListeners, post: Post = {}): Promise<Answer> {
  const { path = '/networks/rest', method = 'POST', body = 'x', headers = {}, agent } = post
  return await new Promise((resolve, reject) => {
    const request = httpRequest(
      {
        port: listeners.port('http'),
        host: '127.0.0.1',
        path,
        method,
        headers: { 'X-Secret': TOKEN, 'X-Topic': 'a', ...headers },
        ...(agent === undefined ? {} : { agent }),
      },
      (response) => {
        const chunks: Buffer[] = []
        response.on('data', (chunk) => chunks.push(chunk))
        response.on('end', () => {
          const text = Buffer.concat(chunks).toString()
          resolve({
            status: response.statusCode ?? 0,
            headers: response.headers,
            body: text,
            problem: text === '' ? {} : JSON.parse(text),
          } as Answer)
        })
      },
    )
    request.on('error', reject)
    request.end(body)
  })
}

/** A request up to its body, for tests that write the rest themselves. */
export function head(headers: readonly string[], method = 'POST'): string {
  const lines = [
    `${method} /networks/rest HTTP/1.1`,
    'Host: x',
    `X-Secret: ${TOKEN}`,
    'X-Topic: a',
    ...headers,
  ]
  return `${lines.join('\r\n')}\r\n\r\n`
}
