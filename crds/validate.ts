import { rootSchema } from './crd-manifest.ts'
import type { Device } from './device.ts'
import type { Hub } from './hub.ts'
import { KINDS } from './kinds.ts'
import { API_VERSION } from './meta.ts'
import type { Network } from './network.ts'
import type { Route } from './route.ts'
import type { StructuralSchema } from './structural.ts'
import { checkRules } from './validation/cel-rules.ts'
import { CORE_SCHEMAS, type ConfigMap, checkCoreObject, type Secret } from './validation/core-objects.ts'
import { applyDefaults } from './validation/defaults.ts'
import { describeValue, type FieldError } from './validation/field-error.ts'
import { isObject, type JsonObject, own } from './validation/json.ts'
import { findDuplicateItems } from './validation/list-keys.ts'
import { checkObjectMeta, OBJECT_META_SCHEMA } from './validation/object-meta.ts'
import { checkSchema } from './validation/schema-check.ts'
import { findUnknownFields } from './validation/unknown-fields.ts'

export type IotObject = Hub | Device | Network | Route
export type ManifestObject = IotObject | Secret | ConfigMap

/** `value` has every default in place and, for our kinds, no status: only the operator writes that. */
export type Validation = { valid: true; value: ManifestObject } | { valid: false; errors: FieldError[] }

interface KnownKind {
  ours: boolean
  schema: StructuralSchema
}

const withMetadata = (schema: ReturnType<typeof rootSchema>): StructuralSchema => ({
  ...schema,
  required: ['metadata', ...(schema.required ?? [])],
  properties: { ...schema.properties, metadata: OBJECT_META_SCHEMA },
})

/** `apiVersion/kind` → schema. */
const KNOWN_KINDS: ReadonlyMap<string, KnownKind> = new Map([
  ...KINDS.map((kind): [string, KnownKind] => [
    `${API_VERSION}/${kind.kind}`,
    { ours: true, schema: withMetadata(rootSchema(kind)) },
  ]),
  ...Object.entries(CORE_SCHEMAS).map(([kind, schema]): [string, KnownKind] => [
    `v1/${kind}`,
    { ours: false, schema },
  ]),
])

/**
 * Gives a manifest the verdict that an API server with our CRDs gives it under strict field validation:
 * unknown fields, defaults, schema, then the CEL rules. `oldManifest` is the valid object that it replaces;
 * only with it rules about changes are checked. The argument is left as it is.
 */
export function validate(manifest: unknown, options: { oldManifest?: unknown } = {}): Validation {
  const value = toJson(manifest)
  if (value === undefined) return fail('', 'must be of type object', describeValue(manifest))
  const known = knownKind(value)
  if ('errors' in known) return { valid: false, errors: known.errors }
  const errors = known.ours
    ? checkOurs(value, known.schema, options.oldManifest)
    : checkCore(value, known.schema)
  if (errors.length > 0) return { valid: false, errors }
  return { valid: true, value: value as unknown as ManifestObject }
}

const fail = (field: string, expected: string, got: string): Validation => ({
  valid: false,
  errors: [{ field, expected, got }],
})

/** A copy with just what would travel to an API server; undefined: not an object, or not to be had as JSON. */
function toJson(manifest: unknown): JsonObject | undefined {
  try {
    const value: unknown = JSON.parse(JSON.stringify(manifest) ?? 'null')
    return isObject(value) ? value : undefined
  } catch {
    return undefined
  }
}

function knownKind(value: JsonObject): KnownKind | { errors: FieldError[] } {
  const [apiVersion, kind] = [own(value, 'apiVersion'), own(value, 'kind')]
  const known = KNOWN_KINDS.get(`${apiVersion}/${kind}`)
  if (known !== undefined && typeof apiVersion === 'string') return known
  const sameKind = [...KNOWN_KINDS.keys()].find((name) => name.endsWith(`/${kind}`))
  if (typeof kind === 'string' && sameKind !== undefined) {
    const expected = sameKind.slice(0, -kind.length - 1)
    return { errors: [{ field: 'apiVersion', expected, got: describeValue(apiVersion) }] }
  }
  const kinds = [...KNOWN_KINDS.keys()].map((name) => name.slice(name.lastIndexOf('/') + 1))
  return { errors: [{ field: 'kind', expected: `one of ${kinds.join(', ')}`, got: describeValue(kind) }] }
}

function checkOurs(value: JsonObject, schema: StructuralSchema, oldManifest: unknown): FieldError[] {
  const unknown = findUnknownFields(value, schema, '')
  // The status subresource: a create or update of the object itself cannot set it.
  delete value['status']
  applyDefaults(value, schema)
  // Its default tells that no operator has seen the object, which is no part of a manifest.
  delete value['status']
  const errors = [...unknown, ...checkSchema(value, schema, ''), ...findDuplicateItems(value, schema, '')]
  if (isObject(value['metadata'])) errors.push(...checkObjectMeta(value['metadata']))
  // Rules may rely on the schema (`duration(self)` on its pattern), so they wait until it is met.
  if (errors.length > 0) return errors
  return checkRules({ value, oldValue: oldValue(oldManifest, schema), path: '' }, schema)
}

function oldValue(oldManifest: unknown, schema: StructuralSchema): JsonObject | undefined {
  if (oldManifest === undefined) return undefined
  const value = toJson(oldManifest)
  if (value !== undefined) applyDefaults(value, schema)
  return value
}

function checkCore(value: JsonObject, schema: StructuralSchema): FieldError[] {
  applyDefaults(value, schema)
  const errors = [...findUnknownFields(value, schema, ''), ...checkSchema(value, schema, '')]
  if (isObject(value['metadata'])) errors.push(...checkObjectMeta(value['metadata']))
  return errors.length > 0 ? errors : checkCoreObject(value)
}
