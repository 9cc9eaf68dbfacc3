import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { covers, filterFault } from '../../contract/topic.ts'
import { expandRule, expandTopic } from './templates.ts'

const variables = { 'device.id': 'id-1', 'device.name': 'lamp', 'hub.id': 'id-2', 'hub.name': 'home' }

test.each([
  ['plain', 'a/+/#', 'a/+/#'],
  ['spaces inside the braces', 'a/{{ device.id }}/{{device.name}}/{{  hub.id}}', 'a/id-1/lamp/id-2'],
  ['a part of a level', 'pre-{{ device.name }}-post', 'pre-lamp-post'],
  ['twice', '{{ hub.name }}/{{ hub.name }}', 'home/home'],
  ['single braces are text', 'a/{device.id}', 'a/{device.id}'],
  ['a leading $ that was written down', '$hub/{{ device.id }}', '$hub/id-1'],
])('%s: %s', (_, topic, filter) => {
  expect(expandTopic(topic, variables)).toEqual({ valid: true, filter })
})

describe('what closes the direction', () => {
  test.each([
    ['{{ device.serial }}', 'unknown variable device.serial'],
    ['{{ constructor }}', 'unknown variable constructor'],
    ['{{ __proto__ }}', '{{ __proto__ }} does not name a variable'],
    ['{{ }}', '{{ }} does not name a variable'],
    ['{{ device.id | upper }}', '{{ device.id | upper }} does not name a variable'],
    ['a/{{ device.id', '{{ without its counterpart'],
    ['a/device.id }}', '}} without its counterpart'],
    ['{{{ device.id }}}', '{{{ device.id }} does not name a variable'],
    ['{{ device.id }}}}', '}} without its counterpart'],
    ['{{ {{ device.id }} }}', '{{ {{ device.id }} does not name a variable'],
    ['{{ device.id }}+', 'the filter has a "+" that does not fill its level'],
  ])('%s', (topic, fault) => {
    expect(expandTopic(topic, variables)).toEqual({ valid: false, fault })
  })

  test.each([
    ['+', 'the value of device.name holds "+"'],
    ['#', 'the value of device.name holds "#"'],
    ['a/b', 'the value of device.name holds "/"'],
    ['a\0b', 'the value of device.name holds "\\u0000"'],
    ['', 'the value of device.name is empty'],
    ['a\u0007b', 'the filter has a control character (U+0007)'],
    ['$hub', 'a value makes the filter begin with $'],
  ])('a device named %j', (name, fault) => {
    expect(expandTopic('{{ device.name }}/x', { 'device.name': name })).toEqual({ valid: false, fault })
  })

  test('one entry closes the whole direction, also a Reject list, and every fault is told', () => {
    expect(
      expandRule({ policy: 'Reject', topics: ['a', '{{ x }}', '{{ y }}'] }, variables, 'publish'),
    ).toEqual({
      rule: { policy: 'Accept', topics: [] },
      errors: [
        'publish.topics[1] "{{ x }}": unknown variable x',
        'publish.topics[2] "{{ y }}": unknown variable y',
      ],
    })
  })
})

const hostile = fc.string({ unit: fc.constantFrom('+', '#', '/', '$', '{', '}', '\0', 'a', ' ', '.') })

test('whatever the value, the filter is valid and no wider than the level that the template stands for', () => {
  fc.assert(
    fc.property(hostile, fc.constantFrom('x/{{ v }}/#', '{{ v }}/y', 'x/pre{{ v }}'), (value, topic) => {
      const expansion = expandTopic(topic, { v: value })
      if (!expansion.valid) return
      expect(filterFault(expansion.filter)).toBeUndefined()
      // The template with + for the level of the value matches at least as much.
      expect(covers(topic.replace(/[^/]*\{\{ v \}\}/, '+'), expansion.filter)).toBe(true)
      expect(expansion.filter).toBe(topic.replace('{{ v }}', () => value))
    }),
    { seed: 1, numRuns: 2000 },
  )
})

test('no text whatever makes it throw or leaves braces behind', () => {
  fc.assert(
    fc.property(fc.string({ unit: fc.constantFrom('{', '}', '{{ hub.id }}', 'a', '/', ' ') }), (topic) => {
      const expansion = expandTopic(topic, variables)
      if (expansion.valid) expect(expansion.filter).not.toMatch(/\{\{|\}\}/)
    }),
    { seed: 2, numRuns: 2000 },
  )
})
