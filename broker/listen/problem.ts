/** Error answers of the HTTP listeners: RFC 9457 problems. */
import { type IncomingMessage, type ServerResponse, STATUS_CODES } from 'node:http'
import type { Duplex } from 'node:stream'
import { discardBody } from './request-body.ts'

export interface Problem {
  status: number
  /** Stable, for programs. */
  code: string
  /** What was expected and what came; identifiers only, never a secret. */
  detail: string
  headers?: Readonly<Record<string, string>>
}

const CONTENT_TYPE = 'application/problem+json'

function bodyOf({ status, code, detail }: Problem): string {
  // `about:blank`: the title says no more than the status, `code` is what to match on.
  return JSON.stringify({ type: 'about:blank', title: STATUS_CODES[status], status, detail, code })
}

/**
 * Answers with a problem. A request whose body is not read to its end closes the connection: what is left of it
 * would else have to be read, just to find where the next request begins. Resolves when the answer is handed
 * over; never rejects.
 */
export async function sendProblem(
  request: IncomingMessage,
  response: ServerResponse,
  problem: Problem,
): Promise<void> {
  if (response.headersSent || response.destroyed) return
  const body = bodyOf(problem)
  if (!request.complete) response.shouldKeepAlive = false
  response.writeHead(problem.status, {
    'Content-Type': CONTENT_TYPE,
    'Content-Length': Buffer.byteLength(body),
    'Cache-Control': 'no-store',
    ...problem.headers,
  })
  // Whole for the client by its length, but not ended: ending would close, and closing on unread bytes resets
  // the connection, which can overtake the answer.
  response.write(body)
  await discardBody(request)
  response.end()
}

/** For sockets that have no response object: refused upgrades and requests that can't be parsed. */
export function writeProblem(socket: Duplex, problem: Problem): void {
  if (!socket.writable) {
    socket.destroy()
    return
  }
  const body = bodyOf(problem)
  const lines = [
    `HTTP/1.1 ${problem.status} ${STATUS_CODES[problem.status]}`,
    'Connection: close',
    `Content-Type: ${CONTENT_TYPE}`,
    `Content-Length: ${Buffer.byteLength(body)}`,
    ...Object.entries(problem.headers ?? {}).map(([name, value]) => `${name}: ${value}`),
  ]
  socket.end(`${lines.join('\r\n')}\r\n\r\n${body}`)
}
