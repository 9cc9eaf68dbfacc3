/** The step of a hub's reconcile for the credentials of its routes: one Secret, one file in it for each route. */
import { encodeRouteCredentials, routeCredentialsFile } from '../../contract/route-credentials.ts'
import { COMMON_REASONS } from '../../crds/meta.ts'
import { ROUTE_REASONS } from '../../crds/route.ts'
import type { Route } from '../api/resources.ts'
import { routesSecret } from '../build/credentials.ts'
import { routeSecretValues } from '../compile/route-secrets.ts'
import { isDeleting } from '../runtime/finalizer.ts'
import { keyOf, objectKey } from '../runtime/resource.ts'
import { HUB_INDEX } from '../watch/indexes.ts'
import { secretText } from '../watch/secret-reader.ts'
import { emptyPart, type HubPart, type HubScope } from './hub-part.ts'
import { type Problem, stalledBy, type Tools, waitsFor } from './tools.ts'

/** What the API server takes for all values of a Secret, in base64, less some room for its metadata. */
const MAX_SECRET_BYTES = 1_000_000

export async function routesPart({ tools, hub, signal }: HubScope): Promise<HubPart> {
  const routes = tools.world.routes
    .byIndex(HUB_INDEX, keyOf(hub))
    .filter((route) => !isDeleting(route))
    .sort((a, b) => (a.metadata.name < b.metadata.name ? -1 : 1))
  const files: Record<string, string> = {}
  let bytes = 0
  const left: string[] = []
  for (const route of routes) {
    const { values } = await routeValues(route, tools, signal)
    if (Object.keys(values).length === 0) continue
    const file = encodeRouteCredentials({ values })
    bytes += Math.ceil(file.length / 3) * 4
    if (bytes > MAX_SECRET_BYTES) left.push(route.metadata.name)
    else files[routeCredentialsFile(route.metadata.uid ?? '')] = file
  }
  const message = `the credentials of all routes do not fit into one Secret; left out: ${left.join(', ')}`
  return {
    ...emptyPart(),
    desired: [routesSecret(hub, files)],
    problems: left.length > 0 ? [stalledBy(ROUTE_REASONS.CredentialsTooLarge, message)] : [],
  }
}

/** The secret values of a route, and what is missing among those it needs. */
export async function routeValues(
  route: Route,
  tools: Tools,
  signal: AbortSignal,
): Promise<{ values: Record<string, string>; problems: Problem[] }> {
  const values: Record<string, string> = {}
  const problems: Problem[] = []
  for (const { path, secret: name, key, optional } of routeSecretValues(route)) {
    const secret = await tools.secrets.read(objectKey(route.metadata.namespace, name), signal)
    const value = secret && secretText(secret, key)
    if (value !== undefined) values[path] = value
    else if (secret === undefined && !optional)
      problems.push(waitsFor(COMMON_REASONS.SecretNotFound, `spec.${path}: there is no Secret ${name}`))
    else if (!optional)
      problems.push(waitsFor(COMMON_REASONS.SecretInvalid, `spec.${path}: Secret ${name} has no key ${key}`))
  }
  return { values, problems }
}
