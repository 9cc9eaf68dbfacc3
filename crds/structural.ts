/**
 * TypeBox's JSON schema → Kubernetes' structural schema: the subset that an API server takes in a CRD. What
 * has no place there makes this throw, naming the field, instead of being dropped: a dropped keyword is a
 * check that everyone believes in and nobody does.
 */
import type { CelRule } from './fields.ts'

export interface StructuralSchema {
  type: 'object' | 'array' | 'string' | 'integer' | 'number' | 'boolean'
  description?: string
  default?: unknown
  format?: string
  enum?: unknown[]
  pattern?: string
  minLength?: number
  maxLength?: number
  minimum?: number
  maximum?: number
  minItems?: number
  maxItems?: number
  maxProperties?: number
  properties?: Record<string, StructuralSchema>
  required?: string[]
  additionalProperties?: StructuralSchema
  items?: StructuralSchema
  'x-kubernetes-validations'?: CelRule[]
  'x-kubernetes-list-type'?: 'map' | 'set'
  'x-kubernetes-list-map-keys'?: string[]
  'x-kubernetes-preserve-unknown-fields'?: true
}

/** Thrown for a schema that no API server would take: a mistake in `crds/`, never in a manifest. */
export class UnsupportedSchemaError extends Error {
  readonly code = 'UNSUPPORTED_SCHEMA'
  readonly field: string
  constructor(field: string, reason: string) {
    super(`${field}: ${reason}`)
    this.name = 'UnsupportedSchemaError'
    this.field = field
  }
}

type Node = Readonly<Record<string, unknown>>

const TYPES = new Set(['object', 'array', 'string', 'integer', 'number', 'boolean'])

/** Keywords that are copied as they are, by the type they may stand beside. */
const PLAIN_KEYWORDS: Readonly<Record<string, readonly string[]>> = {
  description: [...TYPES],
  default: [...TYPES],
  'x-kubernetes-validations': [...TYPES],
  enum: ['string', 'integer', 'number'],
  format: ['string', 'integer', 'number'],
  pattern: ['string'],
  minLength: ['string'],
  maxLength: ['string'],
  minimum: ['integer', 'number'],
  maximum: ['integer', 'number'],
  minItems: ['array'],
  maxItems: ['array'],
  'x-kubernetes-list-type': ['array'],
  'x-kubernetes-list-map-keys': ['array'],
  maxProperties: ['object'],
  'x-kubernetes-preserve-unknown-fields': ['object'],
}

/** Keywords with schemas inside, handled one by one below. */
const NESTED_KEYWORDS: Readonly<Record<string, string>> = {
  properties: 'object',
  required: 'object',
  additionalProperties: 'object',
  items: 'array',
}

/** Why a keyword has no place, where a plain "not allowed" would leave one guessing. */
const HINTS: Readonly<Record<string, string>> = {
  anyOf: 'a union of literals is written with Choice, a union of blocks with exactlyOneOf',
  const: 'one word is written with Choice',
  patternProperties: 'a map is written with MapOf',
  $ref: 'the schema has to stand in place',
}

/** `field` names the root in messages, such as `Hub`. */
export function toStructural(schema: object, field: string): StructuralSchema {
  const node = schema as Node
  const type = node['type']
  if (typeof type !== 'string' || !TYPES.has(type)) throw untyped(node, field)
  for (const keyword of Object.keys(node)) checkKeyword(keyword, type, field)
  if (typeof node['description'] !== 'string' || node['description'] === '')
    throw new UnsupportedSchemaError(field, 'has no description')
  if ('properties' in node && 'additionalProperties' in node)
    throw new UnsupportedSchemaError(field, 'additionalProperties cannot stand beside properties')

  return { type: type as StructuralSchema['type'], ...plainKeywords(node), ...nested(node, type, field) }
}

function untyped(node: Node, field: string): UnsupportedSchemaError {
  const keyword = Object.keys(HINTS).find((candidate) => candidate in node)
  if (keyword !== undefined) return new UnsupportedSchemaError(field, notAllowed(keyword))
  return new UnsupportedSchemaError(field, `has no type of ${[...TYPES].join(', ')}`)
}

function checkKeyword(keyword: string, type: string, field: string): void {
  if (keyword === 'type') return
  const types = PLAIN_KEYWORDS[keyword] ?? (NESTED_KEYWORDS[keyword] ? [NESTED_KEYWORDS[keyword]] : undefined)
  if (types === undefined) throw new UnsupportedSchemaError(field, notAllowed(keyword))
  if (!types.includes(type))
    throw new UnsupportedSchemaError(field, `${keyword} cannot stand beside type ${type}`)
}

function notAllowed(keyword: string): string {
  const hint = HINTS[keyword]
  return `${keyword} is not allowed in a structural schema${hint === undefined ? '' : `: ${hint}`}`
}

function plainKeywords(node: Node): Partial<StructuralSchema> {
  const entries = Object.entries(node).filter(([keyword]) => keyword in PLAIN_KEYWORDS)
  return Object.fromEntries(entries)
}

function nested(node: Node, type: string, field: string): Partial<StructuralSchema> {
  if (type === 'array') return { items: child(node['items'], `${field}[]`, 'items') }
  if (type !== 'object') return {}
  if ('additionalProperties' in node) {
    const values = child(node['additionalProperties'], `${field}{}`, 'additionalProperties')
    return { additionalProperties: values }
  }
  if (!('properties' in node)) {
    if (node['x-kubernetes-preserve-unknown-fields'] === true) return {}
    throw new UnsupportedSchemaError(field, 'an object needs properties, or MapOf, or Opaque')
  }
  return objectKeywords(node, field)
}

function objectKeywords(node: Node, field: string): Partial<StructuralSchema> {
  const properties = Object.entries(node['properties'] as Node).map(
    ([name, value]) => [name, child(value, `${field}.${name}`, 'properties')] as const,
  )
  const withDefault = new Set(properties.filter(([, value]) => 'default' in value).map(([name]) => name))
  // The API server fills in defaults before it asks what is missing, so `kubectl explain` should not say
  // that such a field is required.
  const required = ((node['required'] ?? []) as string[]).filter((name) => !withDefault.has(name))
  return {
    properties: Object.fromEntries(properties),
    ...(required.length === 0 ? {} : { required }),
  }
}

function child(value: unknown, field: string, keyword: string): StructuralSchema {
  // `additionalProperties: false`, or a list of item schemas.
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw new UnsupportedSchemaError(field, `${keyword} has to be one schema`)
  return toStructural(value, field)
}
