import type { ErrorObject, ValidateFunction } from 'ajv'
import { Ajv } from 'ajv'
import type { StructuralSchema } from '../structural.ts'
import type { FieldError } from './field-error.ts'
import { describeValue, fieldPath } from './field-error.ts'
import type { Json } from './json.ts'
import { isObject } from './json.ts'

// `int64` and `password` say nothing that is checked here; `date-time` stands in statuses only, which a
// manifest cannot set.
const ajv = new Ajv({
  allErrors: true,
  verbose: true,
  strict: true,
  strictRequired: false,
  strictTypes: false,
  formats: { int64: true, password: true, 'date-time': true },
})
ajv.addVocabulary([
  'x-kubernetes-validations',
  'x-kubernetes-list-type',
  'x-kubernetes-list-map-keys',
  'x-kubernetes-preserve-unknown-fields',
])

const compiled = new WeakMap<StructuralSchema, ValidateFunction>()

/** Types, bounds, patterns and what is required. `path` is where `value` stands in its manifest. */
export function checkSchema(value: Json, schema: StructuralSchema, path: string): FieldError[] {
  let validate = compiled.get(schema)
  if (validate === undefined) {
    validate = ajv.compile(schema)
    compiled.set(schema, validate)
  }
  if (validate(value)) return []
  return (validate.errors ?? []).map((error) => toFieldError(error, value, path))
}

function toFieldError(error: ErrorObject, root: Json, path: string): FieldError {
  const field = pathOf(error.instancePath, root, path)
  if (error.keyword === 'required') {
    const missing = fieldPath(field, error.params['missingProperty'] as string)
    return { field: missing, expected: 'Required value', got: 'nothing' }
  }
  const sensitive = (error.parentSchema as Partial<StructuralSchema> | undefined)?.format === 'password'
  return { field, expected: expectation(error), got: describeValue(error.data, sensitive) }
}

/** JSON pointer → path with brackets; whether a number is an index can only be told from the value. */
function pathOf(pointer: string, root: Json, path: string): string {
  let field = path
  let value: Json | undefined = root
  for (const token of pointer.split('/').slice(1)) {
    const key = token.replaceAll('~1', '/').replaceAll('~0', '~')
    field = fieldPath(field, Array.isArray(value) ? Number(key) : key)
    if (Array.isArray(value)) value = value[Number(key)]
    else if (isObject(value)) value = value[key]
  }
  return field
}

const list = (values: unknown) => (values as unknown[]).map((value) => `"${value}"`).join(', ')

/** The words of the API server, by keyword. */
const EXPECTATIONS: Readonly<Record<string, (limit: unknown) => string>> = {
  type: (type) => `must be of type ${type}`,
  enum: (values) => `supported values: ${list(values)}`,
  minimum: (limit) => `should be greater than or equal to ${limit}`,
  maximum: (limit) => `should be less than or equal to ${limit}`,
  minLength: (limit) => `should be at least ${limit} chars long`,
  maxLength: (limit) => `may not be more than ${limit} characters`,
  minItems: (limit) => `should have at least ${limit} items`,
  maxItems: (limit) => `must have at most ${limit} items`,
  maxProperties: (limit) => `must have at most ${limit} items`,
  pattern: (pattern) => `should match '${pattern}'`,
}

function expectation({ keyword, schema, message }: ErrorObject): string {
  return EXPECTATIONS[keyword]?.(schema) ?? message ?? keyword
}
