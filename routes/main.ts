/**
 * The process of the `routes` container in a broker pod: alive, and moving nothing yet. It is there from the start so
 * that a first Route restarts no pod.
 */
import { createServer, type Server } from 'node:http'
import { pino } from 'pino'
import { collectDefaultMetrics, Registry } from 'prom-client'
import { POD_ENV, POD_PORTS } from '../contract/broker-pod.ts'

const REQUEST_TIMEOUT_MS = 5_000

const env = (name: string): string => process.env[name] ?? ''
const logger = pino({
  level: env(POD_ENV.logLevel) || 'info',
  base: { hub: env(POD_ENV.hubName), namespace: env(POD_ENV.hubNamespace), pod: env(POD_ENV.podName) },
})
const registry = new Registry()
collectDefaultMetrics({ register: registry })

const servers = [
  await listen(POD_PORTS.routesHealth, '/livez', async () => 'ok\n'),
  await listen(POD_PORTS.routesMetrics, '/metrics', () => registry.metrics()),
]
logger.info('this version of the route worker moves no messages')
for (const signal of ['SIGTERM', 'SIGINT'] as const) {
  process.once(signal, () => {
    for (const server of servers) {
      server.close()
      server.closeAllConnections()
    }
  })
}

/** Answers GET of one path with text. */
async function listen(port: number, path: string, text: () => Promise<string>): Promise<Server> {
  const server = createServer((request, response) => {
    if (request.method !== 'GET' || request.url !== path) response.writeHead(404).end()
    else
      text().then(
        (body) => response.end(body),
        () => response.writeHead(500).end(),
      )
  })
  server.requestTimeout = REQUEST_TIMEOUT_MS
  server.headersTimeout = REQUEST_TIMEOUT_MS
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(port, resolve)
  })
  return server
}
