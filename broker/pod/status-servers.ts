import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'

export interface StatusSources {
  /** Prometheus text. */
  metrics(): Promise<string>
  /** undefined: ready; else why not, for people. */
  unready(): string | undefined
}

export interface StatusServers {
  ports: { metrics: number; health: number }
  stop(): Promise<void>
}

type Answer = readonly [status: number, type: string, body: string]

const TEXT = 'text/plain; charset=utf-8'
const PROMETHEUS = 'text/plain; version=0.0.4; charset=utf-8'
/** These ports answer in milliseconds: whoever takes longer only holds a socket. */
const REQUEST_TIMEOUT_MS = 5_000
const MAX_CONNECTIONS = 64

/**
 * `/metrics` on one port, `/livez` (also `/healthz`) and `/readyz` on the other. Alive is who answers: what a
 * broker waits for is not cured by a restart.
 */
export async function startStatusServers(
  { bind, ports }: { bind: string; ports: { metrics: number; health: number } },
  sources: StatusSources,
): Promise<StatusServers> {
  const health = (path: string): Answer | undefined => {
    if (path === '/livez' || path === '/healthz') return [200, TEXT, 'ok\n']
    if (path !== '/readyz') return undefined
    const reason = sources.unready()
    return reason === undefined ? [200, TEXT, 'ok\n'] : [503, TEXT, `${reason}\n`]
  }
  const metrics = async (path: string): Promise<Answer | undefined> =>
    path === '/metrics' ? [200, PROMETHEUS, await sources.metrics()] : health(path)
  const first = await listen(bind, ports.metrics, metrics)
  const second = await listen(bind, ports.health, async (path) => health(path)).catch(
    async (error: unknown) => {
      await close(first)
      throw error
    },
  )
  return {
    ports: { metrics: portOf(first), health: portOf(second) },
    async stop() {
      await Promise.all([close(first), close(second)])
    },
  }
}

async function listen(
  host: string,
  port: number,
  answer: (path: string) => Promise<Answer | undefined>,
): Promise<Server> {
  const server = createServer((request, response) => void serve(request, response, answer))
  server.requestTimeout = REQUEST_TIMEOUT_MS
  server.headersTimeout = REQUEST_TIMEOUT_MS
  server.maxConnections = MAX_CONNECTIONS
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(port, host, resolve)
  })
  return server
}

async function serve(
  request: IncomingMessage,
  response: ServerResponse,
  answer: (path: string) => Promise<Answer | undefined>,
): Promise<void> {
  try {
    const path = (request.url ?? '/').split('?', 1)[0]!
    const allowed = request.method === 'GET' || request.method === 'HEAD'
    const [status, type, body] = allowed ? ((await answer(path)) ?? [404, TEXT, '']) : [405, TEXT, '']
    response.writeHead(status, { 'content-type': type, ...(allowed ? {} : { allow: 'GET, HEAD' }) }).end(body)
  } catch {
    // A collector of a metric threw: the scrape fails, the process goes on.
    if (!response.headersSent) response.writeHead(500)
    response.end()
  }
}

const portOf = (server: Server): number => (server.address() as AddressInfo).port

async function close(server: Server): Promise<void> {
  const closed = new Promise((resolve) => server.close(resolve))
  server.closeAllConnections()
  await closed
}
