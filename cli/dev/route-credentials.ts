import type { RouteCredentials } from '../../contract/route-credentials.ts'
import { COMMON_REASONS } from '../../crds/meta.ts'
import type { Route } from '../../crds/route.ts'
import type { Diagnostic } from '../../operator/compile/diagnostic.ts'
import { routeSecretValues } from '../../operator/compile/route-secrets.ts'
import { namespaceOf } from '../manifests/manifest-set.ts'
import type { HubManifests } from './hub-manifests.ts'
import { objectUid } from './uuid.ts'

export interface CollectedCredentials {
  /** By the id of the route. In memory only: secret values are never written down a second time. */
  credentials: ReadonlyMap<string, RouteCredentials>
  diagnostics: Diagnostic[]
}

/** Id of a route in `hublet dev`. */
export const routeIdOf = ({ metadata }: Route): string =>
  objectUid(namespaceOf(metadata), 'Route', metadata.name)

/** The secret values that the routes of a hub need, from the Secrets and ConfigMaps beside them. */
export function collectCredentials({ routes, secrets }: HubManifests): CollectedCredentials {
  const credentials = new Map<string, RouteCredentials>()
  const diagnostics: Diagnostic[] = []
  for (const { object } of routes) {
    const values: Record<string, string> = {}
    const missing: string[] = []
    for (const { path, secret, key, optional } of routeSecretValues(object)) {
      const value = secrets(secret, key)
      if (value !== undefined) values[path] = value.toString()
      else if (!optional) missing.push(`spec.${path}: expected key ${key} of Secret ${secret}, got none`)
    }
    credentials.set(routeIdOf(object), { values })
    if (missing.length > 0)
      diagnostics.push({
        kind: 'Route',
        name: object.metadata.name,
        reason: COMMON_REASONS.SecretNotFound,
        message: `messages wait: ${missing.join('; ')}`,
        excluded: false,
      })
  }
  return { credentials, diagnostics }
}
