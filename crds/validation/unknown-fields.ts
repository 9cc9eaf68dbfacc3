import type { StructuralSchema } from '../structural.ts'
import type { FieldError } from './field-error.ts'
import { fieldPath } from './field-error.ts'
import type { Json } from './json.ts'
import { isObject, own } from './json.ts'

/**
 * Fields that the schema does not know. An API server would silently drop them; `kubectl` asks it to refuse
 * them (strict field validation), and so do we: a misspelt `allowInsecure` must not be taken for its default.
 */
export function findUnknownFields(value: Json, schema: StructuralSchema, path: string): FieldError[] {
  if (schema['x-kubernetes-preserve-unknown-fields'] === true) return []
  if (Array.isArray(value)) {
    const { items } = schema
    if (items === undefined) return []
    return value.flatMap((item, index) => findUnknownFields(item, items, fieldPath(path, index)))
  }
  if (!isObject(value)) return []
  return Object.entries(value).flatMap(([key, inner]) => {
    const field = fieldPath(path, key)
    const known = schema.additionalProperties ?? own(schema.properties ?? {}, key)
    if (known !== undefined) return findUnknownFields(inner, known, field)
    // Without properties the schema says nothing of the fields, or the type is wrong and that is reported.
    return schema.properties === undefined ? [] : [unknownField(field, schema.properties)]
  })
}

function unknownField(field: string, properties: Readonly<Record<string, unknown>>): FieldError {
  const names = Object.keys(properties)
  const known = names.length === 0 ? 'no field at all' : `one of ${names.join(', ')}`
  return { field, expected: known, got: `unknown field "${field}"` }
}
