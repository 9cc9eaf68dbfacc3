/** MQTT straight on TCP or TLS: `mqtt` and `mqtts`. */
import { createServer as createTcpServer, type Socket } from 'node:net'
import { createServer as createTlsServer } from 'node:tls'
import type { Gate } from './gate.ts'
import type { ListenerHost } from './listener-host.ts'
import { feed, guarded, SocketTransport } from './socket-transport.ts'
import { serverOptions, type TlsMaterial } from './tls-context.ts'

/** First probe of a silent peer, for those that asked for no MQTT keep-alive and vanished without a word. */
const KEEP_ALIVE_DELAY_MS = 60_000

export const SOCKET_OPTIONS = {
  noDelay: true,
  keepAlive: true,
  keepAliveInitialDelay: KEEP_ALIVE_DELAY_MS,
} as const

export const createLinkServer = (tls: TlsMaterial | undefined) =>
  tls === undefined
    ? createTcpServer(SOCKET_OPTIONS)
    : createTlsServer({ ...SOCKET_OPTIONS, ...serverOptions(tls, 'AskCertificate') })

/** Hands every socket that is ready for MQTT to the host. */
export function serveLinks(gate: Gate, host: ListenerHost): void {
  gate.server.on(gate.encrypted ? 'secureConnection' : 'connection', (socket: Socket) => {
    const arrival = gate.arrivalOf(socket)
    if (arrival === undefined || socket.destroyed) return
    const open = () => {
      const transport = new SocketTransport(socket, arrival.place.socket)
      feed(socket, host.openLink(gate.factsOf(socket, arrival), transport, arrival.place), host.logger)
    }
    guarded(open, socket, host.logger)
  })
}
