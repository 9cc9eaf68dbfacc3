import { describe, expect, it } from 'vitest'
import { compileJsonata, type JsonataProgram } from './jsonata-program.ts'

function compiled(source: string): JsonataProgram {
  const program = compileJsonata(source)
  if (typeof program === 'string') throw new Error(program)
  return program
}

const input = (payload: unknown) => ({
  topic: 'sensors/attic',
  payload: typeof payload === 'string' ? payload : JSON.stringify(payload),
  retain: false,
  qos: 1,
})

describe('a JSONata expression', () => {
  it.each([
    [
      'an object',
      '{"f": t * 1.8 + 32, "topic": $topic, "qos": $qos}',
      { t: 20 },
      '{"f":68,"topic":"sensors/attic","qos":1}',
    ],
    ['a text', '$uppercase(name)', { name: 'a' }, 'A'],
    ['a sum over a list', '$sum(readings.t)', { readings: [{ t: 1 }, { t: 2 }] }, '3'],
    ['a filtered list', 'readings[t > 1].t', { readings: [{ t: 1 }, { t: 2 }, { t: 3 }] }, '[2,3]'],
    ['the payload that is no JSON', '$payload & "!"', 'on', 'on!'],
    ['null', 'x', { x: null }, 'null'],
    ['a part of the topic', '$split($topic, "/")[1]', '', 'attic'],
    ['a padded text', '$pad(name, -5, "-") & $pad("é", 3) & $pad(name, 1)', { name: 'ab' }, '---abé  ab'],
  ])('may give %s', (_, source, payload, expected) => {
    expect(compiled(source)(input(payload)).toString()).toBe(expected)
  })

  it.each([
    ['that ends too early', '{"a": ', /^Expected "}"|^Unexpected end|end of expression/],
    ['with an operator too many', 't ** 2', /\(at character \d+\)$/],
  ])('%s is none', (_, source, expected) => {
    expect(compileJsonata(source)).toMatch(expected)
  })

  it.each([
    ['loops', '($f := function($x) { $f($x) }; $f(1))', 'took longer than 100 ms'],
    ['recurses', '($f := function($x) { 1 + $f($x) }; $f(1))', 'went deeper than 300 calls'],
    [
      'recurses out of sight',
      '$eval("($f := function($x) { $f($x) }; $f(1))")',
      /took longer than 100 ms|failed with D3121/,
    ],
    ['matches for ever', '$match(a, /^(a+)+$/)', 'took longer than 100 ms'],
    ['compares all with all', '$count($distinct([1..90000]))', 'took longer than 100 ms'],
    ['makes a list without end', '[1..1000000]', /^made more than|D2014/],
    ['makes a text without end', '$pad("", 100000000)', /^made more than/],
    ['gives nothing', 'nowhere', 'gave nothing that is a payload'],
    ['gives a function', 'function($x) { $x }', 'gave nothing that is a payload'],
    ['calls what is no function', '$nope(1)', /^Attempted to invoke a non-function/],
  ])('that %s is ended with a reason, and works on the next message', (_, source, message) => {
    const program = compiled(source)
    const bad = input({ a: `${'a'.repeat(40)}!` })
    for (let n = 0; n < 2; n += 1) {
      let text = ''
      try {
        program(bad)
      } catch (error) {
        text = (error as Error).message
      }
      if (typeof message === 'string') expect(text).toBe(message)
      else expect(text).toMatch(message)
    }
    expect(compiled('1 + 1')(input({})).toString()).toBe('2')
  })

  it.each([
    '$number(a)',
    '$error("it is " & a)',
    '$assert(false, a)',
    '$toMillis(a)',
    'a + 1',
    '$fromMillis(a)',
  ])('that fails by %s does not tell what was in the message', (source) => {
    expect(() => compiled(source)(input({ a: 'sesame' }))).toThrow(/^(?!.*sesame)/)
    expect(() => compiled(source)(input({ a: 'sesame' }))).toThrow(/D\d+|T\d+/)
  })

  it('shares nothing with this process or another expression', () => {
    compiled('$ ~> |$|{"__proto__": {"polluted": true}}|')(input({ a: 1 }))
    expect(({} as Record<string, unknown>)['polluted']).toBeUndefined()
    expect(compiled('$string(polluted)')(input({ polluted: 'no' })).toString()).toBe('no')
    expect(() => compiled('$eval("process")')(input({}))).toThrow('gave nothing that is a payload')
  })
})
