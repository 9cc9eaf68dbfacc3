import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type RedisAccess, redisSettings } from '../../contract/redis-access.ts'
import { type MadeCertificate, makeCertificate, makeServerCertificate } from '../../test-support/openssl.ts'
import { type RedisServer, startRedis } from '../../test-support/redis.ts'
import { TcpProxy } from '../../test-support/tcp-proxy.ts'
import { closeRedis, openRedis, untilClosed } from './open-redis.ts'

describe('openRedis over TLS', () => {
  let server: RedisServer
  let authority: MadeCertificate

  beforeAll(async () => {
    const made = await makeServerCertificate()
    authority = made.authority
    server = await startRedis({
      password: 'sesame',
      tls: { cert: made.server.certPath, key: made.server.keyPath },
    })
  })
  afterAll(() => server.stop())

  const open = (access: Partial<RedisAccess>) => {
    const settings = redisSettings({
      url: `rediss://localhost:${server.port}`,
      password: 'sesame',
      ...access,
    })
    return openRedis({ settings, name: 'test', timeoutMs: 20_000 })
  }

  test.each<[string, Partial<RedisAccess> | (() => Partial<RedisAccess>)]>([
    ['by name', {}],
    ['by address', () => ({ url: `rediss://127.0.0.1:${server.port}` })],
    [
      'by address with the name of the certificate',
      () => ({ url: `rediss://127.0.0.1:${server.port}`, serverName: 'localhost' }),
    ],
  ])('reaches a server that the given authority vouches for, %s', async (_, access) => {
    const more = typeof access === 'function' ? access() : access
    const redis = await open({ caCertificates: authority.certPem, ...more })
    expect(await redis.ping()).toBe('PONG')
    closeRedis(redis)
  })

  test('refuses a server of an unknown authority, another name, and no password', async () => {
    const other = await makeCertificate({ commonName: 'other CA', authority: true })
    await expect(open({})).rejects.toMatchObject({ fault: 'UNABLE_TO_VERIFY_LEAF_SIGNATURE' })
    await expect(open({ caCertificates: other.certPem })).rejects.toMatchObject({ name: 'RedisUnavailable' })
    await expect(open({ caCertificates: authority.certPem, serverName: 'elsewhere' })).rejects.toMatchObject({
      fault: 'ERR_TLS_CERT_ALTNAME_INVALID',
    })
    const wrong = open({ caCertificates: authority.certPem, password: 'open-up' })
    await expect(wrong).rejects.toMatchObject({ fault: 'WRONGPASS' })
  })

  test('does not fall back to plain text', async () => {
    await using plain = await startRedis()
    const settings = redisSettings({ url: `rediss://127.0.0.1:${plain.port}` })
    await expect(openRedis({ settings, name: 'test', timeoutMs: 500 })).rejects.toThrow(
      'Redis is not available',
    )
  })
})

describe('openRedis', () => {
  test('closes a connection over which a command goes unanswered', async () => {
    await using server = await startRedis()
    await using proxy = await new TcpProxy(server.port).start()
    const settings = redisSettings({ url: `redis://127.0.0.1:${proxy.port}` })
    const redis = await openRedis({ settings, name: 'test', timeoutMs: 1_000 })
    proxy.silence()
    await expect(redis.get('x')).rejects.toThrow()
    await untilClosed(redis)
    await expect(redis.get('x')).rejects.toThrow()
  })

  test('gives up when it is told to, while Redis says nothing', async () => {
    await using server = await startRedis()
    await using proxy = await new TcpProxy(server.port).start()
    proxy.silence()
    const settings = redisSettings({ url: `redis://127.0.0.1:${proxy.port}` })
    const stop = new AbortController()
    const opening = openRedis({ settings, name: 'test', timeoutMs: 60_000, signal: stop.signal })
    setTimeout(() => stop.abort(), 50)
    await expect(opening).rejects.toMatchObject({ fault: 'STOPPED' })
  })
})
