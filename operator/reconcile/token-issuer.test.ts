import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { KubeConfig } from '@kubernetes/client-node'
import { describe, expect, it, vi } from 'vitest'
import { FakeClock } from '../../test-support/fake-clock.ts'
import { createApiClient } from '../runtime/api-client.ts'
import { publishedIssuer, TokenIssuerReader } from './token-issuer.ts'

const rsa = { kty: 'RSA', kid: 'one', n: 'AQAB', e: 'AQAB' }
const ec = { kty: 'EC', kid: 'two', crv: 'P-256', x: 'eA', y: 'eQ' }

describe('the keys that an API server publishes', () => {
  it('are taken as they are, and nothing beside them', () => {
    expect(publishedIssuer('https://api', [{ ...rsa, use: 'sig', d: 'secret' }, ec])).toEqual({
      issuer: 'https://api',
      keys: [rsa, ec],
    })
  })

  it.each([
    ['of another kind', { kty: 'oct', kid: 'three', k: 'c2VjcmV0' }],
    ['without a name', { ...rsa, kid: undefined }],
    ['without a part', { ...ec, y: undefined }],
    ['that are too long', { ...rsa, n: 'A'.repeat(2_049) }],
    ['that are none', null],
  ])('%s are left out, the others count', (_, odd) => {
    expect(publishedIssuer('https://api', [odd, ec])?.keys).toEqual([ec])
    expect(publishedIssuer('https://api', [odd])).toBeUndefined()
  })

  it('are 16 at most', () => {
    const many = Array.from({ length: 40 }, (_, index) => ({ ...rsa, kid: String(index) }))
    expect(publishedIssuer('https://api', many)?.keys).toHaveLength(16)
  })

  it.each([
    ['no issuer', undefined, [rsa]],
    ['an empty issuer', '', [rsa]],
    ['no list', 'https://api', rsa],
  ])('with %s are none', (_, issuer, keys) => {
    expect(publishedIssuer(issuer, keys)).toBeUndefined()
  })
})

describe('the reader of them', () => {
  it('asks again after two minutes, and when it got no answer', async () => {
    const asked: string[] = []
    let answers = true
    const server = createServer(({ url = '' }, response) => {
      asked.push(url)
      const body = url.includes('jwks') ? { keys: [rsa] } : { issuer: 'https://api' }
      response.writeHead(answers ? 200 : 403, { 'content-type': 'application/json' })
      response.end(JSON.stringify(answers ? body : { kind: 'Status', message: 'no' }))
    })
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    const kubeConfig = new KubeConfig()
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
    kubeConfig.loadFromOptions({
      clusters: [{ name: 'c', server: url, skipTLSVerify: true }],
      users: [{ name: 'u', token: 'token' }],
      contexts: [{ name: 'x', cluster: 'c', user: 'u' }],
      currentContext: 'x',
    })
    const client = createApiClient({ kubeConfig, timeoutMs: 2_000 })
    const clock = new FakeClock()
    const reader = new TokenIssuerReader(client, clock)
    const { signal } = new AbortController()
    try {
      answers = false
      await expect(reader.read(signal)).rejects.toThrow()
      // One refusal is enough for it; the other question is on its way all the same.
      await vi.waitFor(() => expect(asked).toHaveLength(2), { timeout: 20_000 })
      answers = true
      const issuer = { issuer: 'https://api', keys: [rsa] }
      asked.length = 0
      expect(await reader.read(signal)).toEqual(issuer)
      expect(await reader.read(signal)).toEqual(issuer)
      expect(asked.sort()).toEqual(['/.well-known/openid-configuration', '/openid/v1/jwks'])
      await clock.advance(120_000)
      expect(await reader.read(signal)).toEqual(issuer)
      expect(asked).toHaveLength(4)
      // What it knows counts for its two minutes, whatever the server says meanwhile.
      answers = false
      expect(await reader.read(signal)).toEqual(issuer)
      await clock.advance(120_000)
      await expect(reader.read(signal)).rejects.toThrow()
    } finally {
      client.close()
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    }
  })
})
