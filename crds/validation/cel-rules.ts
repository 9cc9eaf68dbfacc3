import { Environment, type ParseResult } from '@marcbachmann/cel-js'
import type { CelRule } from '../fields.ts'
import type { StructuralSchema } from '../structural.ts'
import type { FieldError } from './field-error.ts'
import { describeValue, fieldPath } from './field-error.ts'
import type { Json, JsonObject } from './json.ts'
import { isObject, own } from './json.ts'
import { itemKey } from './list-keys.ts'

// `self` is dynamic here and typed in an API server, so a list of it and of literals must be let through.
const environment = new Environment({ homogeneousAggregateLiterals: false })
  .registerVariable('self', 'dyn')
  .registerVariable('oldSelf', 'dyn')

const parsed = new Map<string, ParseResult>()

/** A value, the one it replaces if there is one, and where both stand. */
interface Node {
  value: Json
  oldValue: Json | undefined
  path: string
}

/**
 * Runs the CEL rules of a schema on a value that the schema has already let through. Rules with `oldSelf` run
 * only where there is an old value, as in an API server.
 */
export function checkRules(node: Node, schema: StructuralSchema): FieldError[] {
  const broken = (schema['x-kubernetes-validations'] ?? []).flatMap((rule) => checkRule(rule, node, schema))
  return [...broken, ...childNodes(node, schema).flatMap(([child, inner]) => checkRules(child, inner))]
}

function checkRule(rule: CelRule, node: Node, schema: StructuralSchema): FieldError[] {
  const isTransition = /\boldSelf\b/.test(rule.rule)
  if (isTransition && node.oldValue === undefined) return []
  const context = {
    self: toCel(node.value, schema),
    ...(isTransition ? { oldSelf: toCel(node.oldValue as Json, schema) } : {}),
  }
  if (evaluates(rule.rule, context)) return []
  const { field, value, blamed } = blame(rule, node, schema)
  const got = describeValue(value, blamed?.format === 'password')
  return [{ field, expected: rule.message, got, rule: rule.rule }]
}

/** A rule that cannot be evaluated (a missing key, an overflow) is broken, as it is in an API server. */
function evaluates(rule: string, context: Record<string, unknown>): boolean {
  let program = parsed.get(rule)
  if (program === undefined) {
    program = environment.parse(rule)
    parsed.set(rule, program)
  }
  try {
    return program(context) === true
  } catch {
    return false
  }
}

function blame(rule: CelRule, node: Node, schema: StructuralSchema) {
  let field = node.path
  let value: Json | undefined = node.value
  let blamed: StructuralSchema | undefined = schema
  for (const name of (rule.fieldPath ?? '').split('.').filter((part) => part !== '')) {
    field = fieldPath(field, name)
    value = isObject(value) ? own(value, name) : undefined
    blamed = own(blamed?.properties ?? {}, name)
  }
  return { field, value, blamed }
}

function childNodes(node: Node, schema: StructuralSchema): [Node, StructuralSchema][] {
  const { value, oldValue, path } = node
  if (Array.isArray(value)) return itemNodes(value, node, schema)
  if (!isObject(value)) return []
  return Object.entries(value).flatMap(([key, inner]): [Node, StructuralSchema][] => {
    const property = schema.additionalProperties ?? own(schema.properties ?? {}, key)
    if (property === undefined) return []
    const old = isObject(oldValue) ? own(oldValue, key) : undefined
    return [[{ value: inner, oldValue: old, path: fieldPath(path, key) }, property]]
  })
}

function itemNodes(
  value: readonly Json[],
  { oldValue, path }: Node,
  schema: StructuralSchema,
): [Node, StructuralSchema][] {
  const { items } = schema
  if (items === undefined) return []
  // Only items of a map list can be told apart, so only they have an old value.
  const oldItems = new Map<string, Json>()
  if (schema['x-kubernetes-list-type'] === 'map' && Array.isArray(oldValue))
    for (const item of oldValue) oldItems.set(itemKey(item, schema), item)
  return value.map((item, index) => [
    { value: item, oldValue: oldItems.get(itemKey(item, schema)), path: fieldPath(path, index) },
    items,
  ])
}

/** JSON → CEL: the schema tells an int from a double. */
function toCel(value: Json, schema: StructuralSchema): unknown {
  if (typeof value === 'number' && schema.type === 'integer') return BigInt(value)
  if (Array.isArray(value)) {
    const { items } = schema
    return items === undefined ? value : value.map((item) => toCel(item, items))
  }
  if (!isObject(value)) return value
  return objectToCel(value, schema)
}

function objectToCel(value: JsonObject, schema: StructuralSchema): unknown {
  const entries = Object.entries(value).map(([key, inner]) => {
    const property = schema.additionalProperties ?? own(schema.properties ?? {}, key)
    return [key, property === undefined ? inner : toCel(inner, property)]
  })
  return Object.fromEntries(entries)
}
