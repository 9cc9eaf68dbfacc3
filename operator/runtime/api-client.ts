/**
 * Requests to one API server. Clusters, credentials and proxies are client-node's affair, connections our own:
 * client-node 2.0.1 makes a new TLS connection for each request, which at thousands of objects is most of the cost
 * of a request.
 */
import type { IncomingMessage } from 'node:http'
import * as http from 'node:http'
import * as https from 'node:https'
import { ApiError, TransportError } from './api-error.ts'
import type { ClusterAccess } from './cluster-access.ts'
import { openWire, readAll, type WireOptions } from './http-wire.ts'
import type { ApiStatus } from './resource.ts'

export type Method = 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE'

export interface ApiRequest {
  method: Method
  /** Path below the server's URL, as `resourcePath` forms it. */
  path: string
  query?: Readonly<Record<string, string | number | boolean | undefined>>
  /** Sent as JSON. */
  body?: unknown
  /** Names the kind of patch; default `application/json`. */
  contentType?: string
  accept?: string
  /** Ends the request at once, sent or not; the caller gets the signal's reason. */
  signal?: AbortSignal
  /** ms until the whole answer must be here (streams: until its head is). */
  timeoutMs?: number
  /** Runs in the tick in which the first byte leaves; throwing ends the request unsent. */
  beforeSend?: () => void
}

export interface ApiResponse<T> {
  status: number
  body: T
}

/** What the rest of the runtime needs of an API server; `guardWrites` wraps it. */
export interface ApiClient {
  /** Rejects with ApiError when the server refuses, TransportError when no answer came. */
  request<T>(request: ApiRequest): Promise<ApiResponse<T>>
  /** An answer to be read as it comes (watch). The caller destroys it. */
  stream(request: ApiRequest): Promise<IncomingMessage>
  close(): void
}

export interface RequestFacts {
  method: Method
  host: string
  /** HTTP status, or `<error>` when none came. */
  code: string
  seconds: number
}

export interface ApiClientOptions {
  /** A KubeConfig of client-node, or what `loadClusterAccess` found. */
  kubeConfig: ClusterAccess
  userAgent?: string
  /** ms for one request when it names none. Default 30,000. */
  timeoutMs?: number
  /** Connections for ordinary requests; more wait their turn. Watches are not counted. Default 32. */
  maxConnections?: number
  /** Bytes of one answer. A page of 500 large objects fits; a runaway body does not fill the memory. */
  maxBodyBytes?: number
  onDone?: (facts: RequestFacts) => void
}

interface Settings extends Required<ApiClientOptions> {
  server: URL
  agent: http.Agent | https.Agent
  /** Watches hold a connection for minutes, so they never wait for one or take one from requests. */
  streamAgent: http.Agent | https.Agent
}

/** Throws when the kubeconfig has no current cluster. Opens no connection yet. */
export function createApiClient(options: ApiClientOptions): ApiClient {
  const cluster = options.kubeConfig.getCurrentCluster()
  if (!cluster) throw new Error('kubeconfig: expected a current context with a cluster, got none')
  const server = new URL(cluster.server)
  const Agent = server.protocol === 'http:' ? http.Agent : https.Agent
  const settings: Settings = {
    userAgent: 'hublet',
    timeoutMs: 30_000,
    maxConnections: 32,
    maxBodyBytes: 256 * 1024 * 1024,
    onDone: () => {},
    ...options,
    server,
    agent: new Agent({ keepAlive: true, maxSockets: options.maxConnections ?? 32, scheduling: 'lifo' }),
    streamAgent: new Agent({ keepAlive: false }),
  }
  return {
    request: (request) => send(settings, request),
    stream: (request) => openStream(settings, request),
    close() {
      settings.agent.destroy()
      settings.streamAgent.destroy()
    },
  }
}

