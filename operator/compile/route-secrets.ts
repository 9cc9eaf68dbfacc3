import type { Route } from '../../crds/route.ts'

/** One value that a route needs of a Secret of its namespace. */
export interface RouteSecretValue {
  /** Its name in `RouteCredentials.values`. */
  path: string
  secret: string
  key: string
  /** The route works without it. */
  optional: boolean
}

const whole = (
  path: string,
  { name }: { name: string },
  keys: { required: readonly string[]; optional?: readonly string[] },
): RouteSecretValue[] => [
  ...keys.required.map((key) => ({ path: `${path}.${key}`, secret: name, key, optional: false })),
  ...(keys.optional ?? []).map((key) => ({ path: `${path}.${key}`, secret: name, key, optional: true })),
]

const one = (path: string, ref: { name: string; key: string } | undefined): RouteSecretValue[] =>
  ref === undefined ? [] : [{ path, secret: ref.name, key: ref.key, optional: false }]

/** Every value of a Secret that the destination of the route needs. */
export function routeSecretValues({ spec }: Route): RouteSecretValue[] {
  const { s3, database, rest, ifttt } = spec
  const values: RouteSecretValue[] = []
  if (s3?.credentialsSecretRef !== undefined) {
    const keys = { required: ['accessKeyId', 'secretAccessKey'], optional: ['sessionToken'] }
    values.push(...whole('s3.credentialsSecretRef', s3.credentialsSecretRef, keys))
  }
  values.push(...one('s3.caSecretRef', s3?.caSecretRef))
  if (database !== undefined) {
    const keys = { required: ['username', 'password'] }
    values.push(...whole('database.credentialsSecretRef', database.credentialsSecretRef, keys))
    values.push(...one('database.tls.caSecretRef', database.tls.caSecretRef))
  }
  for (const { name, secretKeyRef } of rest?.headers ?? [])
    values.push(...one(`rest.headers[${name}].secretKeyRef`, secretKeyRef))
  values.push(
    ...one('rest.caSecretRef', rest?.caSecretRef),
    ...one('ifttt.keySecretRef', ifttt?.keySecretRef),
  )
  return values
}
