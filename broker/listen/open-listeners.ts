/** Opens and closes the listeners of one hub. */
import type { Server } from 'node:net'
import type { ServerCredentials } from '../../contract/hub-state.ts'
import type { ListenerName } from '../policy/link.ts'
import { EstEndpoint } from './est-endpoint.ts'
import { Gate, isEncrypted } from './gate.ts'
import { httpPlaces, serveHttp } from './http-listener.ts'
import { createWebServer } from './http-server.ts'
import { createLinkServer, serveLinks } from './link-listener.ts'
import type { ListenerAddress } from './listener-address.ts'
import type { ListenerHost } from './listener-host.ts'
import { NetworkEndpoint } from './network-endpoint.ts'
import { advertisedCas } from './peer-certificate.ts'
import { type DropReason, PendingPlaces, type Place } from './pending-places.ts'
import { contextOptions, readableCertificates, type TlsMaterial } from './tls-context.ts'
import { serveWebSockets } from './web-socket-listener.ts'

const CONNECT_TIMEOUT_MS = 10_000
/** The kernel caps it with its own limit. Reconnect storms come in thousands. */
const BACKLOG = 4_096

export interface ListenerOptions {
  /** Only the listeners named here are opened. */
  listeners: Partial<Record<ListenerName, ListenerAddress>>
  /** Needed by mqtts, wss and https. */
  credentials?: ServerCredentials
  host: ListenerHost
  /** From accept to a CONNECT that is accepted, TLS and WebSocket handshakes included. Default 10 s. */
  connectTimeoutMs?: number
}

export interface OpenListeners {
  /** The port each listener really has. */
  readonly ports: Readonly<Partial<Record<ListenerName, number>>>
  /** For new handshakes; live links stay. Throws when OpenSSL can't read them: the old ones then stay. */
  setCredentials(credentials: ServerCredentials): void
  /** Reads `deviceTrust` of the hub again, for new handshakes. */
  setDeviceCa(): void
  /** Reads `limits` of the hub again. */
  limitsChanged(): void
  /** Closes listeners and pending sockets at once, and links that are not ended within 3 s. */
  close(): Promise<void>
}

/**
 * Opens all listeners or none: rejects when one can't be bound (the message names it and its address), when
 * credentials are missing or when they can't be read.
 */
export async function openListeners(options: ListenerOptions): Promise<OpenListeners> {
  const set = new ListenerSet(options)
  try {
    for (const [name, address] of Object.entries(options.listeners)) {
      await set.open(name as ListenerName, address)
    }
  } catch (error) {
    await set.close()
    throw error
  }
  return set
}

class ListenerSet implements OpenListeners {
  readonly ports: Partial<Record<ListenerName, number>> = {}
  readonly #host: ListenerHost
  readonly #gates: Gate[] = []
  /** Sockets of the MQTT listeners before CONNECT. */
  readonly #pending: PendingPlaces
  /** Sockets of the HTTP listeners. */
  readonly #http: PendingPlaces
  readonly #networks: NetworkEndpoint
  readonly #est: EstEndpoint
  readonly #connectTimeoutMs: number
  readonly #limitsChanged: Array<() => void> = []
  #tls: TlsMaterial | undefined

