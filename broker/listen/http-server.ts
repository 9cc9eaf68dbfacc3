/** What every HTTP listener has in common: bounds, and answers to what is no HTTP. */
import { createServer as createHttpServer, type Server, type ServerOptions } from 'node:http'
import { createServer as createHttpsServer } from 'node:https'
import type { Duplex } from 'node:stream'
import { type Problem, writeProblem } from './problem.ts'
import { END_TIMEOUT_MS } from './socket-transport.ts'
import { serverOptions, type TlsMaterial } from './tls-context.ts'

/** A client has this long for its headers, and for the whole request, however it drips. */
export const HEADERS_TIMEOUT_MS = 10_000
export const REQUEST_TIMEOUT_MS = 30_000
const KEEP_ALIVE_TIMEOUT_MS = 30_000
const CHECK_INTERVAL_MS = 2_000
const MAX_HEADER_BYTES = 16 * 1024
const MAX_HEADERS = 100
/** Then the connection is closed, so that load balancers spread clients that never let go of theirs. */
const MAX_REQUESTS_PER_SOCKET = 10_000

export function createWebServer(
  tls: TlsMaterial | undefined,
  clients: 'AskCertificate' | 'AskNothing',
): Server {
  const options: ServerOptions = {
    noDelay: true,
    headersTimeout: HEADERS_TIMEOUT_MS,
    requestTimeout: REQUEST_TIMEOUT_MS,
    keepAliveTimeout: KEEP_ALIVE_TIMEOUT_MS,
    connectionsCheckingInterval: CHECK_INTERVAL_MS,
    maxHeaderSize: MAX_HEADER_BYTES,
  }
  const server =
    tls === undefined
      ? createHttpServer(options)
      : createHttpsServer({ ...options, ...serverOptions(tls, clients) })
  server.maxHeadersCount = MAX_HEADERS
  server.maxRequestsPerSocket = MAX_REQUESTS_PER_SOCKET
  server.on('clientError', answerClientError)
  return server
}

const CLIENT_PROBLEMS: Record<string, Problem> = {
  HPE_HEADER_OVERFLOW: {
    status: 431,
    code: 'HEADERS_TOO_LARGE',
    detail: `the headers are larger than ${MAX_HEADER_BYTES} bytes`,
  },
  ERR_HTTP_REQUEST_TIMEOUT: {
    status: 408,
    code: 'REQUEST_TIMEOUT',
    detail: `a request has to arrive within ${REQUEST_TIMEOUT_MS / 1000} s, its headers within ${HEADERS_TIMEOUT_MS / 1000} s`,
  },
}
const NOT_HTTP: Problem = { status: 400, code: 'BAD_REQUEST', detail: 'this is no HTTP request' }

function answerClientError(error: NodeJS.ErrnoException, socket: Duplex): void {
  // A failed TLS handshake comes here as well, its socket already destroyed by the gate.
  if (socket.destroyed) return
  writeProblem(socket, CLIENT_PROBLEMS[error.code ?? ''] ?? NOT_HTTP)
  // Whoever dripped for so long will not read the answer either.
  const timer = setTimeout(() => socket.destroy(), END_TIMEOUT_MS)
  socket.once('close', () => clearTimeout(timer))
  socket.resume()
}
