import type { StructuralSchema } from '../structural.ts'
import type { FieldError } from './field-error.ts'
import { fieldPath } from './field-error.ts'
import type { Json } from './json.ts'
import { isObject } from './json.ts'

/** Items that are there twice in a list which may not have that (`x-kubernetes-list-type` map or set). */
export function findDuplicateItems(value: Json, schema: StructuralSchema, path: string): FieldError[] {
  if (Array.isArray(value)) {
    const { items } = schema
    if (items === undefined) return []
    const inner = value.flatMap((item, index) => findDuplicateItems(item, items, fieldPath(path, index)))
    return [...duplicates(value, schema, path), ...inner]
  }
  if (!isObject(value)) return []
  return Object.entries(value).flatMap(([key, item]) => {
    const property = schema.additionalProperties ?? schema.properties?.[key]
    return property === undefined ? [] : findDuplicateItems(item, property, fieldPath(path, key))
  })
}

function duplicates(list: readonly Json[], schema: StructuralSchema, path: string): FieldError[] {
  if (schema['x-kubernetes-list-type'] === undefined) return []
  const keys = list.map((item) => itemKey(item, schema))
  return keys.flatMap((key, index) =>
    keys.indexOf(key) === index
      ? []
      : [{ field: fieldPath(path, index), expected: 'no Duplicate value', got: key }],
  )
}

/** What identifies an item: the item itself in a set, its key fields in a map. */
export function itemKey(item: Json, schema: StructuralSchema): string {
  const names = schema['x-kubernetes-list-map-keys']
  if (names === undefined || !isObject(item)) return JSON.stringify(item)
  return JSON.stringify(Object.fromEntries(names.map((name) => [name, item[name] ?? null])))
}
