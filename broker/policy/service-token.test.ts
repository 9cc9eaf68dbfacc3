import { createHmac, generateKeyPairSync, type KeyObject, sign } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import type { TokenIssuer, TokenKey } from '../../contract/hub-state.ts'
import { judgeToken, looksLikeToken } from './service-token.ts'

const NOW = Date.parse('2026-11-28T12:00:00Z')
const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 })
const ec = generateKeyPairSync('ec', { namedCurve: 'P-256' })
const other = generateKeyPairSync('rsa', { modulusLength: 2048 })

const jwk = (key: KeyObject, kid: string) => ({ ...key.export({ format: 'jwk' }), kid }) as TokenKey
const ISSUER: TokenIssuer = {
  issuer: 'https://kubernetes.default.svc',
  audience: 'hub-plant.iot.svc',
  keys: [jwk(rsa.publicKey, 'rsa'), jwk(ec.publicKey, 'ec')],
}
const CLAIMS = {
  iss: ISSUER.issuer,
  aud: [ISSUER.audience],
  sub: 'system:serviceaccount:iot:backend',
  exp: NOW / 1000 + 600,
  nbf: NOW / 1000,
}
type Sign = (text: string) => Buffer

const part = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url')
const byRsa: Sign = (text) => sign('sha256', Buffer.from(text), rsa.privateKey)
const byEc: Sign = (text) =>
  sign('sha256', Buffer.from(text), { key: ec.privateKey, dsaEncoding: 'ieee-p1363' })

function token(claims: object = {}, header: object = {}, signer: Sign = byRsa): string {
  const text = `${part({ alg: 'RS256', kid: 'rsa', ...header })}.${part({ ...CLAIMS, ...claims })}`
  return `${text}.${signer(text).toString('base64url')}`
}

const judge = (text: string) =>
  judgeToken(text, { issuer: ISSUER, namespace: 'iot', serviceAccount: 'backend', now: NOW })

describe('a token of a ServiceAccount', () => {
  it('is good until its end, signed with RSA or ECDSA', () => {
    const good = { valid: true, expiresAt: NOW + 600_000 }
    expect(judge(token())).toEqual(good)
    expect(judge(token({ aud: ISSUER.audience }))).toEqual(good)
    expect(judge(token({}, { alg: 'ES256', kid: 'ec' }, byEc))).toEqual(good)
  })

  it.each<[string, string, string]>([
    ['of another hub', token({ aud: ['hub-other.iot.svc'] }), 'it is for another audience'],
    ['without an audience', token({ aud: undefined }), 'it is for another audience'],
    ['of the API server itself', token({ aud: [ISSUER.issuer] }), 'it is for another audience'],
    ['of another cluster', token({ iss: 'https://elsewhere' }), 'its issuer is another'],
    [
      'of another account',
      token({ sub: 'system:serviceaccount:iot:default' }),
      'it is of another ServiceAccount',
    ],
    [
      'of another namespace',
      token({ sub: 'system:serviceaccount:elsewhere:backend' }),
      'it is of another ServiceAccount',
    ],
    ['that has expired', token({ exp: NOW / 1000 }), 'it has expired'],
    ['without an end', token({ exp: undefined }), 'it has no end'],
    ['with a text as its end', token({ exp: '9999999999' }), 'it has no end'],
    ['that is not valid yet', token({ nbf: NOW / 1000 + 60 }), 'it is not valid yet'],
    [
      'without a signature',
      token({}, { alg: 'none' }, () => Buffer.from('x')),
      'its algorithm is not accepted',
    ],
    [
      'signed with the public key as a secret',
      token({}, { alg: 'HS256' }, (text) =>
        createHmac('sha256', rsa.publicKey.export({ type: 'spki', format: 'pem' }))
          .update(text)
          .digest(),
      ),
      'its algorithm is not accepted',
    ],
    [
      'that takes an algorithm by a name of every object',
      token({}, { alg: 'toString' }),
      'its algorithm is not accepted',
    ],
    ['of a key that is not known', token({}, { kid: 'new' }), 'its key is not known'],
    ['that names no key', token({}, { kid: undefined }), 'its key is not known'],
    ['of a key of another kind', token({}, { kid: 'ec' }), 'its key is not known'],
    [
      'signed by somebody else',
      token({}, {}, (text) => sign('sha256', Buffer.from(text), other.privateKey)),
      'its signature is wrong',
    ],
    [
      'with a changed body',
      token().replace(/\.[^.]+\./, `.${part({ ...CLAIMS, x: 1 })}.`),
      'its signature is wrong',
    ],
    ['with a critical header', token({}, { crit: ['x'] }), 'it asks for something unknown'],
    ['that cannot be read', 'a.b.c', 'it cannot be read'],
    ['that is none', 'sesame', 'it is no token'],
    ['that is too long', `${'a'.repeat(9_000)}.b.c`, 'it is no token'],
  ])('%s is refused', (_, text, why) => {
    expect(judge(text)).toEqual({ valid: false, why })
  })

  it('does not look like a password, nor a password like a token', () => {
    expect(looksLikeToken(token())).toBe(true)
    for (const text of ['', 'a.b', 'a.b.c.d', 'correct horse', 'a..c'])
      expect(looksLikeToken(text)).toBe(false)
  })
})
