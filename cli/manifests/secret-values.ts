import { type ManifestSet, manifestKey } from './manifest-set.ts'

/** Looks up the value of a key of a Secret; undefined: the folder has no such object or key. */
export type SecretLookup = (name: string, key: string) => Buffer | undefined

/** Answers the secret references of one namespace from Secrets, else from ConfigMaps of that name. */
export function secretsOf(set: ManifestSet, namespace: string): SecretLookup {
  return (name, key) =>
    fromSecret(set.get(manifestKey('Secret', namespace, name))?.object, key) ??
    fromConfigMap(set.get(manifestKey('ConfigMap', namespace, name))?.object, key)
}

type AnyObject = ManifestSet extends ReadonlyMap<string, { object: infer T }> ? T : never

function fromSecret(object: AnyObject | undefined, key: string): Buffer | undefined {
  if (object?.kind !== 'Secret') return undefined
  return plain(object.stringData, key) ?? encoded(object.data, key)
}

function fromConfigMap(object: AnyObject | undefined, key: string): Buffer | undefined {
  if (object?.kind !== 'ConfigMap') return undefined
  return plain(object.data, key) ?? encoded(object.binaryData, key)
}

const own = (values: Record<string, string> | undefined, key: string): string | undefined =>
  values !== undefined && Object.hasOwn(values, key) ? values[key] : undefined

function plain(values: Record<string, string> | undefined, key: string): Buffer | undefined {
  const text = own(values, key)
  return text === undefined ? undefined : Buffer.from(text)
}

function encoded(values: Record<string, string> | undefined, key: string): Buffer | undefined {
  const text = own(values, key)
  return text === undefined ? undefined : Buffer.from(text, 'base64')
}
