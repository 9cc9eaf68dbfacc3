import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { canonicalJson, holds, sameJson } from './json.ts'

const json = fc.jsonValue({ maxDepth: 4 })

/** The same value with every map's keys the other way round. */
function reversed(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(reversed)
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(
    Object.entries(value)
      .reverse()
      .map(([key, inner]) => [key, reversed(inner)]),
  )
}

describe('comparison of JSON', () => {
  it('knows no order of keys', () => {
    fc.assert(
      fc.property(json, (value) => {
        expect(sameJson(value, reversed(value))).toBe(true)
        expect(canonicalJson(value)).toBe(canonicalJson(reversed(value)))
        expect(holds(reversed(value), value)).toBe(true)
      }),
    )
  })

  it('agrees with the canonical text', () => {
    fc.assert(
      fc.property(json, json, (a, b) => {
        expect(sameJson(a, b)).toBe(canonicalJson(a) === canonicalJson(b))
      }),
    )
  })

  it('takes undefined for absent', () => {
    expect(sameJson({ a: 1, b: undefined }, { a: 1 })).toBe(true)
    expect(canonicalJson({ a: 1, b: undefined })).toBe('{"a":1}')
    expect(holds({ a: 1 }, { a: 1, b: undefined })).toBe(true)
  })
})

describe('whether a live value holds what is wanted', () => {
  const CASES: Record<string, { live: unknown; wanted: unknown; holds: boolean }> = {
    'a default that was added is fine': { live: { a: 1, b: 2 }, wanted: { a: 1 }, holds: true },
    'a field that is missing is not': { live: { b: 2 }, wanted: { a: 1 }, holds: false },
    'a value that was changed is not': { live: { a: 2 }, wanted: { a: 1 }, holds: false },
    'an item that was added to a list is not': { live: [1, 2], wanted: [1], holds: false },
    'another order of a list is not': { live: [2, 1], wanted: [1, 2], holds: false },
    'a default inside an item is fine': {
      live: [{ port: 80, protocol: 'TCP' }],
      wanted: [{ port: 80 }],
      holds: true,
    },
    'an empty map may be stored as nothing': { live: {}, wanted: { labels: {} }, holds: true },
    'a map that was replaced by text is not': { live: { a: 'x' }, wanted: { a: {} }, holds: false },
    'a key that was added to a selector is not': {
      live: { selector: { app: 'a', extra: 'b' } },
      wanted: { selector: { app: 'a' } },
      holds: false,
    },
    'null is what it is': { live: { a: null }, wanted: { a: null }, holds: true },
  }
  it.each(Object.entries(CASES))('%s', (_, { live, wanted, holds: expected }) => {
    expect(holds(live, wanted)).toBe(expected)
  })
})
