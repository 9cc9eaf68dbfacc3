import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { proxyHeader } from './proxy-header.fixture.ts'
import { MAX_TAIL_BYTES, readProxyHeader, socketName } from './proxy-header.ts'

const IPV4 = Buffer.from([198, 51, 100, 7, 203, 0, 113, 1, 0xc3, 0x50, 0x22, 0xb3])
const IPV6 = Buffer.from('20010db8000000000000000000000001'.repeat(2) + 'c35022b3', 'hex')
const text = (line: string) => Buffer.from(line, 'latin1')

const COMPLETE: Record<string, [Buffer, string | undefined]> = {
  'an IPv4 client': [proxyHeader({ family: 0x11, block: IPV4 }), '198.51.100.7:50000'],
  'an IPv6 client': [proxyHeader({ family: 0x21, block: IPV6 }), '[2001:db8::1]:50000'],
  'an IPv4 client mapped into IPv6': [
    proxyHeader({
      family: 0x21,
      block: Buffer.concat([Buffer.from('00000000000000000000ffffc6336407', 'hex'), IPV6.subarray(16)]),
    }),
    '198.51.100.7:50000',
  ],
  'a client with TLVs after its addresses': [
    proxyHeader({ family: 0x11, block: Buffer.concat([IPV4, Buffer.from([0x04, 0, 1, 0])]) }),
    '198.51.100.7:50000',
  ],
  'a health check of the proxy': [proxyHeader({ command: 0, family: 0 }), undefined],
  'a client whose address is not told': [proxyHeader({ family: 0 }), undefined],
  'a client on a UNIX socket': [proxyHeader({ family: 0x31, block: Buffer.alloc(216) }), undefined],
  'an IPv4 client in a line': [
    text('PROXY TCP4 198.51.100.7 203.0.113.1 50000 8883\r\n'),
    '198.51.100.7:50000',
  ],
  'an IPv6 client in a line': [
    text('PROXY TCP6 2001:db8:0::1 2001:db8::2 50000 8883\r\n'),
    '[2001:db8::1]:50000',
  ],
  'an unknown client in a line': [text('PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n'), undefined],
}

const REFUSED: Record<string, [Buffer, string]> = {
  'the CONNECT of a client that came past the proxy': [Buffer.from([0x10, 0x0c]), 'something else'],
  'a TLS handshake': [Buffer.from([0x16, 0x03, 0x01]), 'something else'],
  'a version to come': [proxyHeader({ version: 3, family: 0x11, block: IPV4 }), 'version: expected 2, got 3'],
  'a command to come': [
    proxyHeader({ command: 5, family: 0x11, block: IPV4 }),
    'command: expected LOCAL or PROXY, got 5',
  ],
  'UDP, which no listener speaks': [proxyHeader({ family: 0x12, block: IPV4 }), 'family'],
  'half an address': [proxyHeader({ family: 0x11, block: IPV4.subarray(0, 11) }), 'family'],
  'more than fits': [proxyHeader({ family: 0x11, block: IPV4, length: MAX_TAIL_BYTES + 1 }), 'length'],
  'a line without end': [text('PROXY TCP4 '.padEnd(107, '1')), 'end of the line'],
  'a line for IPv4 with an IPv6 address': [text('PROXY TCP4 2001:db8::1 2001:db8::2 50000 8883\r\n'), 'TCP4'],
  'a line with a port that is none': [text('PROXY TCP4 198.51.100.7 203.0.113.1 70000 8883\r\n'), 'TCP4'],
  'a line with too many words': [text('PROXY TCP4 198.51.100.7 203.0.113.1 1 2 3\r\n'), 'TCP4'],
  'a line of another family': [text('PROXY UDP4 198.51.100.7 203.0.113.1 1 2\r\n'), 'family'],
}

describe('a PROXY protocol header', () => {
  it.each(Object.entries(COMPLETE))('tells of %s', (_, [bytes, source]) => {
    const expected = { state: 'Complete', length: bytes.length, ...(source === undefined ? {} : { source }) }
    expect(readProxyHeader(bytes)).toEqual(expected)
    // What follows is the client's, and changes nothing.
    expect(readProxyHeader(Buffer.concat([bytes, bytes]))).toEqual(expected)
  })

  it.each(Object.entries(COMPLETE))(
    'of %s is awaited for as long as a byte of it is missing',
    (_, [bytes]) => {
      for (let length = 0; length < bytes.length; length++)
        expect(readProxyHeader(bytes.subarray(0, length))).toEqual({ state: 'Incomplete' })
    },
  )

  it.each(Object.entries(REFUSED))('is not %s', (_, [bytes, detail]) => {
    expect(readProxyHeader(bytes)).toEqual({ state: 'Refused', detail: expect.stringContaining(detail) })
  })

  it('decides on any bytes without a fault, and never awaits more than its bound', () => {
    const signature = Buffer.from('0d0a0d0a000d0a515549540a', 'hex')
    const bytes = fc.uint8Array({ maxLength: 300 }).map((array) => Buffer.from(array))
    const prefix = fc.constantFrom(Buffer.alloc(0), signature, text('PROXY '), text('PROXY TCP6 '))
    fc.assert(
      fc.property(prefix, bytes, (start, rest) => {
        const all = Buffer.concat([start, rest])
        const header = readProxyHeader(all)
        if (header.state === 'Complete') expect(header.length).toBeLessThanOrEqual(all.length)
        const padded = Buffer.concat([all, Buffer.alloc(16 + MAX_TAIL_BYTES)])
        expect(readProxyHeader(padded).state).not.toBe('Incomplete')
      }),
      { seed: 7, numRuns: 500 },
    )
  })
})

it('the name of a socket shows an IPv4 client of a dual-stack listener as what it is', () => {
  expect(socketName('::ffff:192.0.2.1', 5)).toBe('192.0.2.1:5')
  expect(socketName('fe80::1', 5)).toBe('[fe80::1]:5')
})
