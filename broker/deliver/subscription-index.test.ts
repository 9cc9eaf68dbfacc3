import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { matches } from '../../contract/topic.ts'
import { SubscriptionIndex, type SubscriptionIndexOptions } from './subscription-index.ts'

type Index = SubscriptionIndex<string, number>

/** `subscriber filter=value`, sorted. */
function matched(index: Index, topic: string): string[] {
  return index
    .match(topic)
    .map(({ subscriber, filter, value }) => `${subscriber} ${filter}=${value}`)
    .sort()
}

function indexOf(filters: string[], options?: SubscriptionIndexOptions): Index {
  const index: Index = new SubscriptionIndex(options)
  for (const [i, filter] of filters.entries()) index.add(filter, `s${i}`, i)
  return index
}

describe('A topic finds', () => {
  test.each([
    ['the filter that is the same', 'a/b', ['a/b'], ['a/c', 'a', 'a/b/c', '/a/b']],
    ['"+" on its level', 'a/b', ['+/b', 'a/+', '+/+'], ['+', 'a/+/+']],
    ['"#" at any depth', 'a/b', ['#', 'a/#', '+/#'], ['b/#']],
    ['"#" after itself', 'a', ['a/#', '+/#'], ['a/+', 'a/+/#']],
    ['"+" on an empty level', 'a//b', ['a/+/b', 'a//b', 'a//#'], ['a/b', 'a/+']],
    ['no leading wildcard below "$"', '$hub/a', ['$hub/a', '$hub/+', '$hub/#'], ['#', '+/a', '+/+', '+/#']],
    ['no leading wildcard when it is "$" and no more', '$', ['$', '$/#'], ['#', '+', '+/#']],
    [
      'names that every object has',
      '__proto__/constructor',
      ['__proto__/+', '+/constructor'],
      ['toString/#'],
    ],
  ])('%s', (_, topic, hits, others) => {
    const index = indexOf([...hits, ...others])
    expect(matched(index, topic)).toEqual(hits.map((filter, i) => `s${i} ${filter}=${i}`).sort())
  })

  test('a subscriber once for each of its filters that match', () => {
    const index: Index = new SubscriptionIndex()
    for (const [value, filter] of ['a/+', 'a/#', 'a/b'].entries()) index.add(filter, 's', value)
    expect(matched(index, 'a/b')).toEqual(['s a/#=1', 's a/+=0', 's a/b=2'])
  })

  test('all subscribers of one filter', () => {
    const index: Index = new SubscriptionIndex()
    for (const subscriber of ['a', 'b', 'c']) {
      expect(index.add('t', subscriber, 1)).toBe(true)
      expect(index.add('t/#', subscriber, 2)).toBe(true)
    }
    expect(matched(index, 't')).toHaveLength(6)
    expect(index.size).toBe(6)
  })

  test('nothing in an empty index', () => {
    expect(new SubscriptionIndex().match('a')).toEqual([])
  })
})

describe('After a topic was matched, its next match', () => {
  test.each(['a/b', 'a/+', '#'])('sees a new subscription of "%s"', (filter) => {
    const index = indexOf(['a/b'])
    index.match('a/b')
    index.add(filter, 'new', 9)
    expect(matched(index, 'a/b')).toContain(`new ${filter}=9`)
  })

  test.each(['a/b', 'a/+', '#'])('no longer sees a subscription of "%s" that ended', (filter) => {
    const index = indexOf([filter])
    index.match('a/b')
    expect(index.remove(filter, 's0')).toBe(true)
    expect(index.remove(filter, 's0')).toBe(false)
    expect(matched(index, 'a/b')).toEqual([])
    expect(index.size).toBe(0)
  })

  test.each(['a/b', 'a/+', '#'])('sees the renewed value of a subscription of "%s"', (filter) => {
    const index = indexOf([filter])
    index.match('a/b')
    expect(index.add(filter, 's0', 7)).toBe(false)
    expect(matched(index, 'a/b')).toEqual([`s0 ${filter}=7`])
    expect(index.size).toBe(1)
  })

  test('is the same array as long as nothing changes for the topic', () => {
    const index = indexOf(['a/b', 'a/+'])
    const first = index.match('a/b')
    index.add('other', 's', 1)
    index.remove('other', 's')
    expect(index.match('a/b')).toBe(first)
  })

  test('leaves the array handed out before as it was', () => {
    const index = indexOf(['a/b', 'a/+'])
    const first = index.match('a/b')
    index.add('a/b', 'new', 9)
    index.removeAll('s0')
    expect(first).toHaveLength(2)
  })

  test('is remembered through the matching of many other topics when it is in use', () => {
    const index = indexOf(['#'], { cachedTopics: 10 })
    const first = index.match('in use')
    for (let i = 0; i < 100; i += 1) {
      index.match(`t/${i}`)
      expect(index.match('in use')).toBe(first)
    }
  })
})

