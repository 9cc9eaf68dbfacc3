import { API_VERSION } from '../meta.ts'

export interface InvalidObject {
  title: string
  manifest: unknown
  /** The valid object that the manifest would replace. */
  oldManifest?: unknown
  /** The path in the error. */
  field: string
  /** In the text of the error, ours and an API server's alike. */
  message: string
}

export type Fields = Record<string, unknown>

export const object = (kind: string, name: string, spec: unknown) => ({
  apiVersion: API_VERSION,
  kind,
  metadata: { name },
  ...(spec === undefined ? {} : { spec }),
})

export const hub = (spec?: Fields, name = 'home') => object('Hub', name, spec)

export const device = (spec: Fields = {}, name = 'lamp') =>
  object('Device', name, { hubRef: { name: 'home' }, ...spec })

export const network = (spec: Fields = {}) =>
  object('Network', 'web', { hubRef: { name: 'home' }, type: 'REST', ...spec })

export const route = (spec: Fields = {}) =>
  object('Route', 'archive', { hubRef: { name: 'home' }, topic: 'a/#', ...spec })

export const PEM = '-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n'
