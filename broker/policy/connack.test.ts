import { describe, expect, it } from 'vitest'
import { EVENT_CODES, type EventCode } from '../../contract/hub-event.ts'
import { connackCode } from './connack.ts'

const CODES = Object.keys(EVENT_CODES) as EventCode[]

/** The codes that MQTT 5 §3.2.2.2 lists for a CONNACK. */
const V5_CONNACK = [
  0x80, 0x81, 0x82, 0x83, 0x84, 0x85, 0x86, 0x87, 0x88, 0x89, 0x8a, 0x8c, 0x90, 0x95, 0x97, 0x99, 0x9a, 0x9b,
  0x9c, 0x9d, 0x9f,
]

describe('connackCode', () => {
  it('has an answer for every code, one that its protocol knows', () => {
    for (const code of CODES) {
      const { v3, v5 } = connackCode(code)
      expect([1, 2, 3, 4, 5], code).toContain(v3)
      expect(V5_CONNACK, code).toContain(v5)
    }
  })

  const rows: [EventCode, number, number][] = [
    ['MTLS_REQUIRED', 5, 0x87],
    ['INVALID_DEVICE_CERTIFICATE', 5, 0x87],
    ['DEVICE_DISABLED', 5, 0x87],
    ['UNAUTHORIZED_TOPIC', 5, 0x87],
    ['HUB_DISABLED', 3, 0x88],
    ['HUB_BUSY', 3, 0x89],
    ['UNSUPPORTED_PROTOCOL', 1, 0x84],
    ['CLEAN_SESSION_REQUIRED', 5, 0x83],
  ]
  it.each(rows)('answers %s with %i and, in MQTT 5, %i', (code, v3, v5) => {
    expect(connackCode(code)).toEqual({ v3, v5 })
  })

  it('does not tell a wrong id from a wrong password', () => {
    expect(connackCode('UNKNOWN_DEVICE')).toEqual(connackCode('BAD_PASSWORD'))
  })

  it('invites to try again only where waiting helps', () => {
    const retry = CODES.filter((code) => connackCode(code).v3 === 3)
    expect(retry).toEqual(['HUB_DISABLED', 'HUB_DELETED', 'HUB_BUSY', 'RATE_LIMITED'])
  })
})
