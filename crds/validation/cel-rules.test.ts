import { describe, expect, test } from 'vitest'
import type { StructuralSchema } from '../structural.ts'
import { checkRules } from './cel-rules.ts'
import type { Json } from './json.ts'

const check = (schema: StructuralSchema, value: Json, oldValue?: Json) =>
  checkRules({ value, oldValue, path: 'spec' }, schema).map(({ field, expected, got }) => [
    field,
    expected,
    got,
  ])

const rule = (text: string, fieldPath?: string) => ({
  'x-kubernetes-validations': [{ rule: text, message: 'no', ...(fieldPath && { fieldPath }) }],
})
const integer: StructuralSchema = { type: 'integer' }

test.each([
  ['self == 3', 3, true],
  ['self % 2 == 1', 3, true],
  ['self / 2 == 1', 3, true],
  ['self > 9007199254740990', 9007199254740991, true],
  ['self < 3', 3, false],
])('a whole number is an int to CEL: %s with %d', (text, value, holds) => {
  expect(check({ ...integer, ...rule(text) }, value)).toEqual(holds ? [] : [['spec', 'no', String(value)]])
})

test('a rule that cannot be evaluated is broken, as in an API server', () => {
  const schema: StructuralSchema = { type: 'object', properties: { a: integer }, ...rule('self.a == 1') }
  expect(check(schema, {})).toEqual([['spec', 'no', 'an object']])
  expect(check(schema, { a: 1 })).toEqual([])
})

test('the field that the rule blames is named, and what stands there', () => {
  const properties = { a: { type: 'object', properties: { b: integer } } } satisfies Record<
    string,
    StructuralSchema
  >
  const schema: StructuralSchema = { type: 'object', properties, ...rule('self.a.b < 0', '.a.b') }
  expect(check(schema, { a: { b: 7 } })).toEqual([['spec.a.b', 'no', '7']])
})

test('a value that may be secret is not named', () => {
  expect(check({ type: 'string', format: 'password', ...rule("self == ''") }, 'hunter2')).toEqual([
    ['spec', 'no', 'a string that is not shown'],
  ])
})

test('rules of map values and list items name the key and the index', () => {
  const short: StructuralSchema = { type: 'string', ...rule('self.size() < 3') }
  const map: StructuralSchema = { type: 'object', additionalProperties: short }
  expect(check(map, { ok: 'a', bad: 'abc', 'a/b': 'abc' })).toEqual([
    ['spec.bad', 'no', '"abc"'],
    ['spec["a/b"]', 'no', '"abc"'],
  ])
  expect(check({ type: 'array', items: short }, ['a', 'abc'])).toEqual([['spec[1]', 'no', '"abc"']])
})

describe('rules about changes', () => {
  const item: StructuralSchema = {
    type: 'object',
    properties: { name: { type: 'string' }, size: { ...integer, ...rule('self >= oldSelf') } },
  }

  test('find the old item of a map list by its key, wherever it stands', () => {
    const list: StructuralSchema = {
      type: 'array',
      items: item,
      'x-kubernetes-list-type': 'map',
      'x-kubernetes-list-map-keys': ['name'],
    }
    const old = [
      { name: 'a', size: 5 },
      { name: 'b', size: 1 },
    ]
    const now = [
      { name: 'b', size: 2 },
      { name: 'c', size: 0 },
      { name: 'a', size: 4 },
    ]
    expect(check(list, now, old)).toEqual([['spec[2].size', 'no', '4']])
  })

  test('have no old item in any other list', () => {
    expect(check({ type: 'array', items: item }, [{ name: 'a', size: 0 }], [{ name: 'a', size: 5 }])).toEqual(
      [],
    )
  })
})
