import { type SinkFailure, unavailable } from './sink.ts'

const NO_SUCH_HOST = new Set(['ENOTFOUND', 'EAI_AGAIN', 'EAI_NODATA', 'EAI_NONAME'])

const BROKEN = new Set([
  'ECONNREFUSED',
  'ECONNRESET',
  'ECONNABORTED',
  'EPIPE',
  'ETIMEDOUT',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'EADDRNOTAVAIL',
  'EHOSTDOWN',
  'UND_ERR_SOCKET',
  'UND_ERR_CONNECT_TIMEOUT',
  'UND_ERR_CLOSED',
  'UND_ERR_DESTROYED',
  'PROTOCOL_CONNECTION_LOST',
])

/**
 * What an error of the network, of name resolution or of TLS means; undefined: it is none of these. Their texts
 * name hosts, addresses and certificates only, never what was sent.
 */
export function connectionFailure(error: unknown): SinkFailure | undefined {
  if (!(error instanceof Error)) return undefined
  const { code } = error as NodeJS.ErrnoException
  const message = error.message === '' ? String(code) : error.message
  if (code === 'DESTINATION_FORBIDDEN' || code === 'ANSWER_TOO_LONG') return unavailable({ code, message })
  if (code !== undefined && NO_SUCH_HOST.has(code)) return unavailable({ code: 'DNS_FAILED', message })
  if (code !== undefined && isTls(code)) return unavailable({ code: 'TLS_FAILED', message })
  if (code !== undefined && BROKEN.has(code)) return unavailable({ code: 'CONNECTION_FAILED', message })
  // Several addresses were tried: the first error stands for all.
  if (error instanceof AggregateError) return connectionFailure(error.errors[0])
  return error.cause === undefined || error.cause === error ? undefined : connectionFailure(error.cause)
}

/** OpenSSL's words for a certificate that does not verify have no common form. */
const isTls = (code: string) =>
  /^(ERR_TLS_|ERR_SSL_|EPROTO$|CERT_|CRL_|UNABLE_TO_|DEPTH_ZERO_|SELF_SIGNED_|HOSTNAME_MISMATCH|INVALID_|HANDSHAKE_)/.test(
    code,
  )
