import { describe, expect, it } from 'vitest'
import type { RouteEntry } from '../../contract/route-stream.ts'
import { compileTransform, expressionFault, type Transform } from './expressions.ts'

const entry = (payload: string | Buffer, more: Partial<RouteEntry> = {}): RouteEntry => ({
  position: '1',
  id: 'id',
  topic: 'sensors/attic/temperature',
  payload: Buffer.from(payload),
  qos: 1,
  retain: false,
  time: 0,
  ...more,
})

function compiled(
  expressions: { filter?: string; transform?: string },
  language: 'CEL' | 'JSONata' = 'CEL',
): Transform {
  const { filter, transform } = expressions
  const result = compileTransform({
    ...(filter === undefined ? {} : { filter: { expression: filter } }),
    ...(transform === undefined ? {} : { transform: { expression: transform, language } }),
  })
  if (typeof result === 'string') throw new Error(result)
  return result
}

describe('a filter', () => {
  it.each([
    ['json.t > 20', '{"t":21}', true],
    ['json.t > 20', '{"t":20}', false],
    ['json.t > 20.5', '{"t":20.6}', true],
    ["topic.startsWith('sensors/')", '', true],
    ["topic.endsWith('/humidity')", '', false],
    ["payload == 'on'", 'on', true],
    ['json == null', 'no JSON', true],
    ['retain', '', false],
    ['qos >= 1', '', true],
    ["json.tags.exists(tag, tag == 'a')", '{"tags":["b","a"]}', true],
    ["json.kind in ['x', 'y']", '{"kind":"y"}', true],
    ['has(json.t) && json.t > 1', '{"u":1}', false],
  ])('%s of %s gives %s', (filter, payload, taken) => {
    const result = compiled({ filter })(entry(payload))
    expect(result).toEqual(taken ? { take: true, entry: entry(payload) } : { take: false })
  })

  it('reads bytes that are no text as an empty text', () => {
    expect(compiled({ filter: "payload == ''" })(entry(Buffer.from([0xff])))).toMatchObject({ take: true })
  })
})

describe('a transform', () => {
  it.each([
    ['a text', "payload + '!'", 'a', 'a!'],
    ['an object', '{"value": json.t, "qos": qos}', '{"t":1.5}', '{"value":1.5,"qos":1}'],
    ['a number', 'json.t * 1.8 + 32.0', '{"t":20}', '68'],
    ['a large whole number', '9007199254740993', '', '9007199254740993'],
    ['a list', '[json.a, 1]', '{"a":true}', '[true,1]'],
    ['a part', 'json.inner', '{"inner":{"a":[1]}}', '{"a":[1]}'],
    ['bytes', 'bytes(payload)', 'x', 'x'],
    ['null', 'json', 'x', 'null'],
  ])('may give %s', (_, transform, payload, expected) => {
    const result = compiled({ transform })(entry(payload))
    expect('entry' in result && result.entry.payload.toString()).toBe(expected)
    expect('entry' in result && result.entry.topic).toBe(entry('').topic)
  })

  it('runs on what the filter takes only', () => {
    const both = compiled({ filter: 'json.t > 1', transform: 'json.t / 2.0' })
    expect(both(entry('{"t":1}'))).toEqual({ take: false })
    expect(both(entry('{"t":2}'))).toMatchObject({ take: true, entry: { payload: Buffer.from('1') } })
  })
})

describe('a transform in JSONata', () => {
  it('has the parsed payload as its input, behind a filter in CEL', () => {
    const both = compiled({ filter: 'json.t > 1', transform: '{"t": t, "of": $topic}' }, 'JSONata')
    expect(both(entry('{"t":1}'))).toEqual({ take: false })
    const result = both(entry('{"t":2}'))
    expect('entry' in result && result.entry.payload.toString()).toBe(
      '{"t":2,"of":"sensors/attic/temperature"}',
    )
  })

  it('that fails makes a dead letter, without the payload', () => {
    const result = compiled({ transform: '$number(a)' }, 'JSONata')(entry('{"a":"sesame"}'))
    expect(result).toMatchObject({
      failure: { kind: 'Permanent', code: 'EXPRESSION_FAILED', message: expect.stringMatching(/D3030/) },
    })
  })

  it('that makes more than a message may have makes a dead letter', () => {
    const transform = '$reduce([1..23], function($a, $n) { $a & $a }, "x")'
    expect(compiled({ transform }, 'JSONata')(entry('{}'))).toMatchObject({
      failure: { message: expect.stringMatching(/a text that is too long$/) },
    })
  })
})

describe('an expression that fails on a message', () => {
  it.each([
    ['because a key is missing', { filter: 'json.t > 1' }, '{}', 'filter: No such key: t'],
    [
      'because of types',
      { transform: "json.t + 'x'" },
      '{"t":1}',
      /^transform: no such overload: dyn<double>/,
    ],
    ['because a filter gives no bool', { filter: 'json.t' }, '{"t":1}', 'filter: gave a number, not a bool'],
    ['because of a value', { transform: 'int(payload)' }, 'sesame', /^transform: int\(\) type error/],
    [
      'because the payload is a key',
      { transform: 'json[payload]' },
      '{"sesame":1}',
      'transform: No such key',
    ],
  ])('%s makes a dead letter, without the payload', (_, expressions, payload, message) => {
    const result = compiled(expressions)(entry(payload))
    expect(result).toMatchObject({ failure: { kind: 'Permanent', code: 'EXPRESSION_FAILED' } })
    const text = 'failure' in result ? result.failure.message : ''
    expect(text).toMatch(
      message instanceof RegExp ? message : new RegExp(`^${message.replace(/[()]/g, '\\$&')}$`),
    )
    expect(text).not.toContain('sesame')
  })

  it('is refused a payload that would take long to read', () => {
    const result = compiled({ filter: 'true' })(entry(Buffer.alloc(256 * 1024 + 1, 'x')))
    expect(result).toMatchObject({ failure: { code: 'EXPRESSION_FAILED' } })
  })

  it.each([
    [
      'nested loops',
      'json.all(x, json.all(y, json.all(z, x + y + z >= 0.0)))',
      JSON.stringify(Array(2_000).fill(1)),
    ],
    ['a regular expression', "payload.matches('^(a+)+$')", `${'a'.repeat(40)}!`],
  ])('is ended when it takes long: %s', (_, filter, payload) => {
    const since = performance.now()
    expect(compiled({ filter })(entry(payload))).toMatchObject({
      failure: { code: 'EXPRESSION_FAILED', message: 'filter: took longer than 100 ms' },
    })
    expect(performance.now() - since).toBeLessThan(5_000)
    expect(compiled({ filter: 'json.all(x, x > 1)' })(entry('[2]'))).toMatchObject({ take: true })
  })
})

describe('expressionFault', () => {
  it.each([
    ['of a valid expression', 'json.t > 1', undefined],
    ['of an unknown name', 'nope > 1', 'filter.expression: Unknown variable: nope'],
    ['of something unfinished', '1 +', 'filter.expression: Unexpected token: EOF'],
  ])('%s', (_, text, expected) => {
    expect(expressionFault('filter', text)).toEqual(expected)
  })

  it('tells what is no JSONata', () => {
    expect(expressionFault('transform', '{"a": t}', 'JSONata')).toBeUndefined()
    expect(expressionFault('transform', 't **', 'JSONata')).toMatch(/^transform.expression: /)
  })
})
