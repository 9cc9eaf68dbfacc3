import { constants, X509Certificate } from 'node:crypto'
import type { SecureContextOptions, TlsOptions } from 'node:tls'
import type { Logger } from 'pino'
import type { ServerCredentials } from '../../contract/hub-state.ts'

export const HANDSHAKE_TIMEOUT_MS = 10_000

/** What a TLS listener presents and trusts. Replaced as a whole: Node forgets what a new context leaves out. */
export interface TlsMaterial {
  credentials: ServerCredentials
  /** PEM; clients are verified against these and nothing else. Empty: against nothing. */
  deviceCa: readonly string[]
}

/**
 * `ca` is always given, also when empty: without it OpenSSL takes the system's roots, and any public CA could
 * sign for a device. No tickets and no renegotiation: each link is judged by one full handshake (design §8.12).
 */
export function contextOptions({ credentials, deviceCa }: TlsMaterial): SecureContextOptions {
  return {
    cert: credentials.certificateChain,
    key: credentials.privateKey,
    ca: [...deviceCa],
    minVersion: 'TLSv1.2',
    secureOptions: constants.SSL_OP_NO_TICKET | constants.SSL_OP_NO_RENEGOTIATION,
  }
}

/** `clients`: whether a client is asked for a certificate. It never has to have one; the policy judges that. */
export function serverOptions(material: TlsMaterial, clients: 'AskCertificate' | 'AskNothing'): TlsOptions {
  return {
    ...contextOptions(material),
    requestCert: clients === 'AskCertificate',
    rejectUnauthorized: false,
    handshakeTimeout: HANDSHAKE_TIMEOUT_MS,
  }
}

/**
 * The certificates of the list that can be read. OpenSSL skips what is no PEM without a word and fails on a
 * broken one, which would leave the old list in force; here each is told of and trusts nobody.
 */
export function readableCertificates(certificates: readonly string[], logger: Logger): readonly string[] {
  return certificates.filter((certificate, index) => {
    try {
      new X509Certificate(certificate)
      return true
    } catch (error) {
      logger.error({ index, reason: (error as Error).message }, 'a device CA certificate cannot be read')
      return false
    }
  })
}
