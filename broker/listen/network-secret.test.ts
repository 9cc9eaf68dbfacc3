import { describe, expect, it } from 'vitest'
import { network } from '../../test-support/hub-state.ts'
import { opensNetwork, WrongSecrets } from './network-secret.ts'

/** As HTTP libraries hand over the bytes of a header. */
const asBytes = (text: string) => Buffer.from(text).toString('latin1')

describe('the secret of a network', () => {
  const known = network({ token: 'the token' })

  it.each([
    ['is the token', known, 'the token', true],
    ['is not another', known, 'the Token', false],
    ['is not its beginning', known, 'the toke', false],
    ['is not empty', known, '', false],
    ['is not its own hash', known, known.tokenSha256, false],
    ['of a network that is not there is none', undefined, 'the token', false],
    ['of a network whose token is not known yet is none', { ...known, tokenSha256: '' }, '', false],
    ['of a network with a broken record is none', { ...known, tokenSha256: 'zz' }, 'the token', false],
    ['may hold any bytes', network({ token: 'gehe1mnis-ß' }), asBytes('gehe1mnis-ß'), true],
  ])('%s', (_, record, secret, expected) => {
    expect(opensNetwork(record, secret)).toBe(expected)
  })
})

describe('wrong secrets', () => {
  const failures = (wrong: WrongSecrets, address: string, now: number, times: number) =>
    Array.from({ length: times }, () => wrong.count(address, now)).filter((waitMs) => waitMs === 0).length

  it('of one address are told of ten times, then once in six seconds', () => {
    const wrong = new WrongSecrets()
    expect(failures(wrong, '10.0.0.1:1000', 0, 50)).toBe(10)
    expect(Math.abs(wrong.count('10.0.0.1:1001', 1_000) - 5_000)).toBeLessThan(2)
    expect(failures(wrong, '10.0.0.1:1002', 6_001, 5)).toBe(1)
  })

  it('of one address say nothing about others', () => {
    const wrong = new WrongSecrets()
    failures(wrong, '10.0.0.1:1000', 0, 50)
    expect(wrong.count('10.0.0.2:1000', 0)).toBe(0)
  })

  it('of one IPv6 network count together', () => {
    const wrong = new WrongSecrets()
    const addresses = ['[2001:db8::1]:1', '[2001:db8:0:0:9::1]:2', '[2001:db8:0:0:ffff:1:2:3]:3']
    const told = addresses.map((address) => failures(wrong, address, 0, 10))
    expect(told).toEqual([10, 0, 0])
    expect(wrong.count('[2001:db8:0:1::1]:1', 0)).toBe(0)
    expect(wrong.count('[::1]:1', 0)).toBe(0)
  })

  it('of ever new addresses do not fill the memory: the one silent longest is forgotten', () => {
    const wrong = new WrongSecrets()
    failures(wrong, '1.1.1.1:1', 0, 50)
    failures(wrong, '2.2.2.2:1', 0, 50)
    for (let i = 0; i < 9_998; i++) wrong.count(`10.1.${i >> 8}.${i & 255}:1`, 0)
    // Both are still known, and the first was just heard of again.
    expect(wrong.count('1.1.1.1:1', 0)).toBeGreaterThan(0)
    wrong.count('10.9.9.9:1', 0)
    expect(wrong.count('1.1.1.1:1', 0)).toBeGreaterThan(0)
    expect(wrong.count('2.2.2.2:1', 0)).toBe(0)
  })
})
