/** Core Secrets and ConfigMaps beside our kinds: what `secretRef`s of a folder of manifests refer to. */
import type { ObjectMeta } from '../meta.ts'
import type { StructuralSchema } from '../structural.ts'
import type { FieldError } from './field-error.ts'
import { fieldPath } from './field-error.ts'
import type { JsonObject } from './json.ts'
import { isObject, own } from './json.ts'
import { OBJECT_META_SCHEMA } from './object-meta.ts'

export interface Secret {
  apiVersion: 'v1'
  kind: 'Secret'
  metadata: ObjectMeta
  type?: string
  immutable?: boolean
  /** base64. */
  data?: Record<string, string>
  /** Plain text; wins over `data`. */
  stringData?: Record<string, string>
}

export interface ConfigMap {
  apiVersion: 'v1'
  kind: 'ConfigMap'
  metadata: ObjectMeta
  immutable?: boolean
  data?: Record<string, string>
  /** base64. */
  binaryData?: Record<string, string>
}

// `password` keeps the values out of messages.
const values = (pattern?: string): StructuralSchema => ({
  type: 'object',
  additionalProperties: { type: 'string', format: 'password', ...(pattern === undefined ? {} : { pattern }) },
})
// Go's decoder skips line breaks, which is how base64 in YAML blocks arrives.
const BASE64 = '^([A-Za-z0-9+/\\r\\n]*={0,2}[\\r\\n]*)$'

const object = (fields: Record<string, StructuralSchema>): StructuralSchema => ({
  type: 'object',
  required: ['metadata'],
  properties: {
    apiVersion: { type: 'string' },
    kind: { type: 'string' },
    metadata: OBJECT_META_SCHEMA,
    immutable: { type: 'boolean' },
    ...fields,
  },
})

export const CORE_SCHEMAS: Readonly<Record<string, StructuralSchema>> = {
  Secret: object({ type: { type: 'string' }, data: values(BASE64), stringData: values() }),
  ConfigMap: object({ data: values(), binaryData: values(BASE64) }),
}

/** Keys that a Secret of a type must have (core's ValidateSecret), for the types that we read. */
const REQUIRED_KEYS: Readonly<Record<string, readonly string[]>> = {
  'kubernetes.io/tls': ['tls.crt', 'tls.key'],
}

/** Checks that the schema cannot make. The object must have passed it. */
export function checkCoreObject(value: JsonObject): FieldError[] {
  const blocks = ['data', 'stringData', 'binaryData'].filter((name) => isObject(own(value, name)))
  const keys = blocks.flatMap((name) => checkKeys(name, Object.keys(value[name] as JsonObject)))
  const present = new Set(blocks.flatMap((name) => Object.keys(value[name] as JsonObject)))
  const type = own(value, 'type')
  const required = (typeof type === 'string' ? own(REQUIRED_KEYS, type) : undefined) ?? []
  const missing = required
    .filter((key) => !present.has(key))
    .map((key) => ({ field: fieldPath('data', key), expected: 'Required value', got: 'nothing' }))
  return [...keys, ...missing]
}

function checkKeys(field: string, keys: readonly string[]): FieldError[] {
  return keys
    .filter((key) => key.length > 253 || key === '.' || key === '..' || !/^[-._a-zA-Z0-9]+$/.test(key))
    .map((key) => ({
      field: fieldPath(field, key),
      expected: "a valid config key must consist of alphanumeric characters, '-', '_' or '.'",
      got: 'another key',
    }))
}
