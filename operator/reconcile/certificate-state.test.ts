import { describe, expect, it } from 'vitest'
import {
  type CertificateState,
  certificateState,
  type FoundCertificate,
  issueReason,
  nextEnd,
  spreadRenewal,
  withCurrent,
  withPromoted,
  withRevoked,
} from './certificate-state.ts'

const HOUR = 3_600_000
const NOW = Date.parse('2026-06-01T00:00:00Z')
const at = (hours: number) => new Date(NOW + hours * HOUR).toISOString().replace('.000Z', 'Z')
const print = (letter: string) => letter.repeat(64)
const [A, B, C] = [print('a'), print('b'), print('c')]
const ending = (fingerprint: string, hours: number) => ({ fingerprint, until: at(hours) })
const EMPTY: CertificateState = { retiring: [], revoked: [] }

describe('reading the status', () => {
  it('finds the current certificate among those that are accepted, and leaves out what has ended', () => {
    const status = {
      certificate: {
        fingerprints: [A, B],
        notAfter: at(100),
        retiring: [ending(B, 5), ending(C, -1)],
        handledRotation: 'x',
      },
      revokedFingerprints: [ending(print('d'), 1), ending(print('e'), 0)],
    }
    expect(certificateState(status, NOW)).toEqual({
      current: ending(A, 100),
      retiring: [ending(B, 5)],
      revoked: [ending(print('d'), 1)],
      handledRotation: 'x',
    })
  })

  it('takes a certificate whose overlap has just ended for no current one', () => {
    const certificate = { fingerprints: [B], notAfter: at(100), retiring: [ending(B, -1)] }
    expect(certificateState({ certificate }, NOW)).toEqual(EMPTY)
  })

  it.each([undefined, {}, { certificate: {} }, { certificate: { fingerprints: [], notAfter: at(1) } }])(
    'gives an empty state for %j',
    (status) => expect(certificateState(status, NOW)).toEqual(EMPTY),
  )
})

describe('the use of the new certificate', () => {
  const rotated = { ...EMPTY, current: ending(B, 200), retiring: [ending(A, 30)] }
  const used = { ...rotated, used: ending(B, 200) }

  it('ends the overlap of the one before', () =>
    expect(withPromoted(used, { isShared: false })).toEqual({ ...used, retiring: [] }))

  it.each([
    ['is still to come', rotated, false],
    ['was a use of the one before', { ...rotated, used: ending(A, 30) }, false],
    ['says nothing of the other clients of the device', used, true],
  ])('%s: both are accepted', (_, state, isShared) =>
    expect(withPromoted(state, { isShared })).toEqual(state),
  )

  it('is what a revocation is about as well', () => {
    const own = { ...EMPTY, used: ending(C, 50) }
    expect(withRevoked(own, undefined, NOW).revoked).toEqual([ending(C, 50)])
  })
})

describe('a new certificate', () => {
  const facts = { fingerprint: B, notAfter: NOW + 200 * HOUR }

  it('leaves the one before good for the overlap, and no longer than it is valid', () => {
    const state = { ...EMPTY, current: ending(A, 100) }
    expect(withCurrent(state, facts, { now: NOW, overlap: 30 * HOUR })).toEqual({
      ...EMPTY,
      current: ending(B, 200),
      retiring: [ending(A, 30)],
    })
    expect(withCurrent(state, facts, { now: NOW, overlap: 300 * HOUR }).retiring).toEqual([ending(A, 100)])
    expect(withCurrent(state, facts, { now: NOW, overlap: undefined }).retiring).toEqual([ending(A, 100)])
  })

  it('is no new one when it is the one we know', () => {
    const state = { ...EMPTY, current: ending(B, 200), retiring: [ending(A, 30)] }
    expect(withCurrent(state, facts, { now: NOW, overlap: HOUR })).toEqual(state)
  })

  it('that comes back from among the replaced ones is not about to end any more', () => {
    const state = { ...EMPTY, current: ending(A, 100), retiring: [ending(B, 30)] }
    expect(withCurrent(state, facts, { now: NOW, overlap: HOUR })).toEqual({
      ...EMPTY,
      current: ending(B, 200),
      retiring: [ending(A, 1)],
    })
  })

  it('does not keep a revoked one', () => {
    const state = { ...EMPTY, current: ending(A, 100), revoked: [ending(A, 100)] }
    expect(withCurrent(state, facts, { now: NOW, overlap: HOUR }).retiring).toEqual([])
  })

  it('keeps as many as the API takes, those that end last', () => {
    const prints = Array.from({ length: 15 }, (_, n) => n.toString(16).padStart(64, '0'))
    const retiring = prints.map((fingerprint, n) => ending(fingerprint, n + 1))
    const next = withCurrent({ ...EMPTY, current: ending(A, 100), retiring }, facts, {
      now: NOW,
      overlap: undefined,
    })
    expect(next.retiring).toHaveLength(15)
    expect(next.retiring.map(({ fingerprint }) => fingerprint)).not.toContain(prints[0])
    expect(next.retiring).toContainEqual(ending(A, 100))
  })
})

