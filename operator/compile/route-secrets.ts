import type { Route, RouteSpec } from '../../crds/route.ts'

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
  const { s3, database, rest, ifttt, nats, kafka, mqtt } = spec
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
  if (nats?.credentialsSecretRef !== undefined) {
    const keys = { required: [], optional: ['creds', 'seed', 'token', 'username', 'password'] }
    values.push(...whole('nats.credentialsSecretRef', nats.credentialsSecretRef, keys))
  }
  values.push(...ofTls('nats.tls', nats?.tls))
  if (kafka?.sasl !== undefined) {
    const keys = { required: ['username', 'password'] }
    values.push(...whole('kafka.sasl.credentialsSecretRef', kafka.sasl.credentialsSecretRef, keys))
  }
  values.push(...ofTls('kafka.tls', kafka?.tls))
  if (mqtt?.credentialsSecretRef !== undefined) {
    const keys = { required: ['username', 'password'] }
    values.push(...whole('mqtt.credentialsSecretRef', mqtt.credentialsSecretRef, keys))
  }
  values.push(...ofTls('mqtt.tls', mqtt?.tls))
  return values
}

type TlsRefs = Pick<NonNullable<RouteSpec['nats']>['tls'], 'caSecretRef' | 'certificateSecretRef'>

function ofTls(path: string, tls: TlsRefs | undefined): RouteSecretValue[] {
  const certificate = tls?.certificateSecretRef
  const keys = { required: ['tls.crt', 'tls.key'] }
  return [
    ...one(`${path}.caSecretRef`, tls?.caSecretRef),
    ...(certificate === undefined ? [] : whole(`${path}.certificateSecretRef`, certificate, keys)),
  ]
}
