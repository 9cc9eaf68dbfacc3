import { constants } from 'node:crypto'
import { createSecureContext, type SecureContextOptions, type TlsOptions } from 'node:tls'
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

/** The CA list as far as OpenSSL can read it. One that it can't read closes the door instead of the hub. */
export function usableDeviceCa(certificates: readonly string[], logger: Logger): readonly string[] {
  try {
    createSecureContext({ ca: [...certificates] })
    return certificates
  } catch (error) {
    logger.error({ reason: (error as Error).message }, 'the device CA cannot be read: no chain is trusted')
    return []
  }
}
