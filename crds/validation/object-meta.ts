/** What an API server asks of `metadata` (apimachinery's ValidateObjectMeta), for manifests that a person applies. */
import { LABEL_PATTERN, SUBDOMAIN_PATTERN } from '../meta.ts'
import type { StructuralSchema } from '../structural.ts'
import type { FieldError } from './field-error.ts'
import { describeValue } from './field-error.ts'
import type { JsonObject } from './json.ts'
import { isObject } from './json.ts'

const text: StructuralSchema = { type: 'string' }
const textMap: StructuralSchema = { type: 'object', additionalProperties: text }

export const OBJECT_META_SCHEMA: StructuralSchema = {
  type: 'object',
  required: ['name'],
  properties: {
    name: text,
    generateName: text,
    namespace: text,
    labels: textMap,
    annotations: textMap,
    finalizers: { type: 'array', items: text },
    ownerReferences: {
      type: 'array',
      items: {
        type: 'object',
        required: ['apiVersion', 'kind', 'name', 'uid'],
        properties: {
          apiVersion: text,
          kind: text,
          name: text,
          uid: text,
          controller: { type: 'boolean' },
          blockOwnerDeletion: { type: 'boolean' },
        },
      },
    },
    // Set by the server; they come along when a manifest was read back from it.
    uid: text,
    resourceVersion: text,
    selfLink: text,
    generation: { type: 'integer' },
    creationTimestamp: text,
    deletionTimestamp: text,
    deletionGracePeriodSeconds: { type: 'integer' },
    managedFields: {
      type: 'array',
      items: { type: 'object', 'x-kubernetes-preserve-unknown-fields': true },
    },
  },
}

const SUBDOMAIN = new RegExp(SUBDOMAIN_PATTERN)
const LABEL = new RegExp(LABEL_PATTERN)
const LABEL_VALUE = /^([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?$/
const KEY_NAME = /^[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?$/
/** apimachinery's TotalAnnotationSizeLimitB. */
const ANNOTATIONS_MAX_BYTES = 256 * 1024

/** `metadata` must have passed `OBJECT_META_SCHEMA`. */
export function checkObjectMeta(metadata: JsonObject): FieldError[] {
  return [
    ...checkName(metadata),
    ...checkNamespace(metadata),
    ...checkLabels(metadata),
    ...checkAnnotations(metadata),
  ]
}

function checkName({ name }: JsonObject): FieldError[] {
  if (typeof name !== 'string') return []
  if (name.length <= 253 && SUBDOMAIN.test(name)) return []
  const expected =
    'a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, ' +
    "'-' or '.', at most 253 of them"
  return [{ field: 'metadata.name', expected, got: describeValue(name) }]
}

function checkNamespace({ namespace }: JsonObject): FieldError[] {
  if (typeof namespace !== 'string' || namespace === '') return []
  if (namespace.length <= 63 && LABEL.test(namespace)) return []
  const expected =
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', at most 63 of them"
  return [{ field: 'metadata.namespace', expected, got: describeValue(namespace) }]
}

function checkLabels({ labels }: JsonObject): FieldError[] {
  if (!isObject(labels)) return []
  const values = Object.values(labels).filter(
    (value) => typeof value === 'string' && !(value.length <= 63 && LABEL_VALUE.test(value)),
  )
  return [
    ...checkKeys('metadata.labels', Object.keys(labels)),
    ...values.map((value) => ({
      field: 'metadata.labels',
      expected: 'a valid label must be an empty string or consist of alphanumeric characters',
      got: describeValue(value),
    })),
  ]
}

function checkAnnotations({ annotations }: JsonObject): FieldError[] {
  if (!isObject(annotations)) return []
  const keys = checkKeys('metadata.annotations', Object.keys(annotations))
  const size = Object.entries(annotations)
    .flat()
    .reduce((sum: number, part) => sum + Buffer.byteLength(String(part)), 0)
  if (size <= ANNOTATIONS_MAX_BYTES) return keys
  const expected = `may not be more than ${ANNOTATIONS_MAX_BYTES} bytes`
  return [...keys, { field: 'metadata.annotations', expected, got: `${size} bytes` }]
}

function checkKeys(field: string, keys: readonly string[]): FieldError[] {
  return keys
    .filter((key) => !isQualifiedName(key))
    .map((key) => ({
      field,
      expected: 'name part must consist of alphanumeric characters, with an optional DNS subdomain prefix',
      got: describeValue(key),
    }))
}

/** `name` or `prefix/name`. */
function isQualifiedName(key: string): boolean {
  const parts = key.split('/')
  const name = parts.at(-1) ?? ''
  if (parts.length > 2 || name.length > 63 || !KEY_NAME.test(name)) return false
  const prefix = parts.length === 2 ? parts[0] : undefined
  return prefix === undefined || (prefix.length <= 253 && SUBDOMAIN.test(prefix))
}