  constructor({ host, credentials, connectTimeoutMs = CONNECT_TIMEOUT_MS }: ListenerOptions) {
    this.#host = host
    this.#connectTimeoutMs = connectTimeoutMs
    this.#pending = new PendingPlaces({
      limit: () => host.hub().limits.pendingConnections,
      timeoutMs: connectTimeoutMs,
      onDrop: (place, reason) => this.#tellDropped(place, reason),
      now: () => performance.now(),
    })
    this.#http = httpPlaces(host)
    this.#networks = new NetworkEndpoint(host, () => performance.now())
    this.#est = new EstEndpoint(host, { monotonic: () => performance.now(), now: Date.now })
    if (credentials !== undefined) {
      this.#tls = { credentials, deviceCa: readableCertificates(this.#hubDeviceCa(), host.logger) }
    }
  }

  async open(name: ListenerName, address: ListenerAddress): Promise<void> {
    const gate = this.#serve(name)
    const { server } = gate
    gate.standInFront()
    try {
      this.ports[name] = await bind(server, address)
    } catch (error) {
      const { code, message } = error as NodeJS.ErrnoException
      throw new Error(`listener ${name} cannot bind ${shown(address)}: ${code ?? message}`, { cause: error })
    }
    // Such as running out of file descriptors at an accept: no reason to end the hub.
    server.on('error', (error) => this.#host.logger.error({ err: error, listener: name }, 'listener error'))
  }

  setCredentials(credentials: ServerCredentials): void {
    this.#setTls({ credentials, deviceCa: this.#tls?.deviceCa ?? [] })
  }

  setDeviceCa(): void {
    const current = this.#tls
    if (current === undefined) return
    const deviceCa = readableCertificates(this.#hubDeviceCa(), this.#host.logger)
    if (deviceCa.join('\n') !== current.deviceCa.join('\n')) this.#setTls({ ...current, deviceCa })
  }

  limitsChanged(): void {
    this.#pending.trim()
    for (const tell of this.#limitsChanged) tell()
  }

  async close(): Promise<void> {
    const closed = this.#gates.map(async (gate) => await gate.close())
    this.#pending.close()
    await Promise.all(closed)
  }

  #serve(name: ListenerName): Gate {
    const tls = isEncrypted(name) ? this.#tlsFor(name) : undefined
    if (name === 'mqtt' || name === 'mqtts') {
      const gate = this.#gate(name, createLinkServer(tls), this.#pending)
      serveLinks(gate, this.#host)
      return gate
    }
    if (name === 'http' || name === 'https') {
      // Only to renew by EST: whoever opens a page, or brings a token, need not choose a certificate first.
      const clients = this.#host.enrolment === undefined ? 'AskNothing' : 'AskCertificate'
      const gate = this.#gate(name, createWebServer(tls, clients), this.#http)
      serveHttp(gate, this.#networks, this.#est)
      return gate
    }
    const gate = this.#gate(name, createWebServer(tls, 'AskCertificate'), this.#pending)
    const { limitsChanged } = serveWebSockets(gate, this.#host)
    this.#limitsChanged.push(limitsChanged)
    return gate
  }

  #gate(name: ListenerName, server: Server, places: PendingPlaces): Gate {
    const gate = new Gate(name, server, this.#host, places)
    this.#gates.push(gate)
    return gate
  }

  #tlsFor(name: ListenerName): TlsMaterial {
    if (this.#tls === undefined) throw new Error(`listener ${name} needs server credentials, got none`)
    return this.#tls
  }

  #setTls(material: TlsMaterial): void {
    for (const gate of this.#gates) gate.setSecureContext(contextOptions(material))
    this.#tls = material
  }

  #hubDeviceCa(): readonly string[] {
    return advertisedCas(this.#host.hub().deviceTrust)
  }

  #tellDropped(place: Place, reason: DropReason): void {
    const hub = this.#host.hub()
    const detail =
      reason === 'Late'
        ? `no CONNECT within ${this.#connectTimeoutMs / 1000} s`
        : `more than ${hub.limits.pendingConnections} sockets waited for their CONNECT`
    this.#host.raise({
      code: 'CONNECT_TIMEOUT',
      objectType: 'hub',
      objectId: hub.uid,
      detail,
      extra: { 'source-address': place.address },
    })
  }
}

async function bind(server: Server, { host, port }: ListenerAddress): Promise<number> {
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen({ host, port, backlog: BACKLOG }, () => {
      server.off('error', reject)
      resolve()
    })
  })
  const address = server.address()
  return typeof address === 'object' && address !== null ? address.port : port
}

const shown = ({ host, port }: ListenerAddress) =>
  host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`