async function send<T>(settings: Settings, request: ApiRequest): Promise<ApiResponse<T>> {
  const started = performance.now()
  let code = '<error>'
  const wire = openWire(await wireOptions(settings, request, settings.agent))
  try {
    const response = await wire.head
    code = String(response.statusCode)
    const text = await readAll(response, settings.maxBodyBytes)
    const status = response.statusCode ?? 0
    if (status >= 400) throw refusal(request, response, text)
    return { status, body: parseJson<T>(request, text) }
  } catch (error) {
    throw wire.explain(error)
  } finally {
    wire.release()
    settings.onDone(facts(settings, request, code, started))
  }
}

async function openStream(settings: Settings, request: ApiRequest): Promise<IncomingMessage> {
  const started = performance.now()
  let code = '<error>'
  const wire = openWire(await wireOptions(settings, request, settings.streamAgent))
  try {
    const response = await wire.head
    code = String(response.statusCode)
    if ((response.statusCode ?? 0) < 400) {
      wire.handOver()
      return response
    }
    throw refusal(request, response, await readAll(response, settings.maxBodyBytes))
  } catch (error) {
    throw wire.explain(error)
  } finally {
    wire.release()
    settings.onDone(facts(settings, request, code, started))
  }
}

const facts = (settings: Settings, request: ApiRequest, code: string, started: number): RequestFacts => ({
  method: request.method,
  host: settings.server.host,
  code,
  seconds: (performance.now() - started) / 1000,
})

async function wireOptions(
  settings: Settings,
  request: ApiRequest,
  agent: http.Agent | https.Agent,
): Promise<WireOptions> {
  request.signal?.throwIfAborted()
  const options: https.RequestOptions = {}
  // Reads rotated tokens and client certificates again, so each request goes out with the current ones.
  await settings.kubeConfig.applyToHTTPSOptions(options)
  request.signal?.throwIfAborted()
  if (!settings.kubeConfig.getCurrentCluster()?.proxyUrl) options.agent = agent
  options.method = request.method
  options.headers = {
    ...options.headers,
    'user-agent': settings.userAgent,
    accept: request.accept ?? 'application/json',
    ...(request.body === undefined ? {} : { 'content-type': request.contentType ?? 'application/json' }),
  }
  return {
    url: url(settings.server, request),
    options,
    body: request.body === undefined ? undefined : JSON.stringify(request.body),
    where: `${request.method} ${request.path}`,
    timeoutMs: request.timeoutMs ?? settings.timeoutMs,
    signal: request.signal,
    beforeSend: request.beforeSend ?? (() => {}),
  }
}

function url(server: URL, request: ApiRequest): URL {
  const target = new URL(server.href.replace(/\/$/, '') + request.path)
  for (const [name, value] of Object.entries(request.query ?? {})) {
    if (value !== undefined) target.searchParams.set(name, String(value))
  }
  return target
}

function parseJson<T>(request: ApiRequest, text: string): T {
  try {
    return JSON.parse(text) as T
  } catch (error) {
    throw new TransportError(
      'BAD_BODY',
      `${request.method} ${request.path} was not answered with JSON`,
      error,
    )
  }
}

function refusal(request: ApiRequest, response: IncomingMessage, text: string): ApiError {
  const status = response.statusCode ?? 0
  return new ApiError(
    `${request.method} ${request.path}`,
    status,
    parseStatus(text),
    retryAfterMs(response.headers['retry-after']),
  )
}

/** A proxy in between answers with HTML or nothing; only the API's own Status is taken over. */
function parseStatus(text: string): ApiStatus | undefined {
  try {
    const body: unknown = JSON.parse(text)
    const isStatus = typeof body === 'object' && body !== null && 'kind' in body && body.kind === 'Status'
    return isStatus ? (body as ApiStatus) : undefined
  } catch {
    return undefined
  }
}

/** RFC 9110 §10.2.3: seconds, or an HTTP date. Undefined when absent or unreadable. */
export function retryAfterMs(header: string | undefined, now: number = Date.now()): number | undefined {
  if (header === undefined) return undefined
  if (/^\d+$/.test(header.trim())) return Number(header) * 1000
  const date = Date.parse(header)
  return Number.isNaN(date) ? undefined : Math.max(0, date - now)
}
