/** Which kind of place an IP address is, for the rule about where routes may deliver. Pure. */
import { BlockList, isIP, isIPv4 } from 'node:net'

/**
 * - `Forbidden`: never a destination: link-local (cloud metadata lives there), multicast, unspecified.
 * - `Loopback`: this machine or pod.
 * - `Private`: networks that are not reached from the internet.
 */
export type AddressKind = 'Forbidden' | 'Loopback' | 'Private' | 'Public'

const FORBIDDEN = blockList([
  ['0.0.0.0', 8],
  ['169.254.0.0', 16],
  ['224.0.0.0', 4],
  ['255.255.255.255', 32],
  // Metadata services outside of link-local: Alibaba, Azure, Oracle, AWS over IPv6.
  ['100.100.100.200', 32],
  ['168.63.129.16', 32],
  ['192.0.0.192', 32],
  ['fd00:ec2::254', 128],
  ['::', 128],
  ['fe80::', 10],
  ['ff00::', 8],
])

const LOOPBACK = blockList([
  ['127.0.0.0', 8],
  ['::1', 128],
])

const PRIVATE = blockList([
  ['10.0.0.0', 8],
  ['100.64.0.0', 10],
  ['172.16.0.0', 12],
  ['192.0.0.0', 24],
  ['192.168.0.0', 16],
  ['198.18.0.0', 15],
  ['240.0.0.0', 4],
  ['fc00::', 7],
  ['fec0::', 10],
])

/** Throws a RangeError when `address` is no IP address. */
export function addressKind(address: string): AddressKind {
  const plain = embeddedIPv4(address) ?? withoutZone(address)
  if (contains(FORBIDDEN, plain)) return 'Forbidden'
  if (contains(LOOPBACK, plain)) return 'Loopback'
  return contains(PRIVATE, plain) ? 'Private' : 'Public'
}

/**
 * Addresses and ranges (`10.0.0.1`, `10.0.0.0/8`, `fd00::/8`) as a set to ask with `isAmong`. Throws a RangeError
 * naming the first that is neither.
 */
export function addressSet(ranges: readonly string[]): BlockList {
  return blockList(
    ranges.map((range) => {
      const [address = '', bits] = range.split('/')
      const most = isIPv4(address) ? 32 : 128
      const length = bits === undefined ? most : Number(bits)
      if (isIP(address) === 0 || !Number.isInteger(length) || length < 0 || length > most)
        throw new RangeError(
          `expected an IP address or a range such as 10.0.0.0/8, got ${JSON.stringify(range)}`,
        )
      return [address, length]
    }),
  )
}

export function isAmong(address: string, set: BlockList): boolean {
  return contains(set, embeddedIPv4(address) ?? withoutZone(address))
}

function blockList(ranges: readonly (readonly [string, number])[]): BlockList {
  const list = new BlockList()
  for (const [address, bits] of ranges) list.addSubnet(address, bits, isIPv4(address) ? 'ipv4' : 'ipv6')
  return list
}

const contains = (list: BlockList, address: string) => list.check(address, isIPv4(address) ? 'ipv4' : 'ipv6')

const withoutZone = (address: string) => address.replace(/%.*$/, '')

/**
 * The IPv4 address that an IPv6 address stands for: mapped (::ffff:0:0/96), compatible (::/96), NAT64
 * (64:ff9b::/96) and 6to4 (2002::/16) all lead there, so each would be a way round a rule about IPv4.
 */
function embeddedIPv4(address: string): string | undefined {
  if (isIP(address) === 0) throw new RangeError(`expected an IP address, got ${JSON.stringify(address)}`)
  if (isIPv4(address)) return undefined
  const groups = ipv6Groups(withoutZone(address))
  const [first = 0, second = 0, third = 0] = groups
  const [high = 0, low = 0] = groups.slice(6)
  if (first === 0x2002) return dotted(second, third)
  const middle = groups.slice(2, 6)
  if (first === 0x64 && second === 0xff9b && middle.every((group) => group === 0)) return dotted(high, low)
  if (!groups.slice(0, 5).every((group) => group === 0)) return undefined
  if (groups[5] === 0xffff) return dotted(high, low)
  return groups[5] === 0 && (high !== 0 || low > 1) ? dotted(high, low) : undefined
}

function ipv6Groups(address: string): number[] {
  // URL writes any IPv6 address in one form, with hex groups only.
  const text = new URL(`http://[${address}]`).hostname.slice(1, -1)
  const [head = '', tail] = text.split('::')
  const groups = (part: string) =>
    part === '' ? [] : part.split(':').map((group) => Number.parseInt(group, 16))
  if (tail === undefined) return groups(head)
  const [first, last] = [groups(head), groups(tail)]
  return [...first, ...Array<number>(8 - first.length - last.length).fill(0), ...last]
}

const dotted = (high: number, low: number) => [high >> 8, high & 255, low >> 8, low & 255].join('.')
