import { Type } from 'typebox'
import { expect, test } from 'vitest'
import { Block, Choice, Flag, List, MapOf, Opaque, Text } from './fields.ts'
import { toStructural, UnsupportedSchemaError } from './structural.ts'

const description = 'A field.'
const text = Type.String({ description })

test('what the helpers make comes out as an API server takes it', () => {
  const schema = Block(
    {
      mode: Choice(['On', 'Off'], { description, default: 'On' }),
      name: Text({ description, maxLength: 3, rules: [{ rule: 'self != oldSelf', message: 'no' }] }),
      secret: Type.Optional(Text({ description, maxLength: 3, sensitive: true })),
      labels: MapOf(Text({ description, maxLength: 3 }), { description, maxProperties: 2, default: {} }),
      hosts: List(Block({ name: text }, { description }), { description, maxItems: 2, mapKeys: ['name'] }),
      words: List(text, { description, maxItems: 2, set: true, default: [] }),
      rest: Opaque({ description }),
    },
    { description, default: {} },
  )
  expect(toStructural(schema, 'x')).toEqual({
    type: 'object',
    description,
    default: {},
    // `mode`, `labels` and `words` have a default, so nobody has to write them.
    required: ['name', 'hosts', 'rest'],
    properties: {
      mode: { type: 'string', enum: ['On', 'Off'], default: 'On', description },
      name: {
        type: 'string',
        maxLength: 3,
        description,
        'x-kubernetes-validations': [{ rule: 'self != oldSelf', message: 'no' }],
      },
      secret: { type: 'string', format: 'password', maxLength: 3, description },
      labels: {
        type: 'object',
        description,
        default: {},
        maxProperties: 2,
        additionalProperties: { type: 'string', maxLength: 3, description },
      },
      hosts: {
        type: 'array',
        description,
        maxItems: 2,
        'x-kubernetes-list-type': 'map',
        'x-kubernetes-list-map-keys': ['name'],
        items: {
          type: 'object',
          description,
          required: ['name'],
          properties: { name: { type: 'string', description } },
        },
      },
      words: {
        type: 'array',
        description,
        maxItems: 2,
        default: [],
        'x-kubernetes-list-type': 'set',
        items: { type: 'string', description },
      },
      rest: { type: 'object', description, 'x-kubernetes-preserve-unknown-fields': true },
    },
  })
})

const inside = (schema: object) => Type.Object({ a: Type.Unsafe(schema) }, { description })

test.each([
  [
    'a union of literals',
    inside(Type.Union([Type.Literal('a'), Type.Literal('b')], { description })),
    'x.a: anyOf is not allowed in a structural schema: a union of literals is written with Choice, a union of blocks with exactlyOneOf',
  ],
  [
    'a single literal',
    inside(Type.Literal('a', { description })),
    'x.a: const is not allowed in a structural schema: one word is written with Choice',
  ],
  [
    'a record',
    inside(Type.Record(Type.String(), Type.String(), { description })),
    'x.a: patternProperties is not allowed in a structural schema: a map is written with MapOf',
  ],
  [
    'closed objects',
    Type.Object({ a: text }, { description, additionalProperties: false }),
    'x: additionalProperties cannot stand beside properties',
  ],
  [
    'a schema beside properties',
    Type.Object({ a: text }, { description, additionalProperties: text }),
    'x: additionalProperties cannot stand beside properties',
  ],
  [
    'a reference',
    inside({ $ref: '#/a', description }),
    'x.a: $ref is not allowed in a structural schema: the schema has to stand in place',
  ],
  ['no type', inside({ description }), 'x.a: has no type of object, array, string, integer, number, boolean'],
  ['several types', inside({ type: ['string', 'null'], description }), 'x.a: has no type of object,'],
  ['null as a type', inside(Type.Null({ description })), 'x.a: has no type of object,'],
  ['no description', inside({ type: 'string' }), 'x.a: has no description'],
  ['an empty description', inside({ type: 'string', description: '' }), 'x.a: has no description'],
  [
    'unique items, whose check has no price that a server would pay',
    inside(Type.Array(text, { description, uniqueItems: true })),
    'x.a: uniqueItems is not allowed in a structural schema',
  ],
  ['a tuple', inside({ type: 'array', items: [text], description }), 'x.a[]: items has to be one schema'],
  ['a list of anything', inside({ type: 'array', description }), 'x.a[]: items has to be one schema'],
  [
    'an object of anything',
    inside({ type: 'object', description }),
    'x.a: an object needs properties, or MapOf, or Opaque',
  ],
  [
    'a map of anything',
    inside({ type: 'object', additionalProperties: true, description }),
    'x.a{}: additionalProperties has to be one schema',
  ],
  [
    'a bound of another type',
    inside({ type: 'string', maximum: 3, description }),
    'x.a: maximum cannot stand beside type string',
  ],
  [
    'a keyword of our own',
    inside({ type: 'string', 'x-mine': true, description }),
    'x.a: x-mine is not allowed in a structural schema',
  ],
  [
    'something deep inside lists and maps',
    inside(
      Type.Array(MapOf(Type.Unsafe({ type: 'string' }), { description, maxProperties: 1 }), { description }),
    ),
    'x.a[]{}: has no description',
  ],
])('%s makes the generator throw and name the field', (_, schema, message) => {
  expect(() => toStructural(schema, 'x')).toThrow(UnsupportedSchemaError)
  expect(() => toStructural(schema, 'x')).toThrow(message)
})

test('the error has a code and the field', () => {
  try {
    toStructural(inside({ type: 'string' }), 'Hub.spec')
    expect.unreachable()
  } catch (error) {
    expect(error).toMatchObject({ code: 'UNSUPPORTED_SCHEMA', field: 'Hub.spec.a' })
  }
  expect(toStructural(inside(Flag({ description })), 'x').properties).toHaveProperty('a')
})
