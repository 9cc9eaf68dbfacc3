import type { Socket } from 'node:net'
import type { WebSocket } from 'ws'
import type { EventCode } from '../../contract/hub-event.ts'
import type { Transport, TransportHandlers } from '../wire/transport.ts'
import { bytesTaken, END_TIMEOUT_MS, ignore } from './socket-transport.ts'

/** RFC 6455 §7.4.1. */
const NORMAL = 1000
const UNSUPPORTED_DATA = 1003

/** MQTT in binary WebSocket messages; packets and messages need not line up [MQTT-6.0.0-2]. */
export class WebSocketTransport implements Transport {
  readonly #webSocket: WebSocket
  readonly #wire: Socket
  #ending: NodeJS.Timeout | undefined

  /** `wire` is the TCP socket below it. */
  constructor(webSocket: WebSocket, wire: Socket) {
    this.#webSocket = webSocket
    this.#wire = wire
  }

  get pendingBytes(): number {
    return this.#webSocket.bufferedAmount
  }

  get flushedBytes(): number {
    return bytesTaken(this.#wire)
  }

  write(chunk: Buffer): void {
    if (this.#webSocket.readyState !== this.#webSocket.OPEN) return
    this.#webSocket.send(chunk, { binary: true, compress: false }, ignore)
  }

  pause(): void {
    this.#webSocket.pause()
  }

  resume(): void {
    this.#webSocket.resume()
  }

  end(): void {
    this.endWith(NORMAL)
  }

  /** Closes with a WebSocket status; the peer has 2 s to agree. */
  endWith(status: number): void {
    this.#webSocket.resume()
    this.#webSocket.close(status)
    this.boundEnd()
  }

  /** Cuts the connection in 2 s if it is still there. */
  boundEnd(): void {
    if (this.#ending !== undefined) return
    this.#ending = setTimeout(() => this.destroy(), END_TIMEOUT_MS)
    this.#wire.once('close', () => clearTimeout(this.#ending))
  }

  destroy(): void {
    this.#webSocket.terminate()
  }
}

export interface WebSocketFault {
  code: EventCode
  detail: string
}

interface FeedOptions {
  webSocket: WebSocket
  transport: WebSocketTransport
  /** Below the WebSocket: TCP or TLS. */
  socket: Socket
  handlers: TransportHandlers
  onFault: (fault: WebSocketFault) => void
  /** Runs a handler and survives it. */
  guard: (run: () => void) => void
}

/** Connects what arrives with the handlers of its link. */
export function feedWebSocket(options: FeedOptions): void {
  const { webSocket, transport, socket, handlers, onFault, guard } = options
  webSocket.on('message', (data: Buffer, isBinary: boolean) => {
    if (webSocket.readyState !== webSocket.OPEN) return
    if (isBinary) {
      guard(() => handlers.onData(data))
      return
    }
    // [MQTT-6.0.0-1]: anything but a binary frame closes the connection.
    onFault({ code: 'PROTOCOL_ERROR', detail: 'a text message on a WebSocket' })
    transport.endWith(UNSUPPORTED_DATA)
  })
  webSocket.on('error', (error: NodeJS.ErrnoException) => {
    onFault(faultOf(error))
    // ws has answered with the status of the fault already.
    transport.boundEnd()
  })
  // Not the 'close' of ws, which waits until it has read what it holds.
  socket.once('close', () => guard(() => handlers.onClose()))
}

const TOO_LARGE = new Set([
  'WS_ERR_UNSUPPORTED_MESSAGE_LENGTH',
  'WS_ERR_UNSUPPORTED_DATA_PAYLOAD_LENGTH',
  'WS_ERR_TOO_MANY_BUFFERED_PARTS',
])

function faultOf({ code = 'unknown fault' }: NodeJS.ErrnoException): WebSocketFault {
  return { code: TOO_LARGE.has(code) ? 'PACKET_TOO_LARGE' : 'PACKET_MALFORMED', detail: `WebSocket: ${code}` }
}
