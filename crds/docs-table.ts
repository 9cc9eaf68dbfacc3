/** The field tables of `docs/spec/*.md`: what `kubectl explain` says, on one page. */
import type { CelRule } from './fields.ts'
import type { KindDefinition } from './meta.ts'
import { type StructuralSchema, toStructural } from './structural.ts'

interface Row {
  field: string
  schema: StructuralSchema
  required: boolean
}

/** Markdown with the fields of spec and status, and the rules that no single field can say. */
export function fieldTables(kind: KindDefinition): string {
  const spec = toStructural(kind.spec, 'spec')
  const status = toStructural(kind.status, 'status')
  return [
    '### Fields of spec',
    '',
    table(rows('spec', spec)),
    '',
    '### Rules',
    '',
    ...ruleList(kind, spec),
    '',
    '### Fields of status',
    '',
    table(rows('status', status)),
  ].join('\n')
}

function rows(path: string, schema: StructuralSchema): Row[] {
  const children = Object.entries(schema.properties ?? {}).flatMap(([name, property]) => {
    const row = { field: `${path}.${name}`, schema: property, required: isRequired(schema, name) }
    return [row, ...rows(row.field, property)]
  })
  const { items } = schema
  return items === undefined ? children : [...children, ...itemRows(path, items)]
}

/** Items that are plain words are told in the row of their list. */
function itemRows(path: string, items: StructuralSchema): Row[] {
  return items.type === 'object' ? rows(`${path}[]`, items) : []
}

const isRequired = (schema: StructuralSchema, name: string) => schema.required?.includes(name) ?? false

function table(all: readonly Row[]): string {
  const lines = all.map(({ field, schema, required }) => {
    const description = cell([schema.description, itemDescription(schema)].filter(Boolean).join(' Each: '))
    return `| \`${field}\` | ${typeText(schema)} | ${defaultText(schema, required)} | ${description} |`
  })
  return ['| field | type | default | meaning |', '|---|---|---|---|', ...lines].join('\n')
}

const itemDescription = ({ items }: StructuralSchema) =>
  items !== undefined && items.type !== 'object' ? items.description : undefined

function typeText(schema: StructuralSchema): string {
  if (schema.enum !== undefined) return schema.enum.map((value) => `\`${value}\``).join(' ')
  if (schema.type === 'integer') return rangeText(schema)
  if (schema.type === 'array') return `list of ${schema.items?.type ?? 'any'}, at most ${schema.maxItems}`
  if (schema.additionalProperties !== undefined) return `map to ${schema.additionalProperties.type}`
  if (schema.format === 'date-time') return 'time'
  return schema.type
}

function rangeText({ minimum, maximum }: StructuralSchema): string {
  if (maximum === Number.MAX_SAFE_INTEGER) return `integer from ${minimum}`
  return `integer ${minimum} to ${maximum}`
}

function defaultText(schema: StructuralSchema, required: boolean): string {
  if (schema.default === undefined) return required ? '**required**' : ''
  // The fields inside show what an empty block stands for.
  const text = JSON.stringify(schema.default)
  return text === '{}'
    ? ''
    : `\`${typeof schema.default === 'string' && text !== '""' ? schema.default : text}\``
}

// A `<device>` would be taken for a tag.
const cell = (text: string) => text.replaceAll('|', '\\|').replaceAll('<', '&lt;')

function ruleList(kind: KindDefinition, spec: StructuralSchema): string[] {
  const root = kind.rules.map((rule) => [ruleField('', rule), rule.message] as const)
  const inner = ruleRows('spec', spec)
  return [...root, ...inner].map(([field, message]) => `- \`${field}\`: ${message}.`)
}

function ruleRows(path: string, schema: StructuralSchema): (readonly [string, string])[] {
  const own = (schema['x-kubernetes-validations'] ?? []).map(
    (rule) => [ruleField(path, rule), rule.message] as const,
  )
  const fields = Object.entries(schema.properties ?? {}).flatMap(([name, property]) =>
    ruleRows(`${path}.${name}`, property),
  )
  const items = schema.items === undefined ? [] : ruleRows(`${path}[]`, schema.items)
  return [...own, ...fields, ...items]
}

function ruleField(path: string, { fieldPath }: CelRule): string {
  const field = `${path}${fieldPath ?? ''}`.replace(/^\./, '')
  return field === '' ? 'metadata.name' : field
}
