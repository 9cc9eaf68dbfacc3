/**
 * The header by which a load balancer tells whose connection it passes on: PROXY protocol, version 1 (a line of
 * text) and 2 (binary). Pure: bytes in, a verdict out.
 */
import { isIPv4, isIPv6, SocketAddress } from 'node:net'

export type ProxyHeader =
  /** So far a beginning of a header; more bytes are needed. */
  | { state: 'Incomplete' }
  /** Not a header, or one that can't be meant for MQTT. */
  | { state: 'Refused'; detail: string }
  /** `source`: `ip:port` of the client; absent: the proxy speaks for itself, as in a health check. */
  | { state: 'Complete'; length: number; source?: string }

const SIGNATURE = Buffer.from('\r\n\r\n\0\r\nQUIT\n', 'latin1')
const FIXED_BYTES = 16
/** Addresses take 36; the rest are TLVs, which nothing here reads. Proxies that add certificates stay below. */
export const MAX_TAIL_BYTES = 4_096
const TEXT = Buffer.from('PROXY ', 'latin1')
/** The longest line that version 1 allows, its end included. */
const MAX_LINE_BYTES = 107

const VERSION_2 = 0x2
const LOCAL = 0x0
const PROXY = 0x1
const TCP_IPV4 = 0x11
const TCP_IPV6 = 0x21
/** Families that carry no address we could show: unspecified, and both of UNIX sockets. */
const NAMELESS: ReadonlySet<number> = new Set([0x00, 0x31, 0x32])

const INCOMPLETE: ProxyHeader = { state: 'Incomplete' }
const refused = (detail: string): ProxyHeader => ({ state: 'Refused', detail })

/** Reads the header that `bytes` begin with. */
export function readProxyHeader(bytes: Buffer): ProxyHeader {
  if (startsAlike(bytes, SIGNATURE)) return bytes.length < FIXED_BYTES ? INCOMPLETE : binaryHeader(bytes)
  if (startsAlike(bytes, TEXT)) return bytes.length < TEXT.length ? INCOMPLETE : textHeader(bytes)
  return refused('expected a PROXY protocol header, got something else')
}

const startsAlike = (bytes: Buffer, pattern: Buffer): boolean => {
  const length = Math.min(bytes.length, pattern.length)
  return bytes.compare(pattern, 0, length, 0, length) === 0
}

function binaryHeader(bytes: Buffer): ProxyHeader {
  const versionAndCommand = bytes.readUInt8(12)
  const family = bytes.readUInt8(13)
  const tail = bytes.readUInt16BE(14)
  if (versionAndCommand >> 4 !== VERSION_2)
    return refused(`version: expected 2, got ${versionAndCommand >> 4}`)
  if (tail > MAX_TAIL_BYTES) return refused(`length: expected at most ${MAX_TAIL_BYTES} bytes, got ${tail}`)
  const length = FIXED_BYTES + tail
  if (bytes.length < length) return INCOMPLETE
  const command = versionAndCommand & 0xf
  if (command === LOCAL) return { state: 'Complete', length }
  if (command !== PROXY) return refused(`command: expected LOCAL or PROXY, got ${command}`)
  if (NAMELESS.has(family)) return { state: 'Complete', length }
  const source = binarySource(family, bytes.subarray(FIXED_BYTES, length))
  return source === undefined
    ? refused(`family: expected TCP over IPv4 or IPv6 with both addresses, got 0x${family.toString(16)}`)
    : { state: 'Complete', length, source }
}

function binarySource(family: number, block: Buffer): string | undefined {
  if (family === TCP_IPV4 && block.length >= 12)
    return socketName(block.subarray(0, 4).join('.'), block.readUInt16BE(8))
  if (family === TCP_IPV6 && block.length >= 36) {
    const groups = Array.from({ length: 8 }, (_, index) => block.readUInt16BE(2 * index).toString(16))
    return socketName(groups.join(':'), block.readUInt16BE(32))
  }
  return undefined
}

function textHeader(bytes: Buffer): ProxyHeader {
  const end = bytes.subarray(0, MAX_LINE_BYTES).indexOf('\r\n')
  if (end < 0)
    return bytes.length < MAX_LINE_BYTES
      ? INCOMPLETE
      : refused(`expected the end of the line within ${MAX_LINE_BYTES} bytes`)
  const [, family, address = '', , port = '', , more] = bytes.toString('latin1', 0, end).split(' ')
  const length = end + 2
  if (family === 'UNKNOWN') return { state: 'Complete', length }
  const isAddress = family === 'TCP4' ? isIPv4 : family === 'TCP6' ? isIPv6 : undefined
  if (isAddress === undefined) return refused('family: expected TCP4, TCP6 or UNKNOWN')
  if (!isAddress(address) || !/^\d{1,5}$/.test(port) || Number(port) > 65_535 || more !== undefined)
    return refused(`${family}: expected two addresses and two ports`)
  return { state: 'Complete', length, source: socketName(address, Number(port)) }
}

/** `ip:port`, IPv6 in brackets and as short as it can be; an IPv4 client is shown as one, however it is mapped. */
export function socketName(address: string, port: number): string {
  if (isIPv4(address)) return `${address}:${port}`
  const { address: shortest } = new SocketAddress({ address, family: 'ipv6' })
  const mapped = shortest.startsWith('::ffff:') ? shortest.slice(7) : ''
  return isIPv4(mapped) ? `${mapped}:${port}` : `[${shortest}]:${port}`
}
