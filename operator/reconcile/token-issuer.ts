/** The keys that the API server signs tokens of ServiceAccounts with, as it publishes them (OpenID discovery). */

import type { Clock } from '../../contract/clock.ts'
import type { TokenIssuer, TokenKey } from '../../contract/hub-state.ts'
import type { ApiClient } from '../runtime/api-client.ts'

/** A key is published long before it signs, and stays while its tokens live. */
const KEPT_MS = 120_000
const MAX_KEYS = 16
const MAX_LENGTH = 2_048

export type PublishedIssuer = Pick<TokenIssuer, 'issuer' | 'keys'>

export class TokenIssuerReader {
  readonly #client: ApiClient
  readonly #clock: Clock
  #known: { issuer: PublishedIssuer; at: number } | undefined

  constructor(client: ApiClient, clock: Clock) {
    this.#client = client
    this.#clock = clock
  }

  /** Rejects when the API server does not tell; what it told last is kept for two minutes. */
  async read(signal: AbortSignal): Promise<PublishedIssuer> {
    const known = this.#known
    if (known !== undefined && this.#clock.monotonic() - known.at < KEPT_MS) return known.issuer
    const [discovery, keys] = await Promise.all([
      this.#get<{ issuer?: unknown }>('/.well-known/openid-configuration', signal),
      this.#get<{ keys?: unknown }>('/openid/v1/jwks', signal),
    ])
    const issuer = publishedIssuer(discovery.issuer, keys.keys)
    if (issuer === undefined) throw new Error('the API server publishes no issuer and keys that can be read')
    this.#known = { issuer, at: this.#clock.monotonic() }
    return issuer
  }

  async #get<T>(path: string, signal: AbortSignal): Promise<T> {
    const accept = 'application/jwk-set+json, application/json'
    return (await this.#client.request<T>({ method: 'GET', path, accept, signal })).body
  }
}

/** Only what is a public key that brokers take. */
export function publishedIssuer(issuer: unknown, keys: unknown): PublishedIssuer | undefined {
  if (typeof issuer !== 'string' || issuer === '' || !Array.isArray(keys)) return undefined
  const usable = keys.slice(0, MAX_KEYS).flatMap((key) => tokenKey(key) ?? [])
  return usable.length === 0 ? undefined : { issuer, keys: usable }
}

function tokenKey(value: unknown): TokenKey | undefined {
  if (typeof value !== 'object' || value === null) return undefined
  const { kty, kid, n, e, crv, x, y } = value as Record<string, unknown>
  const isText = (...all: unknown[]) =>
    all.every((one) => typeof one === 'string' && one.length <= MAX_LENGTH)
  if (!isText(kid)) return undefined
  if (kty === 'RSA' && isText(n, e)) return { kty, kid, n, e } as TokenKey
  if (kty === 'EC' && isText(crv, x, y)) return { kty, kid, crv, x, y } as TokenKey
  return undefined
}
