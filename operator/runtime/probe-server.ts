import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Registry } from 'prom-client'
import type { Health, HealthReport } from './health.ts'

export interface ListenAddress {
  host: string
  /** 0: any that is free. */
  port: number
}

export interface RunningServer {
  port: number
  stop(): Promise<void>
}

type Handler = (request: IncomingMessage, response: ServerResponse) => void | Promise<void>

/** Time for a whole request: these ports answer in milliseconds, so whoever takes longer only holds a socket. */
const REQUEST_TIMEOUT_MS = 5_000
const MAX_CONNECTIONS = 64

/** Serves `/livez` and `/readyz`: 200 or 503, one line of text for each check. */
export function startProbeServer(address: ListenAddress, health: Health): Promise<RunningServer> {
  const answer = (response: ServerResponse, { ok, text }: HealthReport) => {
    response.writeHead(ok ? 200 : 503, { 'content-type': 'text/plain; charset=utf-8' }).end(text)
  }
  return listen(address, (request, response) => {
    const { pathname } = new URL(request.url ?? '/', 'http://probe')
    if (pathname === '/livez') answer(response, health.live())
    else if (pathname === '/readyz') answer(response, health.ready())
    else response.writeHead(404).end()
  })
}

/** Serves `/metrics` in Prometheus' text format. */
export function startMetricsServer(address: ListenAddress, registry: Registry): Promise<RunningServer> {
  return listen(address, async (request, response) => {
    const { pathname } = new URL(request.url ?? '/', 'http://metrics')
    if (pathname !== '/metrics') {
      response.writeHead(404).end()
      return
    }
    const text = await registry.metrics()
    response.writeHead(200, { 'content-type': registry.contentType }).end(text)
  })
}

async function listen({ host, port }: ListenAddress, handler: Handler): Promise<RunningServer> {
  const server = createServer((request, response) => void serve(handler, request, response))
  server.requestTimeout = REQUEST_TIMEOUT_MS
  server.headersTimeout = REQUEST_TIMEOUT_MS
  server.maxConnections = MAX_CONNECTIONS
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(port, host, resolve)
  })
  return { port: (server.address() as AddressInfo).port, stop: () => close(server) }
}

async function serve(handler: Handler, request: IncomingMessage, response: ServerResponse): Promise<void> {
  try {
    if (request.method !== 'GET' && request.method !== 'HEAD') {
      response.writeHead(405, { allow: 'GET, HEAD' }).end()
      return
    }
    await handler(request, response)
  } catch {
    // A malformed target, or a metric whose collector threw: the probe fails, the process goes on.
    if (!response.headersSent) response.writeHead(500)
    response.end()
  }
}

async function close(server: Server): Promise<void> {
  const closed = new Promise((resolve) => server.close(resolve))
  server.closeAllConnections()
  await closed
}
