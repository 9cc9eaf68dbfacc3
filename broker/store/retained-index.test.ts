import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { matches } from '../../contract/topic.ts'
import { RetainedIndex } from './retained-index.ts'
import type { ApplicationMessage } from './store.ts'

const ROOMY = { messages: 1000, bytes: 1_000_000 }

function message(topic: string, text = 'm', expiresAt?: number): ApplicationMessage {
  const plain = { topic, payload: Buffer.from(text), qos: 0 as const, retain: true }
  return expiresAt === undefined ? plain : { ...plain, expiresAt }
}

function indexOf(...topics: string[]): RetainedIndex {
  const index = new RetainedIndex(ROOMY)
  for (const topic of topics) index.set(message(topic), 0)
  return index
}

function matched(index: RetainedIndex, filter: string, now = 0): string[] {
  return Array.from(index.match(filter, now), ({ topic }) => topic).sort()
}

const TOPICS = ['a', 'a/b', 'a/b/c', 'a//c', '/a', '/', 'b', '$hub/a', '$hub', '__proto__/constructor']

describe('Retained messages are found by', () => {
  test.each([
    ['a filter without a wildcard', 'a/b', ['a/b']],
    ['a name that every object has', '__proto__/constructor', ['__proto__/constructor']],
    ['a name that every object has but no topic', 'constructor', []],
    ['"+" for one level', 'a/+', ['a/b']],
    ['"+" for an empty level', 'a/+/c', ['a//c', 'a/b/c']],
    ['"+" alone, but not below "$"', '+', ['a', 'b']],
    [
      '"#" alone, but not below "$"',
      '#',
      ['/', '/a', '__proto__/constructor', 'a', 'a//c', 'a/b', 'a/b/c', 'b'],
    ],
    ['"#" including the level before it', 'a/#', ['a', 'a//c', 'a/b', 'a/b/c']],
    ['"+/#" without "$"', '+/#', ['/', '/a', '__proto__/constructor', 'a', 'a//c', 'a/b', 'a/b/c', 'b']],
    ['"$" spelled out', '$hub/#', ['$hub', '$hub/a']],
    ['"+" after "$" spelled out', '$hub/+', ['$hub/a']],
    ['a filter that leads nowhere', 'a/b/c/d/#', []],
  ])('%s', (_, filter, expected) => {
    expect(matched(indexOf(...TOPICS), filter)).toEqual(expected)
  })
})

