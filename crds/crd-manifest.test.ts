import { Environment } from '@marcbachmann/cel-js'
import { describe, expect, test } from 'vitest'
import { crdManifest, rootSchema } from './crd-manifest.ts'
import type { CelRule } from './fields.ts'
import { KINDS } from './kinds.ts'
import type { StructuralSchema } from './structural.ts'
import { checkRules } from './validation/cel-rules.ts'
import type { Json } from './validation/json.ts'
import { checkSchema } from './validation/schema-check.ts'

interface SchemaNode {
  path: string
  schema: StructuralSchema
}

function nodes(schema: StructuralSchema, path: string): SchemaNode[] {
  const inner = [
    ...Object.entries(schema.properties ?? {}).map(([name, child]) => ({ path: `${path}.${name}`, child })),
    ...(schema.items === undefined ? [] : [{ path: `${path}[]`, child: schema.items }]),
    ...(schema.additionalProperties === undefined
      ? []
      : [{ path: `${path}{}`, child: schema.additionalProperties }]),
  ]
  return [{ path, schema }, ...inner.flatMap(({ path: innerPath, child }) => nodes(child, innerPath))]
}

const ALL_NODES = KINDS.flatMap((kind) => nodes(rootSchema(kind), kind.kind))
const RULES = ALL_NODES.flatMap(({ path, schema }) =>
  (schema['x-kubernetes-validations'] ?? []).map((rule) => ({ path, schema, rule })),
)

describe('the CRDs as a whole', () => {
  test.each(KINDS)(
    '$kind has the names, the status subresource and the category that users rely on',
    (kind) => {
      const { spec, metadata } = crdManifest(kind)
      expect(metadata.name).toBe(`${kind.plural}.iot.hublet.dev`)
      expect(spec.names.categories).toEqual(['iot'])
      expect(spec.scope).toBe('Namespaced')
      expect(spec.versions.map(({ name, served, storage }) => [name, served, storage])).toEqual([
        ['v1alpha1', true, true],
      ])
      expect(spec.versions[0]?.subresources).toEqual({ status: {} })
    },
  )

  test('no short name is used twice, or stands for something of Kubernetes', () => {
    const names = KINDS.flatMap(({ shortNames, plural, singular }) => [...shortNames, plural, singular])
    expect(new Set(names).size).toBe(names.length)
    const core =
      'cm cs ep ev limits no ns po pvc pv quota rc rs sa svc crd crds deploy ds hpa cj csr ing netpol pdb pc sc sts'
    expect(names.filter((name) => core.split(' ').includes(name))).toEqual([])
  })

  test.each(KINDS)('every column of $kind shows a field that exists', (kind) => {
    const paths = new Set(nodes(rootSchema(kind), '').map(({ path }) => path))
    for (const { jsonPath } of kind.columns) {
      const path = jsonPath.replace(/\[\?\(@\.type=="(?:Ready|SinkReachable)"\)\]|\[0\]/, '[]')
      if (path !== '.metadata.creationTimestamp') expect(paths).toContain(path)
    }
  })

  test('conditions merge by type, and each has its generation', () => {
    for (const kind of KINDS) {
      const conditions = rootSchema(kind).properties.status.properties?.['conditions']
      expect(conditions?.['x-kubernetes-list-map-keys']).toEqual(['type'])
      expect(conditions?.items?.properties).toHaveProperty('observedGeneration')
    }
  })
})

describe('bounds of what users write', () => {
  const specNodes = ALL_NODES.filter(({ path }) => path.includes('.spec'))
  const free = specNodes.filter(({ schema }) => schema.enum === undefined)
  const ofType = (type: string) => free.filter(({ schema }) => schema.type === type)
  const unbounded = (all: SchemaNode[], keyword: keyof StructuralSchema) =>
    all.filter(({ schema }) => schema[keyword] === undefined).map(({ path }) => path)

  test('every text, list, map and number has one', () => {
    expect(ofType('string').length).toBeGreaterThan(50)
    expect(unbounded(ofType('string'), 'maxLength')).toEqual([])
    expect(unbounded(ofType('array'), 'maxItems')).toEqual([])
    expect(unbounded(ofType('integer'), 'minimum')).toEqual([])
    expect(unbounded(ofType('integer'), 'maximum')).toEqual([])
    const maps = free.filter(({ schema }) => schema.additionalProperties !== undefined)
    expect(maps.length).toBeGreaterThan(5)
    expect(unbounded(maps, 'maxProperties')).toEqual([])
  })
})

describe('defaults', () => {
  // An API server refuses a CRD with a default that breaks its own schema or rules, and it looks at the default
  // before the defaults inside it apply.
  test.each(ALL_NODES.filter(({ schema }) => schema.default !== undefined))(
    'that of $path fits its schema as it stands',
    ({ schema, path }) => {
      const value = schema.default as Json
      expect(checkSchema(value, schema, path)).toEqual([])
      expect(checkRules({ value, oldValue: undefined, path }, schema)).toEqual([])
    },
  )
})

describe('rules', () => {
  // What every API server from 1.33 on has: CEL's own macros and functions, none of Kubernetes' libraries.
  const CORE = new Set([
    ...['has', 'size', 'matches', 'startsWith', 'endsWith', 'contains'],
    ...['all', 'exists', 'exists_one', 'duration', 'in'],
  ])
  const environment = new Environment({ homogeneousAggregateLiterals: false })
    .registerVariable('self', 'dyn')
    .registerVariable('oldSelf', 'dyn')

  const withoutStrings = (rule: string) => rule.replace(/r?'(?:[^'\\]|\\.)*'/g, "''")
  const calls = ({ rule }: CelRule) =>
    [...withoutStrings(rule).matchAll(/([A-Za-z_]+)\s*\(/g)].map(([, name]) => name)

  test.each(RULES)('$path: $rule.message', ({ rule, schema }) => {
    expect(calls(rule).filter((name) => !CORE.has(name ?? ''))).toEqual([])
    expect(environment.check(rule.rule)).toMatchObject({ valid: true })
    expect(rule.message).not.toMatch(/[.\n]$/)
    let blamed: StructuralSchema | undefined = schema
    for (const name of (rule.fieldPath ?? '').split('.').slice(1)) blamed = blamed?.properties?.[name]
    expect(blamed).toBeDefined()
  })
})
