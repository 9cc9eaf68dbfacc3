/** How to reach a Redis, as it stands in a Secret or in a manifest. */
export interface RedisAccess {
  /** `redis://host[:port][/db]` or `rediss://` for TLS; it may name user and password. */
  url: string
  /** Wins over the one in the URL. */
  username?: string
  /** Wins over the one in the URL. */
  password?: string
  /** PEM certificates to trust in place of the system's; only for `rediss://`. */
  caCertificates?: string
  /** The name that the server's certificate has to carry, when it is not the host of the URL. */
  serverName?: string
}

/** The same, checked and taken apart. The names are those that ioredis gives its options. */
export interface RedisSettings {
  host: string
  port: number
  db: number
  username?: string
  password?: string
  /** Without `servername` the certificate has to name the host. */
  tls?: { ca?: string; servername?: string }
}

const DEFAULT_PORT = 6379

/** Throws a RangeError that names the field and never shows a user name or a password. */
export function redisSettings(access: RedisAccess): RedisSettings {
  const url = parseUrl(access.url)
  const username = access.username ?? decoded('username', url.username)
  const password = access.password ?? decoded('password', url.password)
  if (username !== undefined && password === undefined) {
    throw new RangeError('redis.password: expected one beside the user name, got none')
  }
  const host = url.hostname.replace(/^\[(.*)\]$/, '$1')
  return {
    host,
    port: url.port === '' ? DEFAULT_PORT : Number(url.port),
    db: database(url.pathname),
    ...(username === undefined ? {} : { username }),
    ...(password === undefined ? {} : { password }),
    ...transport(url, access, host),
  }
}

/** `redis://host:port/db` without credentials, for logs. */
export function redisAddress({ host, port, db, tls }: RedisSettings): string {
  const name = host.includes(':') ? `[${host}]` : host
  return `${tls === undefined ? 'redis' : 'rediss'}://${name}:${port}/${db}`
}

/**
 * A word for what went wrong, safe to log: `ECONNREFUSED`, `TIMEOUT`, `WRONGPASS`, `OOM`. The errors of the client
 * carry the arguments of their command, passwords and payloads included, and Redis repeats some in its text: only
 * the code may leave.
 */
export function redisFault(error: unknown): string {
  if (!(error instanceof Error)) return 'UNKNOWN'
  const code = 'code' in error ? error.code : undefined
  if (typeof code === 'string' && /^[A-Z][A-Z0-9_]*$/.test(code)) return code
  if (/timed out|timeout/i.test(error.message)) return 'TIMEOUT'
  if (/connection is closed|closed|ended|writeable/i.test(error.message)) return 'CLOSED'
  // A refusal of Redis starts with a word in capitals, by contract of its protocol.
  return /^[A-Z][A-Z0-9_]+(?= |$)/.exec(error.message)?.[0] ?? 'UNKNOWN'
}

function parseUrl(text: string): URL {
  const url = URL.parse(text)
  if (url === null || !/^rediss?:$/.test(url.protocol) || url.hostname === '') {
    throw new RangeError('redis.url: expected redis://host[:port][/db] or rediss://…, got something else')
  }
  return url
}

function decoded(field: string, part: string): string | undefined {
  if (part === '') return undefined
  try {
    return decodeURIComponent(part)
  } catch {
    throw new RangeError(`redis.url: expected a percent-encoded ${field}, got a broken one`)
  }
}

function database(path: string): number {
  if (path === '' || path === '/') return 0
  const digits = /^\/(\d{1,5})$/.exec(path)?.[1]
  if (digits === undefined)
    throw new RangeError('redis.url: expected a database number as path, got something else')
  return Number(digits)
}

function transport(url: URL, access: RedisAccess, host: string): Pick<RedisSettings, 'tls'> {
  const { caCertificates, serverName } = access
  if (url.protocol === 'rediss:') {
    // RFC 6066 §3: an address is no server name.
    const servername = serverName ?? (isAddress(host) ? undefined : host)
    return {
      tls: {
        ...(caCertificates === undefined ? {} : { ca: caCertificates }),
        ...(servername === undefined ? {} : { servername }),
      },
    }
  }
  // Certificates beside a plain URL say that somebody wanted TLS: falling back in silence would leak the password.
  if (caCertificates !== undefined || serverName !== undefined) {
    throw new RangeError('redis.url: expected rediss:// beside certificates or a server name, got redis://')
  }
  return {}
}

const isAddress = (host: string): boolean => host.includes(':') || /^[0-9.]+$/.test(host)
