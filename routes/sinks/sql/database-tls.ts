import type { ConnectionOptions } from 'node:tls'
import type { RouteSpec } from '../../../crds/route.ts'

type TlsMode = NonNullable<RouteSpec['database']>['tls']['mode']

/** Undefined: no encryption. `ca` is PEM; the system's certificates when left out. */
export function databaseTls(mode: TlsMode, ca: string | undefined): ConnectionOptions | undefined {
  if (mode === 'Disable') return undefined
  return {
    minVersion: 'TLSv1.2',
    rejectUnauthorized: mode === 'VerifyFull',
    ...(ca === undefined ? {} : { ca }),
  }
}
