import { describe, expect, it } from 'vitest'
import { readPair } from '../pki/pair.ts'
import { makeCa } from '../pki/pki.fixture.ts'
import { type SuccessionInput, succession } from './ca-succession.ts'

const DAY = 86_400_000
const pair = readPair(await makeCa('ECDSA-P256'), 'test')
const NOW = Date.now()
const withDays = (days: number) => ({ ...pair, facts: { ...pair.facts, notAfter: NOW + days * DAY } })

const kept: SuccessionInput = {
  current: withDays(400),
  next: undefined,
  keyAlgorithm: 'ECDSA-P256',
  isAsked: false,
  leadMs: 30 * DAY,
  now: NOW,
}
const next = { pair: withDays(3650), since: NOW - 29 * DAY }

describe('a CA', () => {
  it.each<[string, Partial<SuccessionInput>, string]>([
    ['stays while nothing is due', {}, 'Keep'],
    ['is made where there is none', { current: undefined }, 'Replace'],
    ['that has ended is replaced at once: nobody is left who trusts it', { current: withDays(0) }, 'Replace'],
    ['in its last year gets a successor, which is told of first', { current: withDays(364) }, 'Announce'],
    ['gets one when a person asks', { isAsked: true }, 'Announce'],
    ['gets one when another kind of key is asked for', { keyAlgorithm: 'RSA-2048' }, 'Announce'],
    ['that nobody has to know beforehand is replaced at once', { isAsked: true, leadMs: 0 }, 'Replace'],
    ['signs until its successor was published for long enough', { next, isAsked: true }, 'Keep'],
    ['then gives way to it', { next: { ...next, since: NOW - 30 * DAY } }, 'Promote'],
    ['that is lost gives way to it before its time', { current: undefined, next }, 'Promote'],
  ])('%s', (_, input, step) => expect(succession({ ...kept, ...input })).toBe(step))
})