describe('What is remembered is bounded', () => {
  const remembered = (index: Index, topics: string[]) => {
    const first = topics.map((topic) => index.match(topic))
    return topics.filter((topic, i) => index.match(topic) === first[i]).length
  }

  test('in topics', () => {
    const topics = Array.from({ length: 1000 }, (_, i) => `t/${i}`)
    expect(remembered(indexOf(['#'], { cachedTopics: 100 }), topics)).toBe(0)
    expect(remembered(indexOf(['#'], { cachedTopics: 4000 }), topics)).toBe(1000)
  })

  test('in matches over all topics', () => {
    const index = indexOf([], { cachedTopics: 4000, cachedMatches: 1000 })
    for (let i = 0; i < 100; i += 1) index.add('#', `s${i}`, i)
    const topics = Array.from({ length: 40 }, (_, i) => `t/${i}`)
    expect(remembered(index, topics)).toBe(0)
    expect(remembered(index, topics.slice(0, 4))).toBe(4)
  })

  test('in the length of topics', () => {
    expect(remembered(indexOf(['#']), ['x'.repeat(513)])).toBe(0)
    expect(remembered(indexOf(['#']), ['x'.repeat(512)])).toBe(1)
  })
})

test('A subscriber that leaves takes all its subscriptions and no others', () => {
  const index: Index = new SubscriptionIndex()
  for (const subscriber of ['a', 'b']) {
    for (const filter of ['x', 'x/+', 'x/#', '+/y']) index.add(filter, subscriber, 0)
  }
  index.match('x/y')
  expect(index.removeAll('a')).toBe(4)
  expect(index.removeAll('a')).toBe(0)
  expect(matched(index, 'x/y')).toEqual(['b +/y=0', 'b x/#=0', 'b x/+=0'])
  expect(matched(index, 'x')).toEqual(['b x/#=0', 'b x=0'])
  expect(index.size).toBe(4)
})

test('Matching answers as a list of subscriptions and the plain reading of filters would', () => {
  const level = fc.constantFrom('a', 'b', '', '$x', '__proto__')
  const topic = fc
    .array(level, { minLength: 1, maxLength: 4 })
    .map((levels) => levels.join('/'))
    .filter((text) => text !== '')
  const filter = fc
    .tuple(fc.array(fc.oneof(level, fc.constant('+')), { maxLength: 4 }), fc.boolean())
    .map(([levels, open]) => [...levels, ...(open ? ['#'] : [])].join('/'))
    .filter((text) => text !== '')
  const subscriber = fc.constantFrom('p', 'q', 'r')
  const operation = fc.oneof(
    { weight: 4, arbitrary: fc.record({ add: filter, subscriber, value: fc.nat(9) }) },
    { weight: 3, arbitrary: fc.record({ remove: filter, subscriber }) },
    { weight: 1, arbitrary: fc.record({ leave: subscriber }) },
    { weight: 5, arbitrary: fc.record({ match: topic }) },
  )
  const run = fc.property(
    fc.array(operation, { maxLength: 80, size: 'max' }),
    fc.integer({ min: 1, max: 8 }),
    (operations, cachedTopics) => {
      const index: Index = new SubscriptionIndex({ cachedTopics })
      let list: Array<{ subscriber: string; filter: string; value: number }> = []
      const others = (name: string, of?: string) =>
        list.filter((it) => it.subscriber !== name || (of !== undefined && it.filter !== of))
      for (const operation of operations) {
        const before = list.length
        if ('add' in operation) {
          const { add, subscriber, value } = operation
          list = [...others(subscriber, add), { subscriber, filter: add, value }]
          expect(index.add(add, subscriber, value)).toBe(list.length > before)
        } else if ('remove' in operation) {
          list = others(operation.subscriber, operation.remove)
          expect(index.remove(operation.remove, operation.subscriber)).toBe(list.length < before)
        } else if ('leave' in operation) {
          list = others(operation.leave)
          expect(index.removeAll(operation.leave)).toBe(before - list.length)
        } else {
          const expected = list.filter((it) => matches(it.filter, operation.match))
          const texts = expected.map((it) => `${it.subscriber} ${it.filter}=${it.value}`).sort()
          expect(matched(index, operation.match)).toEqual(texts)
        }
        expect(index.size).toBe(list.length)
      }
    },
  )
  fc.assert(run, { seed: 20_260_823, numRuns: 500 })
})
