/**
 * Secret values of one route, as the operator puts them into the folder of the route worker: a file
 * `<route uid>.json`. They travel by a mounted Secret only, never by Redis, a log or an error.
 */
import { type Static, Type } from 'typebox'
import { Compile } from 'typebox/compile'

export const RouteCredentials = Type.Object({
  /**
   * By the place of the reference in the spec and, where a whole Secret is meant, its key:
   * `s3.credentialsSecretRef.accessKeyId`, `s3.caSecretRef`, `rest.headers[Authorization].secretKeyRef`.
   */
  values: Type.Record(Type.String(), Type.String()),
})
export type RouteCredentials = Static<typeof RouteCredentials>

const check = Compile(RouteCredentials)

export const routeCredentialsFile = (routeUid: string): string => `${routeUid}.json`

/** One text for the same values, whatever their order. */
export function encodeRouteCredentials({ values }: RouteCredentials): string {
  const sorted = Object.entries(values).sort(([a], [b]) => (a < b ? -1 : 1))
  return JSON.stringify({ values: Object.fromEntries(sorted) })
}

/** Undefined: not of this form. The text itself must not be shown. */
export function decodeRouteCredentials(text: string): RouteCredentials | undefined {
  try {
    const value: unknown = JSON.parse(text)
    return check.Check(value) ? value : undefined
  } catch {
    return undefined
  }
}
