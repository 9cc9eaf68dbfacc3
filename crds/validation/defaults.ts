import type { StructuralSchema } from '../structural.ts'
import type { Json, JsonObject } from './json.ts'
import { isObject, own } from './json.ts'

/**
 * Fills in defaults the way the API server does: only inside objects that are there or have a default
 * themselves, from the top down. A null that the schema does not allow counts as left out. Changes `value`.
 */
export function applyDefaults(value: Json, schema: StructuralSchema): void {
  if (Array.isArray(value)) {
    const { items } = schema
    if (items !== undefined) for (const item of value) applyDefaults(item, items)
  } else if (isObject(value)) {
    if (schema.additionalProperties !== undefined) applyToMap(value, schema.additionalProperties)
    else applyToFields(value, schema.properties ?? {})
  }
}

function applyToMap(map: JsonObject, values: StructuralSchema): void {
  for (const [key, inner] of Object.entries(map)) {
    if (inner === null) delete map[key]
    else applyDefaults(inner, values)
  }
}

function applyToFields(object: JsonObject, properties: Readonly<Record<string, StructuralSchema>>): void {
  for (const [name, property] of Object.entries(properties)) {
    const given = own(object, name)
    const value = given ?? structuredClone(property.default as Json | undefined)
    if (value === undefined) {
      delete object[name]
      continue
    }
    object[name] = value
    applyDefaults(value, property)
  }
}
