import { describe, expect, it } from 'vitest'
import type { EnrolmentRequest } from '../../contract/asks.ts'
import { enrolmentRefusal, type Grounds, sha256, type TokenInput, tokenStep } from './enrolment.ts'

const NOW = Date.UTC(2026, 10, 29)
const HOUR = 3_600_000

describe('a token', () => {
  const first: TokenInput = {
    hasCertificate: false,
    rotation: '',
    handledRotation: '',
    known: undefined,
    now: NOW,
  }
  const inTime = { until: NOW + HOUR, rotation: '' }
  const over = { until: NOW, rotation: '' }
  const rows: Record<string, [Partial<TokenInput>, ReturnType<typeof tokenStep>]> = {
    'is made for the first certificate': [{}, 'Make'],
    'is used while its time lasts': [{ known: inTime }, 'Use'],
    'that nobody has used in time stays, and is of no use': [{ known: over }, 'Expired'],
    'that was used stays for whoever lost the answer': [{ hasCertificate: true, known: inTime }, 'Use'],
    'that was used goes when its time is up': [{ hasCertificate: true, known: over }, 'None'],
    'is not made for a device that has its certificate': [{ hasCertificate: true }, 'None'],
    'is made anew when a person asks': [{ hasCertificate: true, rotation: '1', known: inTime }, 'Make'],
    'that has expired is made anew when a person asks': [{ rotation: '1', known: over }, 'Make'],
    'of a rotation is used while its time lasts': [
      { hasCertificate: true, rotation: '1', known: { ...inTime, rotation: '1' } },
      'Use',
    ],
    'of a rotation is not made twice': [
      { hasCertificate: true, rotation: '1', handledRotation: '1' },
      'None',
    ],
  }
  it.each(Object.entries(rows))('%s', (_, [input, expected]) => {
    expect(tokenStep({ ...first, ...input })).toBe(expected)
  })
})

describe('a request', () => {
  const token = sha256('token')
  const byToken: EnrolmentRequest = { deviceId: 'gate', csr: 'one', tokenSha256: token }
  const byCertificate: EnrolmentRequest = { deviceId: 'gate', csr: 'one', fingerprint: 'aa' }
  const grounds: Grounds = { accepted: ['aa', 'bb'], token, used: undefined }
  const rows: Record<string, [EnrolmentRequest, Partial<Grounds>, string | undefined]> = {
    'with its token is granted': [byToken, {}, undefined],
    'with another token is refused': [{ ...byToken, tokenSha256: sha256('x') }, {}, 'TOKEN_REFUSED'],
    'with a token is refused where there is none': [byToken, { token: undefined }, 'TOKEN_REFUSED'],
    'with an empty token is refused where there is none': [
      { ...byToken, tokenSha256: '' },
      { token: undefined },
      'TOKEN_REFUSED',
    ],
    'with something that is no digest is refused': [{ ...byToken, tokenSha256: 'zz' }, {}, 'TOKEN_REFUSED'],
    'may come twice': [byToken, { used: { token, request: sha256('one') } }, undefined],
    'for a second key with one token is refused': [
      byToken,
      { used: { token, request: sha256('two') } },
      'TOKEN_REFUSED',
    ],
    'with a new token is granted whatever the one before was used for': [
      byToken,
      { used: { token: sha256('old'), request: sha256('two') } },
      undefined,
    ],
    'with a certificate that is accepted is granted': [byCertificate, {}, undefined],
    'with another certificate is refused': [
      { ...byCertificate, fingerprint: 'cc' },
      {},
      'CERTIFICATE_REFUSED',
    ],
    'with nothing is refused': [{ deviceId: 'gate', csr: 'one' }, {}, 'CERTIFICATE_REFUSED'],
    'with any certificate of the CA is granted where the chain counts': [
      { ...byCertificate, fingerprint: 'cc' },
      { accepted: 'Chain' },
      undefined,
    ],
  }
  it.each(Object.entries(rows))('%s', (_, [request, known, expected]) => {
    const refused = enrolmentRefusal(request, { ...grounds, ...known })
    expect(refused && 'refusal' in refused ? refused.refusal : refused).toBe(expected)
  })
})
