/** Whose PROXY protocol headers are believed. */
import { BlockList, isIPv4, type Socket } from 'node:net'
import type { HubRecord } from '../../contract/hub-state.ts'
import type { ListenerHost } from './listener-host.ts'
import { type ProxyHeader, readProxyHeader } from './proxy-header.ts'

/** A proxy writes its header before anything else; who takes longer is none. */
export const PROXY_HEADER_TIMEOUT_MS = 5_000

/** Follows the ranges of a hub record, which is replaced as a whole when something in it changes. */
export class TrustedProxies {
  readonly #host: Pick<ListenerHost, 'hub' | 'logger'>
  #read: HubRecord | undefined
  #ranges: BlockList | undefined

  constructor(host: Pick<ListenerHost, 'hub' | 'logger'>) {
    this.#host = host
  }

  /** Has this peer to begin with a header? Nobody else's is looked at: it would let anyone choose an address. */
  has({ remoteAddress = '' }: Socket): boolean {
    const hub = this.#host.hub()
    if (hub !== this.#read) {
      this.#ranges = this.#rangesOf(hub.trustedProxies ?? [])
      this.#read = hub
    }
    if (this.#ranges === undefined) return false
    const address = remoteAddress.startsWith('::ffff:') ? remoteAddress.slice(7) : remoteAddress
    return this.#ranges.check(address, isIPv4(address) ? 'ipv4' : 'ipv6')
  }

  #rangesOf(ranges: readonly string[]): BlockList | undefined {
    if (ranges.length === 0) return undefined
    const list = new BlockList()
    for (const range of ranges) {
      const [address = '', prefix] = range.split('/')
      try {
        list.addSubnet(address, Number(prefix), isIPv4(address) ? 'ipv4' : 'ipv6')
      } catch (error) {
        this.#host.logger.error(
          { range, reason: (error as Error).message },
          'a range of proxies trusts nobody',
        )
      }
    }
    return list
  }
}

/**
 * Reads the header off the socket and leaves what follows it to the next reader. `onEnd` is called once, or never
 * when the socket closes before; never with an incomplete header.
 */
export function takeProxyHeader(socket: Socket, onEnd: (header: ProxyHeader) => void): void {
  let held: Buffer = Buffer.alloc(0)
  const detail = `none came whole within ${PROXY_HEADER_TIMEOUT_MS / 1_000} s`
  const timer = setTimeout(() => end({ state: 'Refused', detail }), PROXY_HEADER_TIMEOUT_MS)
  const stopTimer = () => clearTimeout(timer)
  const end = (header: ProxyHeader) => {
    stopTimer()
    socket.off('readable', read)
    socket.off('close', stopTimer)
    if (header.state === 'Complete' && held.length > header.length)
      socket.unshift(held.subarray(header.length))
    onEnd(header)
  }
  // By 'readable', which leaves the socket paused: TLS and HTTP must find the rest where it is.
  const read = () => {
    for (let chunk: Buffer | null = socket.read(); chunk !== null; chunk = socket.read())
      held = held.length === 0 ? chunk : Buffer.concat([held, chunk])
    if (held.length === 0) return
    const header = readProxyHeader(held)
    if (header.state !== 'Incomplete') end(header)
  }
  socket.on('readable', read)
  socket.once('close', stopTimer)
}
