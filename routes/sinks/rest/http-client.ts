/**
 * One HTTP request with bounds: allowed addresses only, few redirects, no more of an answer than is wanted.
 * undici's own redirects are not used: headers with secrets must not follow to another origin.
 */
import { Agent, type Dispatcher, request } from 'undici'
import type { Egress } from '../../net/egress.ts'
import { connectionFailure } from '../connection-failure.ts'
import { type SinkFailure, transient, unavailable } from '../sink.ts'

export interface HttpRequest {
  method: Dispatcher.HttpMethod
  url: URL
  /** Go with every request, redirected or not. */
  headers: Readonly<Record<string, string>>
  /** May hold secrets: stay with the origin of `url`. */
  ownHeaders: Readonly<Record<string, string>>
  body: Buffer
}

export interface HttpAnswer {
  status: number
  /** Of a name in lower case; the first when there are several. */
  header(name: string): string | undefined
  /** Undefined: longer than what was asked for. */
  body: Buffer | undefined
}

export interface HttpClient {
  /** `wants` tells from status and headers how many bytes of the answer are of interest. */
  send(
    request: HttpRequest,
    options: { signal: AbortSignal; wants: (answer: Omit<HttpAnswer, 'body'>) => number },
  ): Promise<HttpAnswer | SinkFailure>
  close(): Promise<void>
}

const MAX_REDIRECTS = 3
const CONNECT_TIMEOUT_MS = 10_000
const KEEP_ALIVE_MS = 30_000
/** Read and thrown away so that the connection can be used again; of a longer answer the connection is closed. */
const LEFTOVER_BYTES = 64 * 1024

interface ClientOptions {
  egress: Egress
  /** PEM; the system's certificates when left out. */
  ca: string | undefined
  connections: number
}

export function createHttpClient({ egress, ca, connections }: ClientOptions): HttpClient {
  const agent = new Agent({
    connections,
    pipelining: 1,
    keepAliveTimeout: KEEP_ALIVE_MS,
    // The signal of the delivery is the one time limit.
    headersTimeout: 0,
    bodyTimeout: 0,
    connect: { lookup: egress.lookup, timeout: CONNECT_TIMEOUT_MS, ...(ca === undefined ? {} : { ca }) },
  })
  return {
    async send(first, options) {
      let current = first
      for (let redirects = 0; ; redirects += 1) {
        const answer = await exchange(agent, egress, current, options)
        if ('ok' in answer || answer.status < 300 || answer.status >= 400) return answer
        const next = redirected(current, answer, redirects)
        if ('ok' in next) return next
        current = next
      }
    },
    close: async () => await agent.destroy(),
  }
}

async function exchange(
  agent: Agent,
  egress: Egress,
  { method, url, headers, ownHeaders, body }: HttpRequest,
  { signal, wants }: Parameters<HttpClient['send']>[1],
): Promise<HttpAnswer | SinkFailure> {
  try {
    egress.checkHost(url.hostname)
    const response = await request(url, {
      dispatcher: agent,
      method,
      headers: { ...ownHeaders, ...headers },
      body: body.length === 0 ? null : body,
      signal,
    })
    const answer = { status: response.statusCode, header: (name: string) => firstOf(response.headers[name]) }
    return { ...answer, body: await readBody(response.body, wants(answer), signal) }
  } catch (error) {
    if (signal.aborted) return transient({ code: 'TIMEOUT', message: 'no answer in time' })
    const { code } = error as NodeJS.ErrnoException
    return (
      connectionFailure(error) ?? transient({ code: 'HTTP_FAILED', message: `no valid answer (${code})` })
    )
  }
}

async function readBody(
  body: Dispatcher.ResponseData['body'],
  most: number,
  signal: AbortSignal,
): Promise<Buffer | undefined> {
  if (most === 0) {
    await body.dump({ limit: LEFTOVER_BYTES, signal })
    return Buffer.alloc(0)
  }
  const chunks: Buffer[] = []
  let length = 0
  for await (const chunk of body as AsyncIterable<Buffer>) {
    length += chunk.length
    // Leaving the loop closes the connection: there may be no end of it.
    if (length > most) return undefined
    chunks.push(chunk)
  }
  return Buffer.concat(chunks)
}

function redirected(from: HttpRequest, answer: HttpAnswer, redirects: number): HttpRequest | SinkFailure {
  const refuse = (why: string) =>
    unavailable({ code: 'HTTP_REDIRECT', message: `the redirect (${answer.status}) ${why}` })
  if (redirects >= MAX_REDIRECTS) return refuse(`is one more than ${MAX_REDIRECTS}`)
  const keepsBody = answer.status === 307 || answer.status === 308
  if (!keepsBody && (from.method !== 'GET' || answer.status === 304))
    return refuse('would lose the message: only 307 and 308 keep method and body')
  const location = answer.header('location')
  if (location === undefined || !URL.canParse(location, from.url.href)) return refuse('leads nowhere')
  const url = new URL(location, from.url.href)
  const isWeb = url.protocol === 'https:' || (url.protocol === 'http:' && from.url.protocol === 'http:')
  if (!isWeb) return refuse('leads away from https')
  return { ...from, url, ownHeaders: url.origin === from.url.origin ? from.ownHeaders : {} }
}

const firstOf = (value: string | string[] | undefined) => (Array.isArray(value) ? value[0] : value)