describe('a revocation', () => {
  it('refuses everything that the device could show until it ends by itself', () => {
    const state = {
      ...EMPTY,
      current: ending(A, 100),
      retiring: [ending(B, 5)],
      revoked: [ending(print('d'), 7), ending(print('e'), -1)],
      handledRotation: 'x',
    }
    expect(withRevoked(state, { fingerprint: C, notAfter: NOW + 9 * HOUR }, NOW)).toEqual({
      retiring: [],
      revoked: [ending(A, 100), ending(B, 5), ending(C, 9), ending(print('d'), 7)],
      handledRotation: 'x',
    })
  })

  it('of a device without a certificate changes nothing', () => {
    expect(withRevoked(EMPTY, undefined, NOW)).toEqual(EMPTY)
  })
})

it('the state changes by itself when the first overlap or revocation ends', () => {
  expect(nextEnd(EMPTY)).toBeUndefined()
  expect(nextEnd({ ...EMPTY, current: ending(A, 1) })).toBeUndefined()
  expect(nextEnd({ retiring: [ending(A, 5)], revoked: [ending(B, 3)] })).toBe(NOW + 3 * HOUR)
})

describe('why a certificate is issued', () => {
  const wish = {
    commonName: 'lamp',
    keyAlgorithm: 'ECDSA-P256',
    duration: 90 * HOUR,
    overlap: HOUR,
    renewBefore: 30 * HOUR,
  } as const
  const found = (facts: object = {}, rest: object = {}): FoundCertificate => ({
    facts: {
      fingerprint: A,
      commonName: 'lamp',
      notBefore: NOW - HOUR,
      notAfter: NOW + 60 * HOUR,
      serial: '01',
      issuer: 'CN=ca',
      ...facts,
    },
    keyAlgorithm: 'ECDSA-P256',
    isFromCa: true,
    ...rest,
  })
  const input = { wish, found: found(), state: EMPTY, caNotAfter: NOW + 1000 * HOUR, now: NOW }

  it.each([
    ['nothing, when what is there will do', {}, undefined],
    ['there is none', { found: undefined }, 'Missing'],
    ['it cannot be read', { found: 'unreadable' }, 'Unreadable'],
    ['it names another device', { found: found({ commonName: 'pump' }) }, 'NameChanged'],
    [
      'it has a key of another kind',
      { found: found({}, { keyAlgorithm: 'RSA-2048' }) },
      'KeyAlgorithmChanged',
    ],
    ['another CA signed it', { found: found({}, { isFromCa: false }) }, 'IssuerChanged'],
    ['it was revoked', { state: { ...EMPTY, revoked: [ending(A, 60)] } }, 'Revoked'],
    ['it lives longer than wished', { found: found({ notAfter: NOW + 91 * HOUR }) }, 'DurationShortened'],
    ['its time has come', { found: found({ notAfter: NOW + 30 * HOUR }) }, 'RenewalDue'],
    ['its time has not quite come', { found: found({ notAfter: NOW + 30 * HOUR + 1 }) }, undefined],
    [
      'its time has come and the CA ends with it',
      { found: found({ notAfter: NOW + 30 * HOUR }), caNotAfter: NOW + 30 * HOUR },
      undefined,
    ],
    ['a rotation is asked for', { wish: { ...wish, rotation: '2' } }, 'RotationAsked'],
    [
      'the rotation is done, by the Secret',
      { wish: { ...wish, rotation: '2' }, found: found({}, { rotation: '2' }) },
      undefined,
    ],
    [
      'the rotation is done, by the status',
      { wish: { ...wish, rotation: '2' }, state: { ...EMPTY, handledRotation: '2' } },
      undefined,
    ],
  ] as Array<[string, object, string | undefined]>)('%s', (_, change, reason) => {
    expect(issueReason({ ...input, ...change })).toBe(reason)
  })
})

describe('renewals', () => {
  it('are spread over a tenth by the uid', () => {
    const uid = (head: string) => `${head}-0000-4000-8000-000000000000`
    expect(spreadRenewal(1000, 3000, uid('00000000'))).toBe(1000)
    expect(spreadRenewal(1000, 3000, uid('80000000'))).toBe(1050)
    expect(spreadRenewal(1000, 3000, 'no uid')).toBe(1000)
  })

  it('never make a fresh certificate due', () => {
    expect(spreadRenewal(990, 1000, 'ffffffff-0000-4000-8000-000000000000')).toBeLessThan(1000)
  })
})
