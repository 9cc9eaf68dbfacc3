/** MQTT on WebSocket: `ws` and `wss`, path `/mqtt`, sub-protocol `mqtt`. */
import type { IncomingMessage } from 'node:http'
import type { Socket } from 'node:net'
import type { TLSSocket } from 'node:tls'
import { type ServerOptions, type WebSocket, WebSocketServer } from 'ws'
import type { Arrival, Gate } from './gate.ts'
import type { ListenerHost } from './listener-host.ts'
import type { Place } from './pending-places.ts'
import { type Problem, sendProblem, writeProblem } from './problem.ts'
import { END_TIMEOUT_MS, guarded, ignore } from './socket-transport.ts'
import { feedWebSocket, type WebSocketFault, WebSocketTransport } from './web-socket-transport.ts'

const PATH = '/mqtt'
/** The second is what clients of MQTT 3.1 ask for, from before the name was settled. */
const PROTOCOLS = ['mqtt', 'mqttv3.1']
/** A message may hold several packets; beyond the largest packet, so much more of them. */
const MESSAGE_SLACK_BYTES = 1024 * 1024
/**
 * Before CONNECT is accepted. A message is held until it is whole, so without this bound every pending socket
 * could make us hold one of the full size.
 */
const MAX_PENDING_BYTES = 1024 * 1024

export interface WebSocketListener {
  /** Holds for new connections. Whatever the old ones send is still bounded, by the packet's own limit. */
  limitsChanged(): void
}

export function serveWebSockets(gate: Gate, host: ListenerHost): WebSocketListener {
  const webSockets = new WebSocketServer(webSocketOptions(host))
  gate.server.on('request', (request, response) => {
    response.shouldKeepAlive = false
    void sendProblem(request, response, problemOf(request))
  })
  gate.server.on('upgrade', (request: IncomingMessage, socket: Socket, head: Buffer) => {
    socket.on('error', ignore)
    const arrival = gate.arrivalOf(socket)
    if (arrival === undefined) {
      socket.destroy()
      return
    }
    const problem = upgradeProblem(request)
    if (problem !== undefined) {
      writeProblem(socket, problem)
      return
    }
    webSockets.handleUpgrade(request, socket, head, (webSocket) => {
      guarded(() => open(webSocket, { gate, host, arrival, socket }), socket, host.logger)
    })
  })
  return {
    limitsChanged() {
      webSockets.options.maxPayload = maxMessageBytes(host)
    },
  }
}

const maxMessageBytes = (host: ListenerHost) => host.hub().limits.payloadBytes + MESSAGE_SLACK_BYTES

function webSocketOptions(host: ListenerHost): ServerOptions {
  // Known to ws since 8.19, not yet to its types.
  const closeTimeout = { closeTimeout: END_TIMEOUT_MS }
  return {
    noServer: true,
    clientTracking: false,
    // A few bytes can inflate to gigabytes, and its contexts cost 300 KB a link.
    perMessageDeflate: false,
    maxPayload: maxMessageBytes(host),
    handleProtocols: (offered) => PROTOCOLS.find((name) => offered.has(name)) ?? false,
    ...closeTimeout,
  }
}

interface Upgraded {
  gate: Gate
  host: ListenerHost
  arrival: Arrival
  socket: Socket | TLSSocket
}

function open(webSocket: WebSocket, { gate, host, arrival, socket }: Upgraded): void {
  const { place } = arrival
  const transport = new WebSocketTransport(webSocket, place.socket)
  const onFault = ({ code, detail }: WebSocketFault) =>
    host.raise({
      code,
      objectType: 'hub',
      objectId: host.hub().uid,
      detail,
      extra: { 'source-address': place.address },
    })
  const handlers = host.openLink(gate.factsOf(socket, arrival), transport, place)
  const guard = (run: () => void) => guarded(run, socket, host.logger)
  feedWebSocket({ webSocket, transport, socket, handlers, onFault, guard })
  boundPendingBytes(socket, place, () => {
    onFault({ code: 'PACKET_TOO_LARGE', detail: `more than ${MAX_PENDING_BYTES} bytes before CONNECT` })
    transport.destroy()
  })
}

/** Watches what a socket sends until its CONNECT is accepted. */
function boundPendingBytes(socket: Socket, place: Place, onTooMuch: () => void): void {
  let bytes = 0
  const count = (chunk: Buffer) => {
    if (!place.held) {
      socket.off('data', count)
      return
    }
    bytes += chunk.length
    if (bytes <= MAX_PENDING_BYTES) return
    socket.off('data', count)
    onTooMuch()
  }
  socket.on('data', count)
}

function upgradeProblem(request: IncomingMessage): Problem | undefined {
  if (pathOf(request) !== PATH) return problemOf(request)
  if (request.headers.upgrade?.toLowerCase() !== 'websocket') return problemOf(request)
  const offered = String(request.headers['sec-websocket-protocol'] ?? '').split(',')
  if (offered.some((name) => PROTOCOLS.includes(name.trim()))) return undefined
  // [MQTT-6.0.0-3]: the client has to offer it, and only then may we select it.
  const detail = `expected sub-protocol mqtt in the header Sec-WebSocket-Protocol`
  return { status: 400, code: 'BAD_SUB_PROTOCOL', detail }
}

function problemOf(request: IncomingMessage): Problem {
  if (pathOf(request) !== PATH) {
    return { status: 404, code: 'NOT_FOUND', detail: `only ${PATH} is served here, as a WebSocket` }
  }
  const headers = { Upgrade: 'websocket' }
  return { status: 426, code: 'UPGRADE_REQUIRED', detail: `${PATH} is served as a WebSocket only`, headers }
}

const pathOf = ({ url = '' }: IncomingMessage) => url.split('?', 1)[0]
