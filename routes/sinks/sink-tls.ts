import type { ConnectionOptions } from 'node:tls'

/** `tls` of a spec with its secret values, all PEM. */
export interface SinkTls {
  mode: 'VerifyFull' | 'Require' | 'Disable'
  /** The system's certificates when left out. */
  ca: string | undefined
  /** What we show the server. */
  certificate: { cert: string; key: string } | undefined
}

/** Undefined: no encryption. */
export function sinkTls({ mode, ca, certificate }: SinkTls): ConnectionOptions | undefined {
  if (mode === 'Disable') return undefined
  return {
    minVersion: 'TLSv1.2',
    rejectUnauthorized: mode === 'VerifyFull',
    ...(ca === undefined ? {} : { ca }),
    ...certificate,
  }
}
