interface HeaderParts {
  version?: number
  /** 0: LOCAL, 1: PROXY. */
  command?: number
  family: number
  /** Addresses and TLVs. */
  block?: Buffer
  /** Told instead of the length that the block has. */
  length?: number
}

/** A PROXY protocol header, version 2, right or wrong. */
export function proxyHeader(parts: HeaderParts): Buffer {
  const { version = 2, command = 1, family, block = Buffer.alloc(0), length = block.length } = parts
  const fixed = Buffer.from('0d0a0d0a000d0a515549540a00000000', 'hex')
  fixed.writeUInt8((version << 4) | command, 12)
  fixed.writeUInt8(family, 13)
  fixed.writeUInt16BE(length, 14)
  return Buffer.concat([fixed, block])
}

/** The header of an IPv4 client. */
export const headerOf = (address: string, port: number): Buffer =>
  proxyHeader({
    family: 0x11,
    block: Buffer.from([...address.split('.').map(Number), 127, 0, 0, 1, port >> 8, port & 0xff, 0, 1]),
  })
