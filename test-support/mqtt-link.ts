import { once } from 'node:events'
import { connect as connectTcp } from 'node:net'
import type { Duplex } from 'node:stream'
import { connect as connectTls } from 'node:tls'
import { createWebSocketStream, WebSocket } from 'ws'

export interface LinkAddress {
  port: number
  /** Default `mqtt`. The names of the hub's listeners. */
  listener?: 'mqtt' | 'mqtts' | 'ws' | 'wss'
  host?: string
  tls?: ClientTls
  /** Path of the WebSocket. Default `/mqtt`. */
  path?: string
}

/** PEM texts; without `ca` the server's certificate is not looked at. */
export interface ClientTls {
  ca?: string
  cert?: string
  key?: string
  servername?: string
  maxVersion?: 'TLSv1.2' | 'TLSv1.3'
}

const HANDSHAKE_TIMEOUT_MS = 30_000

/**
 * Opens the byte stream to a listener, handshakes included. Rejects when the TCP connection, the TLS
 * handshake or the WebSocket upgrade fails. A TLS 1.3 server may still refuse the client certificate
 * afterwards: that shows as the stream's end.
 */
export async function openLink(address: LinkAddress): Promise<Duplex> {
  const { host = '127.0.0.1', port, listener = 'mqtt' } = address
  if (listener === 'mqtt') {
    const socket = connectTcp({ host, port, noDelay: true })
    await once(socket, 'connect')
    return socket
  }
  if (listener === 'mqtts') {
    const socket = connectTls({ host, port, ...tlsOptions(address.tls) })
    socket.setNoDelay(true)
    await once(socket, 'secureConnect')
    return socket
  }
  return await openWebSocket(`${listener}://${host}:${port}${address.path ?? '/mqtt'}`, address.tls)
}

function tlsOptions(tls: ClientTls = {}) {
  const { ca, servername = 'localhost', ...rest } = tls
  return { servername, rejectUnauthorized: ca !== undefined, ...(ca === undefined ? {} : { ca }), ...rest }
}

async function openWebSocket(url: string, tls?: ClientTls): Promise<Duplex> {
  const socket = new WebSocket(url, 'mqtt', {
    handshakeTimeout: HANDSHAKE_TIMEOUT_MS,
    perMessageDeflate: false,
    ...(url.startsWith('wss:') ? tlsOptions(tls) : {}),
  })
  const stream = createWebSocketStream(socket)
  // Until the socket is open its failure is told by the rejection of `once`, not by the stream.
  stream.on('error', () => {})
  await once(socket, 'open')
  return stream
}
