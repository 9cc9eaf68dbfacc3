/** Tokens of Kubernetes ServiceAccounts as a login (design §8.8). Verified here, against keys that the operator publishes. */
import { createPublicKey, type KeyObject, verify } from 'node:crypto'
import type { DeviceRecord, HubRecord, TokenIssuer, TokenKey } from '../../contract/hub-state.ts'
import { type Denied, deny } from './verdict.ts'

/** What the API server signs with (its own defaults, RSA and ECDSA); everything else is refused, `none` first. */
const ALGORITHMS = {
  RS256: { kty: 'RSA', hash: 'sha256' },
  ES256: { kty: 'EC', hash: 'sha256' },
  ES384: { kty: 'EC', hash: 'sha384' },
} as const

/** A bound token has 1 to 2 KB. */
const MAX_TOKEN_LENGTH = 8 * 1024
/** Clocks of API server and node differ. */
const LEEWAY_MS = 10_000

export type TokenVerdict =
  /** `expiresAt`: ms since the epoch. */
  { valid: true; expiresAt: number } | { valid: false; why: string }

export interface TokenWish {
  issuer: TokenIssuer
  /** Whose token it has to be. */
  namespace: string
  serviceAccount: string
  /** ms since the epoch. */
  now: number
}

/** Whether it is worth looking at as a token: three parts, which no password of a person has. */
export const looksLikeToken = (text: string): boolean =>
  text.length <= MAX_TOKEN_LENGTH && /^[\w-]+\.[\w-]+\.[\w-]+$/.test(text)

/** What refuses a login by token before the token is looked at; undefined: nothing, the token decides. */
export function tokenLoginFault(
  hub: Pick<HubRecord, 'enabled'>,
  device: Pick<DeviceRecord, 'revoked' | 'enabled'>,
  link: { encrypted: boolean },
): Denied | undefined {
  if (!hub.enabled) return deny('HUB_DISABLED')
  // Whoever reads it on the way could use it as well.
  if (!link.encrypted) return deny('SERVICE_TOKEN_REFUSED', 'the link is not encrypted')
  if (device.revoked) return deny('DEVICE_REVOKED')
  if (!device.enabled) return deny('DEVICE_DISABLED')
  return undefined
}

/** `why` is for logs and events; it holds nothing of the token. */
export function judgeToken(token: string, wish: TokenWish): TokenVerdict {
  if (!looksLikeToken(token)) return no('it is no token')
  const [head = '', body = '', signature = ''] = token.split('.')
  const header = json(head)
  const claims = json(body)
  if (header === undefined || claims === undefined) return no('it cannot be read')
  const { alg, kid, crit } = header
  if (crit !== undefined) return no('it asks for something unknown')
  if (typeof alg !== 'string' || !Object.hasOwn(ALGORITHMS, alg)) return no('its algorithm is not accepted')
  const algorithm = ALGORITHMS[alg as keyof typeof ALGORITHMS]
  const key = wish.issuer.keys.find((one) => one.kid === kid && one.kty === algorithm.kty)
  if (key === undefined) return no('its key is not known')
  if (!isSigned(`${head}.${body}`, signature, { key, hash: algorithm.hash }))
    return no('its signature is wrong')
  return judgeClaims(claims, wish)
}

function judgeClaims(claims: Readonly<Record<string, unknown>>, wish: TokenWish): TokenVerdict {
  const { iss, aud, sub, exp, nbf } = claims
  const { issuer, namespace, serviceAccount, now } = wish
  if (iss !== issuer.issuer) return no('its issuer is another')
  if (!(Array.isArray(aud) ? aud : [aud]).includes(issuer.audience)) return no('it is for another audience')
  if (sub !== `system:serviceaccount:${namespace}:${serviceAccount}`)
    return no('it is of another ServiceAccount')
  if (typeof exp !== 'number' || !Number.isFinite(exp)) return no('it has no end')
  if (exp * 1000 <= now) return no('it has expired')
  if (nbf !== undefined && (typeof nbf !== 'number' || nbf * 1000 > now + LEEWAY_MS))
    return no('it is not valid yet')
  return { valid: true, expiresAt: exp * 1000 }
}

function isSigned(text: string, signature: string, { key, hash }: { key: TokenKey; hash: string }): boolean {
  try {
    const publicKey = keyOf(key)
    const encoding = key.kty === 'EC' ? ({ dsaEncoding: 'ieee-p1363' } as const) : {}
    return verify(
      hash,
      Buffer.from(text),
      { key: publicKey, ...encoding },
      Buffer.from(signature, 'base64url'),
    )
  } catch {
    // A key that OpenSSL cannot work with proves nothing.
    return false
  }
}

const known = new WeakMap<TokenKey, KeyObject>()

function keyOf(key: TokenKey): KeyObject {
  let found = known.get(key)
  if (found === undefined) {
    found = createPublicKey({ key: { ...key }, format: 'jwk' })
    known.set(key, found)
  }
  return found
}

const no = (why: string): TokenVerdict => ({ valid: false, why })

function json(part: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(Buffer.from(part, 'base64url').toString())
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : undefined
  } catch {
    return undefined
  }
}
