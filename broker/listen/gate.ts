/** The front of one listener: counts its sockets in, follows TLS handshakes, and tells of those that fail. */
import type { Server, Socket } from 'node:net'
import { type SecureContextOptions, type TLSSocket, Server as TlsServer } from 'node:tls'
import type { LinkFacts, ListenerName } from '../policy/link.ts'
import type { ListenerHost } from './listener-host.ts'
import { peerCertificate } from './peer-certificate.ts'
import type { PendingPlaces, Place } from './pending-places.ts'
import { type ProxyHeader, socketName } from './proxy-header.ts'
import { END_TIMEOUT_MS, ignore } from './socket-transport.ts'
import { TrustedProxies, takeProxyHeader } from './trusted-proxies.ts'

const ENCRYPTED: ReadonlySet<ListenerName> = new Set(['mqtts', 'wss', 'https'])

export const isEncrypted = (listener: ListenerName): boolean => ENCRYPTED.has(listener)

/** Live links are ended by the host at the same time, which takes up to `END_TIMEOUT_MS`. */
const CLOSE_TIMEOUT_MS = END_TIMEOUT_MS + 1_000

/** One accepted socket. */
export interface Arrival {
  place: Place
  /** TLS is finished; false for ever on a plain listener. */
  secured: boolean
  /** Bytes before those of the client: the header of a proxy. */
  headerBytes: number
  /** Why the handshake failed. */
  fault?: string
}

export class Gate {
  readonly listener: ListenerName
  readonly server: Server
  readonly encrypted: boolean
  readonly #host: ListenerHost
  readonly #places: PendingPlaces
  readonly #proxies: TrustedProxies
  /**
   * By the address of the TCP peer. TLS and HTTP servers hand out their own socket objects, and the address is the only
   * public way back from them to the TCP socket.
   */
  readonly #arrivals = new Map<string, Arrival>()

  constructor(listener: ListenerName, server: Server, host: ListenerHost, places: PendingPlaces) {
    this.listener = listener
    this.server = server
    this.#host = host
    this.#places = places
    this.#proxies = new TrustedProxies(host)
    this.encrypted = isEncrypted(listener)
    if (!this.encrypted) return
    server.on('secureConnection', (socket: TLSSocket) => this.#onSecured(socket))
    server.on('tlsClientError', (error: NodeJS.ErrnoException, socket: TLSSocket) => {
      const arrival = this.arrivalOf(socket)
      if (arrival !== undefined) arrival.fault ??= error.code ?? 'UNKNOWN'
      socket.destroy()
    })
  }

  /**
   * To be called before the first socket can come, and after everybody has subscribed to `connection`: a socket
   * holds its place, and the header of a proxy is read, before MQTT, TLS or HTTP begin to work for it.
   */
  standInFront(): void {
    const { server } = this
    const others = server.listeners('connection')
    server.removeAllListeners('connection')
    server.on('connection', (socket: Socket) => {
      const arrival = this.#accept(socket)
      if (arrival === undefined) return
      const handOver = () => {
        for (const other of others) Reflect.apply(other, server, [socket])
      }
      if (this.#proxies.has(socket)) this.#awaitHeader(socket, arrival, handOver)
      else handOver()
    })
  }

  /** The arrival of a socket that TLS or HTTP handed out; undefined: it has gone meanwhile. */
  arrivalOf(socket: Socket): Arrival | undefined {
    const address = addressOf(socket)
    return address === undefined ? undefined : this.#arrivals.get(address)
  }

  factsOf(socket: Socket, arrival: Arrival): LinkFacts {
    const facts = {
      listener: this.listener,
      encrypted: arrival.secured,
      remoteAddress: arrival.place.address,
    }
    const certificate = arrival.secured
      ? peerCertificate(socket as TLSSocket, this.#host.hub().deviceTrust)
      : undefined
    return certificate === undefined ? facts : { ...facts, peerCertificate: certificate }
  }

  /** Throws when OpenSSL can't read it, before anything has changed. */
  setSecureContext(options: SecureContextOptions): void {
    if (this.server instanceof TlsServer) this.server.setSecureContext(options)
  }

  /** Accepts no more, gives live links the time that ending one takes, then cuts what is left. */
  async close(): Promise<void> {
    const closed = new Promise<void>((resolve) => this.server.close(() => resolve()))
    const timer = setTimeout(() => {
      for (const { place } of this.#arrivals.values()) place.socket.destroy()
    }, CLOSE_TIMEOUT_MS)
    await closed
    clearTimeout(timer)
  }

  #accept(socket: Socket): Arrival | undefined {
    socket.on('error', ignore)
    const address = addressOf(socket)
    // Gone between the kernel's accept and ours.
    if (address === undefined) {
      socket.destroy()
      return undefined
    }
    const arrival: Arrival = { place: this.#places.take(socket, address), secured: false, headerBytes: 0 }
    this.#arrivals.set(address, arrival)
    socket.once('close', () => this.#onGone(address, arrival))
    return arrival
  }

  #awaitHeader(socket: Socket, arrival: Arrival, handOver: () => void): void {
    // Whatever comes until the header is whole is none of a handshake.
    arrival.headerBytes = Number.POSITIVE_INFINITY
    takeProxyHeader(socket, (header) => {
      if (header.state === 'Complete') {
        arrival.headerBytes = header.length
        if (header.source !== undefined) arrival.place.address = header.source
        handOver()
      } else this.#refuseHeader(socket, arrival, header)
    })
  }

  #refuseHeader(
    socket: Socket,
    { place }: Arrival,
    header: Exclude<ProxyHeader, { state: 'Complete' }>,
  ): void {
    socket.destroy()
    this.#host.raise({
      code: 'PROXY_HEADER_REFUSED',
      objectType: 'hub',
      objectId: this.#host.hub().uid,
      ...('detail' in header ? { detail: header.detail } : {}),
      extra: { 'source-address': place.address },
    })
  }

  #onSecured(socket: TLSSocket): void {
    socket.on('error', ignore)
    const arrival = this.arrivalOf(socket)
    if (arrival === undefined) socket.destroy()
    else arrival.secured = true
  }

  #onGone(address: string, arrival: Arrival): void {
    arrival.place.leave()
    // The kernel may have given the address to a newer socket already.
    if (this.#arrivals.get(address) === arrival) this.#arrivals.delete(address)
    if (this.encrypted && !arrival.secured) this.#tellHandshakeFailed(arrival)
  }

  /**
   * Told when the socket is gone and not by Node's event, of which there may be none or two. Silent about who
   * was dropped, as that was told, and about who said nothing: probes open a port and leave.
   */
  #tellHandshakeFailed({ place, fault, headerBytes }: Arrival): void {
    if (place.dropped || place.socket.bytesRead <= headerBytes) return
    this.#host.raise({
      code: 'TLS_HANDSHAKE_FAILED',
      objectType: 'hub',
      objectId: this.#host.hub().uid,
      detail: fault ?? 'the client left before its end',
      extra: { 'source-address': place.address },
    })
  }
}

function addressOf({ remoteAddress, remotePort }: Socket): string | undefined {
  if (remoteAddress === undefined || remotePort === undefined) return undefined
  return socketName(remoteAddress, remotePort)
}
