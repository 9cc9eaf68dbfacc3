/**
 * Where routes may connect to. The check is on the address that is connected to, after name resolution, so no
 * name and no redirect leads round it, and an answer that changes (DNS rebinding) gains nothing.
 */
import { type LookupAddress, lookup as resolve } from 'node:dns'
import { isIP, type LookupFunction, Socket, type SocketConnectOpts } from 'node:net'
import { addressKind, addressSet, isAmong } from './address.ts'

export interface EgressPolicy {
  /** In `hublet dev` only: in a pod, loopback is the broker's own ports. */
  allowLoopback: boolean
  /** Private ranges, where cluster Services live. */
  allowPrivate: boolean
  /** Addresses and ranges that are never allowed, such as that of the API server. */
  denied: readonly string[]
}

export class DestinationForbidden extends Error {
  readonly code = 'DESTINATION_FORBIDDEN'
}

/**
 * What may come over a connection that nobody has asked for, or that makes no message of its protocol: clients keep it
 * until it does, however much it is.
 */
export const MAX_ANSWER_BYTES = 16 * 1024 * 1024

export class AnswerTooLong extends Error {
  readonly code = 'ANSWER_TOO_LONG'

  constructor() {
    super(`the other side sent more than ${MAX_ANSWER_BYTES} bytes that are no answer`)
  }
}

export interface Egress {
  /** Why an IP address must not be connected to; undefined: it may. */
  fault(address: string): string | undefined
  /** `dns.lookup` that gives allowed addresses only; fails with `DestinationForbidden` when there is none. */
  lookup: LookupFunction
  /** Throws `DestinationForbidden` for a forbidden literal address: those are never looked up. */
  checkHost(host: string): void
}

export function createEgress({ allowLoopback, allowPrivate, denied }: EgressPolicy): Egress {
  const deniedSet = addressSet(denied)
  const fault = (address: string): string | undefined => {
    if (isAmong(address, deniedSet)) return 'is denied to routes'
    const kind = addressKind(address)
    if (kind === 'Forbidden') return 'is link-local, multicast or a metadata service'
    if (kind === 'Loopback' && !allowLoopback) return 'is on this machine'
    if (kind === 'Private' && !allowPrivate) return 'is in a private range'
    return undefined
  }
  return {
    fault,
    checkHost(host) {
      const address = host.replace(/^\[(.*)\]$/, '$1')
      const found = isIP(address) === 0 ? undefined : fault(address)
      if (found !== undefined) throw new DestinationForbidden(`the address ${address} ${found}`)
    },
    lookup: guardedLookup(fault),
  }
}

function guardedLookup(fault: (address: string) => string | undefined): LookupFunction {
  return (hostname, options, callback) => {
    resolve(hostname, { ...options, all: true }, (error, found: LookupAddress[]) => {
      if (error !== null) return callback(error, '', 0)
      const allowed = found.filter(({ address }) => fault(address) === undefined)
      const [first] = allowed
      if (first === undefined) {
        const reason = found.map(({ address }) => fault(address)).find((text) => text !== undefined)
        return callback(new DestinationForbidden(`the address of ${hostname} ${reason}`), '', 0)
      }
      if (options.all === true) return callback(null, allowed)
      callback(null, first.address, first.family)
    })
  }
}

/**
 * The allowed addresses of a host, for clients that take no `lookup`: they are given an address, and the name for
 * TLS beside it. Rejects with `DestinationForbidden`, or as `dns.lookup` does.
 */
export async function resolveAllowed(egress: Egress, host: string): Promise<string[]> {
  egress.checkHost(host)
  const literal = host.replace(/^\[(.*)\]$/, '$1')
  if (isIP(literal) !== 0) return [literal]
  return await new Promise((resolved, reject) => {
    egress.lookup(host, { all: true }, (error, found) => {
      if (error !== null) reject(error)
      else resolved((found as LookupAddress[]).map(({ address }) => address))
    })
  })
}

/** A socket for clients that call `connect(port, host)` themselves: it connects to allowed addresses only. */
export class GuardedSocket extends Socket {
  readonly #egress: Egress
  #unanswered = 0

  constructor(egress: Egress) {
    super()
    this.#egress = egress
  }

  /** What has come so far made sense. Beyond `MAX_ANSWER_BYTES` without it the connection fails. */
  answered(): void {
    this.#unanswered = 0
  }

  override push(chunk: unknown, encoding?: BufferEncoding): boolean {
    this.#unanswered += chunk instanceof Uint8Array ? chunk.length : 0
    if (this.#unanswered <= MAX_ANSWER_BYTES) return super.push(chunk, encoding)
    this.destroy(new AnswerTooLong())
    return false
  }

  /**
   * As `connect`. Then TLS over this socket checks the certificate for `host`, whatever the client on top says:
   * mysql2 gives Node no name where the host is an address, and Node would take `localhost` for it.
   */
  connectTo(port: number, host: string): this {
    return Object.assign(this.connect(port, host), { _host: host })
  }

  override connect(...args: unknown[]): this {
    const [port, host] = args
    if (typeof port !== 'number' || typeof host !== 'string') {
      // net normalizes its own calls to an array before it comes back here.
      return Reflect.apply(super.connect, this, args) as this
    }
    try {
      this.#egress.checkHost(host)
    } catch (error) {
      process.nextTick(() => this.destroy(error as Error))
      return this
    }
    const options: SocketConnectOpts = { port, host, lookup: this.#egress.lookup }
    return super.connect(options)
  }
}