describe('The retained index', () => {
  test('has the last message of a topic only', () => {
    const index = indexOf('a')
    index.set(message('a', 'second'), 0)
    expect(index.get('a', 0)?.payload.toString()).toBe('second')
    expect(matched(index, '#')).toEqual(['a'])
    expect(index.messages).toBe(1)
  })

  test('gives no message for a topic that only leads to others', () => {
    const index = indexOf('a/b/c')
    expect(index.get('a/b', 0)).toBeUndefined()
    expect(index.clear('a/b')).toBe(false)
    expect(matched(index, 'a/#')).toEqual(['a/b/c'])
  })

  test('refuses a further topic when it is full, but takes a new message of a known one', () => {
    const index = new RetainedIndex({ messages: 2, bytes: 1000 })
    expect(['a', 'b', 'c', 'a'].map((topic) => index.set(message(topic), 0))).toEqual([
      true,
      true,
      false,
      true,
    ])
    index.clear('b')
    expect(index.set(message('c'), 0)).toBe(true)
    expect(matched(index, '#')).toEqual(['a', 'c'])
  })

  test('refuses what passes its bound in bytes and keeps the old message', () => {
    const index = new RetainedIndex({ messages: 10, bytes: 10 })
    expect(index.set(message('a', 'x'.repeat(9)), 0)).toBe(true)
    expect(index.set(message('b', ''), 0)).toBe(false)
    expect(index.set(message('a', 'x'.repeat(10)), 0)).toBe(false)
    expect(index.get('a', 0)?.payload).toHaveLength(9)
    expect(index.set(message('a', 'y'.repeat(8)), 0)).toBe(true)
    expect(index.set(message('b', ''), 0)).toBe(true)
    expect(index.bytes).toBe(10)
  })

  test('bounds the tree that deep topics without anything in common would grow', () => {
    const index = new RetainedIndex({ messages: 100, bytes: 1_000_000 })
    const deep = (i: number) => Array.from({ length: 100 }, (_, depth) => `${i}-${depth}`).join('/')
    const taken = Array.from({ length: 100 }, (_, i) => index.set(message(deep(i)), 0)).filter(Boolean)
    expect(taken).toHaveLength(8)
    for (let i = 0; i < 8; i += 1) expect(index.clear(deep(i))).toBe(true)
    for (const change of ['set', 'clear']) {
      for (let i = 0; i < 100; i += 1) {
        const topic = `p/${i >> 1}/${i % 2}`
        expect(change === 'set' ? index.set(message(topic), 0) : index.clear(topic)).toBe(true)
      }
    }
    const again = Array.from({ length: 100 }, (_, i) => index.set(message(deep(i)), 0)).filter(Boolean)
    expect(again).toHaveLength(8)
  })

  test('keeps to new limits without removing anything', () => {
    const index = indexOf('a', 'b', 'c')
    index.setLimits({ messages: 2, bytes: 1000 })
    expect(index.messages).toBe(3)
    expect(index.set(message('d'), 0)).toBe(false)
  })

  test('hides a message from the moment it expires', () => {
    const index = new RetainedIndex(ROOMY)
    index.set(message('a', 'm', 100), 0)
    expect([index.get('a', 99)?.topic, index.get('a', 100)]).toEqual(['a', undefined])
    expect([matched(index, '#', 99), matched(index, '#', 100)]).toEqual([['a'], []])
  })

  test('takes the room of expired messages when it is needed', () => {
    const index = new RetainedIndex({ messages: 3, bytes: 1000 })
    index.set(message('a', 'm', 100), 0)
    index.set(message('b', 'm', 200), 0)
    index.set(message('c'), 0)
    expect(index.set(message('d'), 99)).toBe(false)
    expect(index.set(message('d'), 100)).toBe(true)
    expect(index.set(message('e'), 199)).toBe(false)
    expect(index.set(message('e'), 200)).toBe(true)
    expect(matched(index, '#', 0)).toEqual(['c', 'd', 'e'])
    expect(index.removeExpired(Number.MAX_SAFE_INTEGER)).toBe(0)
  })

  test('goes on matching while messages come and go', () => {
    const index = indexOf('a/1', 'a/2', 'a/3', 'b/1')
    const found: string[] = []
    for (const { topic } of index.match('#', 0)) {
      found.push(topic)
      index.clear('b/1')
      index.clear(topic)
      index.set(message('a/1/new'), 0)
    }
    expect(found).toEqual(expect.arrayContaining(['a/1', 'a/2', 'a/3']))
    expect(matched(index, '#')).toEqual(['a/1/new'])
  })

  test('does not keep the read buffer of a small payload alive', () => {
    const index = new RetainedIndex(ROOMY)
    index.set({ ...message('a'), payload: Buffer.alloc(65_536).subarray(0, 10) }, 0)
    expect(index.get('a', 0)?.payload.buffer.byteLength).toBeLessThanOrEqual(4096)
  })

  test('answers as a list of all topics and the plain reading of filters would', () => {
    const level = fc.constantFrom('a', 'b', '', '$x', '__proto__')
    const topic = fc
      .array(level, { minLength: 1, maxLength: 4 })
      .map((levels) => levels.join('/'))
      .filter((text) => text !== '')
    const filter = fc
      .tuple(fc.array(fc.oneof(level, fc.constant('+')), { maxLength: 4 }), fc.boolean())
      .map(([levels, open]) => [...levels, ...(open ? ['#'] : [])].join('/'))
      .filter((text) => text !== '')
    const operation = fc.oneof(
      { weight: 3, arbitrary: fc.record({ set: topic, text: fc.string({ maxLength: 5 }) }) },
      { weight: 2, arbitrary: fc.record({ clear: topic }) },
      { weight: 2, arbitrary: fc.record({ match: filter }) },
    )
    fc.assert(
      fc.property(fc.array(operation, { maxLength: 60, size: 'max' }), (operations) => {
        const index = new RetainedIndex({ messages: 12, bytes: 100 })
        const list = new Map<string, string>()
        for (const operation of operations) {
          if ('set' in operation) {
            const after = new Map(list).set(operation.set, operation.text)
            const bytes = [...after].reduce((sum, [name, text]) => sum + Buffer.byteLength(name + text), 0)
            const fits = after.size <= 12 && bytes <= 100
            expect(index.set(message(operation.set, operation.text), 0)).toBe(fits)
            if (fits) list.set(operation.set, operation.text)
          } else if ('clear' in operation) {
            expect(index.clear(operation.clear)).toBe(list.delete(operation.clear))
          } else {
            const expected = [...list.keys()].filter((name) => matches(operation.match, name)).sort()
            expect(matched(index, operation.match)).toEqual(expected)
          }
        }
        expect(index.messages).toBe(list.size)
        for (const [name, text] of list) expect(index.get(name, 0)?.payload.toString()).toBe(text)
      }),
      { seed: 20_260_823, numRuns: 500 },
    )
  })
})
