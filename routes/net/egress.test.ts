import { createServer } from 'node:net'
import { describe, expect, it } from 'vitest'
import { addressKind, addressSet, isAmong } from './address.ts'
import { createEgress, GuardedSocket } from './egress.ts'

describe('addressKind', () => {
  it.each([
    ['169.254.169.254', 'Forbidden'],
    ['::ffff:169.254.169.254', 'Forbidden'],
    ['::ffff:a9fe:a9fe', 'Forbidden'],
    ['64:ff9b::169.254.169.254', 'Forbidden'],
    ['64:ff9b::a9fe:a9fe', 'Forbidden'],
    ['2002:a9fe:a9fe::1', 'Forbidden'],
    ['::169.254.169.254', 'Forbidden'],
    ['fe80::1', 'Forbidden'],
    ['fe80::1%eth0', 'Forbidden'],
    ['fd00:ec2::254', 'Forbidden'],
    ['100.100.100.200', 'Forbidden'],
    ['0.0.0.0', 'Forbidden'],
    ['::', 'Forbidden'],
    ['224.0.0.1', 'Forbidden'],
    ['ff02::1', 'Forbidden'],
    ['127.0.0.1', 'Loopback'],
    ['127.255.0.3', 'Loopback'],
    ['::1', 'Loopback'],
    ['0:0:0:0:0:0:0:1', 'Loopback'],
    ['::ffff:127.0.0.1', 'Loopback'],
    ['10.1.2.3', 'Private'],
    ['172.31.255.255', 'Private'],
    ['192.168.0.1', 'Private'],
    ['100.64.0.1', 'Private'],
    ['fd12:3456::1', 'Private'],
    ['::ffff:10.0.0.1', 'Private'],
    ['172.32.0.1', 'Public'],
    ['8.8.8.8', 'Public'],
    ['2001:4860:4860::8888', 'Public'],
    ['2002:808:808::1', 'Public'],
  ])('of %s is %s', (address, kind) => {
    expect(addressKind(address)).toBe(kind)
  })

  it('of what is no address is a fault', () => {
    expect(() => addressKind('localhost')).toThrow(RangeError)
  })
})

describe('addressSet', () => {
  it('takes single addresses and ranges', () => {
    const set = addressSet(['10.96.0.1', '10.128.0.0/9', 'fd00::/8'])
    const asked = ['10.96.0.1', '10.96.0.2', '10.200.0.1', '::ffff:10.96.0.1', 'fd00::7', 'fe00::1']
    expect(asked.map((address) => isAmong(address, set))).toEqual([true, false, true, true, true, false])
  })

  it.each(['kubernetes', '10.0.0.0/33', '10.0.0.0/x', ''])('refuses %j', (range) => {
    expect(() => addressSet([range])).toThrow(/expected an IP address or a range/)
  })
})

const CLOSED = { allowLoopback: false, allowPrivate: false, denied: [] }

const connecting = async (policy: Parameters<typeof createEgress>[0], host: string, port: number) =>
  await new Promise<string>((resolve) => {
    const socket = new GuardedSocket(createEgress(policy))
    socket.once('connect', () => resolve('connected'))
    socket.once('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message))
    socket.connectTo(port, host)
  })

describe('a guarded socket', () => {
  it.each([
    ['127.0.0.1', CLOSED, 'DESTINATION_FORBIDDEN'],
    ['localhost', CLOSED, 'DESTINATION_FORBIDDEN'],
    ['::ffff:127.0.0.1', CLOSED, 'DESTINATION_FORBIDDEN'],
    ['127.0.0.1', { ...CLOSED, allowLoopback: true }, 'connected'],
    ['localhost', { ...CLOSED, allowLoopback: true }, 'connected'],
    [
      'localhost',
      { ...CLOSED, allowLoopback: true, denied: ['127.0.0.0/8', '::1'] },
      'DESTINATION_FORBIDDEN',
    ],
  ])('connecting to %s under %o gives %s', async (host, policy, expected) => {
    const server = createServer((socket) => socket.end())
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    const address = server.address()
    const port = typeof address === 'object' && address !== null ? address.port : 0
    expect(await connecting(policy, host, port)).toBe(expected)
    server.close()
  })
})
