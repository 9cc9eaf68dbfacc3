/** One HTTP request and its answer, with every wait bounded and every failure named. */
import type { IncomingMessage } from 'node:http'
import * as http from 'node:http'
import * as https from 'node:https'
import { TLSSocket } from 'node:tls'
import { TransportError } from './api-error.ts'

/** One request on the wire, bounded by its time-out and its signal. */
export interface Wire {
  head: Promise<IncomingMessage>
  /** The cause behind what Node reports: after a destroy it only says that the connection was reset. */
  explain(error: unknown): unknown
  /** From now on the reader bounds the answer: neither time-out nor release ends it. */
  handOver(): void
  /** Lets go of timer, signal and, when the answer was not read to its end, connection. */
  release(): void
}

export interface WireOptions {
  url: URL
  options: https.RequestOptions
  body: string | undefined
  /** Method and path, for messages. */
  where: string
  timeoutMs: number
  signal: AbortSignal | undefined
  /** Runs in the tick in which the first byte leaves; throwing ends the request unsent. */
  beforeSend: () => void
}

export function openWire(options: WireOptions): Wire {
  const { where, timeoutMs, signal } = options
  const transport = options.url.protocol === 'http:' ? http : https
  const wire = transport.request(options.url, options.options)
  let cause: Error | undefined
  const end = (why: Error) => {
    cause ??= why
    wire.destroy(why)
  }
  const head = new Promise<IncomingMessage>((resolve, reject) => {
    wire.once('response', resolve)
    wire.on('error', reject)
  })
  const timer = setTimeout(() => end(new TransportError('TIMEOUT', `${where}, ${timeoutMs} ms`)), timeoutMs)
  const abort = () => end(asError(signal?.reason))
  signal?.addEventListener('abort', abort, { once: true })
  let keep = false
  sendWhenConnected(wire, options, end)
  return {
    head,
    explain: (error) => cause ?? asTransportError(where, error),
    handOver() {
      keep = true
    },
    release() {
      clearTimeout(timer)
      signal?.removeEventListener('abort', abort)
      head.then(
        (response) => !keep && !response.complete && wire.destroy(),
        () => {},
      )
    },
  }
}

const asError = (value: unknown): Error => (value instanceof Error ? value : new Error(String(value)))

function asTransportError(where: string, error: unknown): unknown {
  const code = error instanceof Error && 'code' in error ? String(error.code) : undefined
  if (code === undefined || error instanceof TransportError) return error
  return new TransportError(code, where, error)
}

/**
 * Writes nothing until the connection stands, and asks `beforeSend` in the same tick as the first byte leaves: a
 * request that waited for a free connection, or for a slow handshake, must not go out on permission given before.
 */
function sendWhenConnected(
  wire: http.ClientRequest,
  { body, beforeSend }: WireOptions,
  end: (why: Error) => void,
): void {
  if (body !== undefined) wire.setHeader('content-length', Buffer.byteLength(body))
  const write = () => {
    if (wire.destroyed) return
    try {
      beforeSend()
      wire.end(body)
    } catch (error) {
      end(asError(error))
    }
  }
  wire.once('socket', (socket) => {
    if (socket instanceof TLSSocket && isHandshaking(socket)) socket.once('secureConnect', write)
    else if (socket.connecting) socket.once('connect', write)
    else write()
  })
}

/** A socket fresh from an agent has not begun; one of a proxy may be connected and still shaking hands. */
const isHandshaking = (socket: TLSSocket): boolean =>
  socket.connecting || ('secureConnecting' in socket && socket.secureConnecting === true)

/** The whole answer as text; rejects with TOO_LARGE beyond `maxBytes`. */
export async function readAll(response: IncomingMessage, maxBytes: number): Promise<string> {
  const chunks: Buffer[] = []
  let size = 0
  for await (const chunk of response as AsyncIterable<Buffer>) {
    size += chunk.length
    if (size > maxBytes) throw new TransportError('TOO_LARGE', `an answer of more than ${maxBytes} bytes`)
    chunks.push(chunk)
  }
  return Buffer.concat(chunks).toString('utf8')
}
