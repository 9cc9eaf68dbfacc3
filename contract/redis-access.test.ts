import { describe, expect, it } from 'vitest'
import { type RedisAccess, redisAddress, redisFault, redisSettings } from './redis-access.ts'

describe('redisSettings', () => {
  const good: [string, RedisAccess, unknown][] = [
    ['a bare host', { url: 'redis://cache' }, { host: 'cache', port: 6379, db: 0 }],
    ['port and database', { url: 'redis://cache:7000/3' }, { host: 'cache', port: 7000, db: 3 }],
    ['an IPv6 address', { url: 'redis://[::1]:7000' }, { host: '::1', port: 7000, db: 0 }],
    [
      'credentials in the URL, percent-encoded',
      { url: 'redis://me:p%40ss@cache' },
      { host: 'cache', port: 6379, db: 0, username: 'me', password: 'p@ss' },
    ],
    [
      'credentials beside the URL before those in it',
      { url: 'redis://me:old@cache', username: 'you', password: 'new' },
      { host: 'cache', port: 6379, db: 0, username: 'you', password: 'new' },
    ],
    [
      'TLS with the certificates to trust',
      { url: 'rediss://cache', caCertificates: 'PEM' },
      { host: 'cache', port: 6379, db: 0, tls: { ca: 'PEM', servername: 'cache' } },
    ],
    ['TLS to an address', { url: 'rediss://10.0.0.1' }, { host: '10.0.0.1', port: 6379, db: 0, tls: {} }],
    ['TLS to an IPv6 address', { url: 'rediss://[::1]' }, { host: '::1', port: 6379, db: 0, tls: {} }],
    [
      'TLS with another name in the certificate',
      { url: 'rediss://10.0.0.1', serverName: 'cache' },
      { host: '10.0.0.1', port: 6379, db: 0, tls: { servername: 'cache' } },
    ],
  ]
  it.each(good)('takes %s', (_, access, expected) => {
    expect(redisSettings(access)).toEqual(expected)
  })

  const bad: [string, RedisAccess, string][] = [
    ['another scheme', { url: 'http://me:sesame@cache' }, 'redis.url: expected redis://'],
    ['no URL', { url: 'cache:6379' }, 'redis.url: expected redis://'],
    ['no host', { url: 'redis://' }, 'redis.url: expected redis://'],
    [
      'a path that is no number',
      { url: 'redis://me:sesame@cache/x' },
      'redis.url: expected a database number',
    ],
    [
      'a broken escape',
      { url: 'redis://me:sesame%@cache' },
      'redis.url: expected a percent-encoded password',
    ],
    ['a user without a password', { url: 'redis://cache', username: 'me' }, 'redis.password: expected one'],
    [
      'certificates without TLS',
      { url: 'redis://me:sesame@cache', caCertificates: 'PEM' },
      'redis.url: expected rediss:// beside certificates',
    ],
  ]
  it.each(bad)('refuses %s, and shows no credentials', (_, access, message) => {
    expect(() => redisSettings(access)).toThrow(message)
    expect(() => redisSettings(access)).not.toThrow('sesame')
  })
})

describe('redisAddress', () => {
  it('shows where, and not who', () => {
    expect(redisAddress(redisSettings({ url: 'rediss://me:sesame@[::1]:1/2' }))).toBe('rediss://[::1]:1/2')
  })
})

describe('redisFault', () => {
  const coded = Object.assign(new Error('connect to 1.2.3.4'), { code: 'ECONNREFUSED' })
  const errors: [string, unknown][] = [
    ['ECONNREFUSED', coded],
    ['WRONGPASS', new Error('WRONGPASS invalid username-password pair')],
    ['ERR', new Error("ERR unknown command 'SESAME', with args beginning with: 'sesame'")],
    ['TIMEOUT', new Error('Command timed out')],
    ['TIMEOUT', new Error("Socket timeout. Expecting data, but didn't receive any in 5ms.")],
    ['CLOSED', new Error('Connection is closed.')],
    ['CLOSED', new Error("Stream isn't writeable and enableOfflineQueue options is false")],
    ['UNKNOWN', new Error('sesame is wrong')],
    ['UNKNOWN', 'sesame'],
  ]
  it.each(errors)('says %s', (word, error) => {
    expect(redisFault(error)).toBe(word)
  })
})
