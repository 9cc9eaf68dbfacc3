import { describe, expect, it } from 'vitest'
import { FrameReader } from '../wire/frame-reader.ts'
import { protocolFault } from './protocol-fault.ts'

function faultOf(header: number, body: number[]) {
  const reader = new FrameReader(1_000)
  reader.push(Buffer.from([header, body.length, ...body]))
  expect(reader.next()).toBe('Frame')
  return protocolFault(reader)
}

const text = (value: string) => [0, value.length, ...Buffer.from(value)]

describe('the first packet of a link', () => {
  it.each([
    ['MQTT', 4],
    ['MQTT', 5],
    ['MQIsdp', 3],
  ])('may be a CONNECT of %s level %i', (name, level) => {
    expect(faultOf(0x10, [...text(name), level, 2, 0, 0, 0, 0])).toBeUndefined()
  })

  it.each([
    ['another packet', 0x30, [...text('a')], 'PROTOCOL_ERROR', 4],
    ['a CONNECT with flags', 0x11, [...text('MQTT'), 4], 'PACKET_MALFORMED', 4],
    ['a CONNECT without a level', 0x10, [...text('MQTT')], 'PACKET_MALFORMED', 4],
    ['an empty CONNECT', 0x10, [], 'PACKET_MALFORMED', 4],
    ['a CONNECT of a later version', 0x10, [...text('MQTT'), 6], 'UNSUPPORTED_PROTOCOL', 5],
    ['a CONNECT of an unknown protocol', 0x10, [...text('HTTP'), 4], 'UNSUPPORTED_PROTOCOL', 4],
    ['a name of the prototype', 0x10, [...text('constructor'), 4], 'UNSUPPORTED_PROTOCOL', 4],
  ])('is refused when it is %s', (_, header, body, code, version) => {
    expect(faultOf(header, body)).toMatchObject({ code, version })
  })
})
