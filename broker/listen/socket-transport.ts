import type { Socket } from 'node:net'
import type { Logger } from 'pino'
import type { Transport, TransportHandlers } from '../wire/transport.ts'

/** How long a peer that reads nothing may hold a link that we have ended. */
export const END_TIMEOUT_MS = 2_000

/** What libuv knows of a stream. Not public, so every use has a fallback, and a test fails should it go. */
interface StreamHandle {
  bytesWritten?: number
  writeQueueSize?: number
}

/**
 * Bytes the kernel has taken from `socket`, which is the TCP socket also under TLS: then they count records and
 * the handshake, but grow exactly as the peer reads. `bytesWritten` alone counts what libuv still queues, and
 * `writableLength` only falls when a whole write is done: a reader on a slow line would look frozen for as long
 * as one large message takes.
 */
export function bytesTaken(socket: Socket): number {
  const handle = (socket as Socket & { _handle?: StreamHandle | null })._handle
  if (handle?.bytesWritten === undefined || handle.writeQueueSize === undefined) {
    return Math.max(0, socket.bytesWritten - socket.writableLength)
  }
  return handle.bytesWritten - handle.writeQueueSize
}

/** TCP or TLS. */
export class SocketTransport implements Transport {
  readonly #socket: Socket
  readonly #wire: Socket

  /** `socket` carries MQTT; `wire` is the TCP socket below it, the same one without TLS. */
  constructor(socket: Socket, wire: Socket) {
    this.#socket = socket
    this.#wire = wire
  }

  get pendingBytes(): number {
    return this.#socket.writableLength
  }

  get flushedBytes(): number {
    return bytesTaken(this.#wire)
  }

  write(chunk: Buffer): void {
    // Writing after `end` would be an error that cuts off what is still on its way.
    if (this.#socket.writable) this.#socket.write(chunk)
  }

  pause(): void {
    this.#socket.pause()
  }

  resume(): void {
    this.#socket.resume()
  }

  end(): void {
    const socket = this.#socket
    if (socket.destroyed) return
    const timer = setTimeout(() => socket.destroy(), END_TIMEOUT_MS)
    socket.once('close', () => clearTimeout(timer))
    // Read and forget: bytes left unread turn our last packet into a reset, and hide the peer's own end.
    socket.removeAllListeners('data')
    socket.resume()
    socket.end()
  }

  destroy(): void {
    this.#socket.destroy()
  }
}

/** Connects what arrives on `socket` with the handlers of its link. */
export function feed(socket: Socket, handlers: TransportHandlers, logger: Logger): void {
  // Whatever goes wrong on a socket ends in 'close', which is all a link has to know.
  socket.on('error', ignore)
  socket.on('data', (chunk: Buffer) => guarded(() => handlers.onData(chunk), socket, logger))
  socket.once('close', () => guarded(() => handlers.onClose(), socket, logger))
}

/** A fault in our own code costs the link that met it, not the process with all others. */
export function guarded(run: () => void, socket: { destroy(): unknown }, logger: Logger): void {
  try {
    run()
  } catch (error) {
    logger.error({ err: error }, 'a link is cut because of a fault in its handler')
    socket.destroy()
  }
}

export function ignore(): void {}
