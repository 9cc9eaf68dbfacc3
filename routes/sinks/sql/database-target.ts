import type { ConnectionOptions } from 'node:tls'

/** `spec.database` with its secret values. */
export interface DatabaseTarget {
  host: string
  port?: number
  database: string
  username: string
  password: string
  query: string
  /** Undefined: no encryption. */
  tls: ConnectionOptions | undefined
  poolSize: number
}
