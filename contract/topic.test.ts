import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import {
  covers,
  filterFault,
  hasWildcard,
  isShared,
  MAX_TOPIC_BYTES,
  MAX_TOPIC_LEVELS,
  matches,
  overlaps,
  parseSharedFilter,
  topicFault,
} from './topic.ts'

describe('topicFault', () => {
  const valid: Record<string, string> = {
    'one level': 'a',
    'several levels': 'plant/1/temperature',
    'a leading slash, which makes an empty first level': '/a',
    'a trailing slash, which makes an empty last level': 'a/',
    'a slash alone': '/',
    'empty levels in between': 'a//b',
    'spaces and punctuation': 'my home/é ü ß/[1]*?',
    'characters outside the basic plane': 'emoji/🌡',
    'a byte order mark, which is kept': '\uFEFFa',
    'a topic of the server, which other rules close': '$SYS/x',
    'the longest topic there is': 'a'.repeat(MAX_TOPIC_BYTES),
    'as many levels as are allowed': new Array(MAX_TOPIC_LEVELS).fill('a').join('/'),
  }
  it.each(Object.entries(valid))('takes %s', (_, topic) => {
    expect(topicFault(topic)).toBeUndefined()
    expect(filterFault(topic)).toBeUndefined()
  })

  const invalid: Record<string, [topic: string, fault: string]> = {
    'an empty topic': ['', 'is empty'],
    'a plus sign': ['a/+/b', 'has a wildcard, which only filters may have'],
    'a plus sign inside a level': ['a+', 'has a wildcard, which only filters may have'],
    'a hash sign': ['a/#', 'has a wildcard, which only filters may have'],
    NUL: ['a\0b', 'has a NUL character'],
    'a line break': ['a\r\nX-Injected: 1', 'has a control character (U+000D)'],
    'an escape sequence': ['a\u001b[2J', 'has a control character (U+001B)'],
    'a C1 control character': ['a\u009b', 'has a control character (U+009B)'],
    'a lone high surrogate': ['a\ud800', 'has a lone surrogate'],
    'a lone low surrogate': ['\udc00a', 'has a lone surrogate'],
    'the character decoders put for bytes that are no UTF-8': [
      Buffer.from([0x61, 0xff]).toString('utf8'),
      'is not valid UTF-8 (U+FFFD)',
    ],
    'one byte too many': ['a'.repeat(MAX_TOPIC_BYTES + 1), 'is longer than 65535 bytes'],
    'few characters of too many bytes': ['é'.repeat(32_768), 'is longer than 65535 bytes'],
    'one level too many': [new Array(MAX_TOPIC_LEVELS + 1).fill('a').join('/'), 'has more than 100 levels'],
    'slashes only': ['/'.repeat(1000), 'has more than 100 levels'],
  }
  it.each(Object.entries(invalid))('refuses %s', (_, [topic, fault]) => {
    expect(topicFault(topic)).toBe(fault)
  })
})

describe('filterFault', () => {
  it.each([
    '#',
    '+',
    '+/+',
    'a/+',
    'a/#',
    '+/#',
    '/+',
    '/#',
    '+//#',
    '$hub/events/#',
    '$share/g/#',
    '$share/g//a',
  ])('takes %s', (filter) => {
    expect(filterFault(filter)).toBeUndefined()
  })

  const invalid: Record<string, [filter: string, fault: string]> = {
    'an empty filter': ['', 'is empty'],
    NUL: ['a/\0', 'has a NUL character'],
    'a plus sign after text': ['a+', 'has a "+" that does not fill its level'],
    'a plus sign before text': ['+a/b', 'has a "+" that does not fill its level'],
    'two plus signs in one level': ['++', 'has a "+" that does not fill its level'],
    'a hash sign after text': ['a#', 'has a "#" that does not fill its level'],
    'both signs in one level': ['+#', 'has a "+" that does not fill its level'],
    'a hash sign before the last level': ['a/#/b', 'has a "#" that is not its last level'],
    'a hash sign before a slash': ['#/', 'has a "#" that is not its last level'],
    'a share without group': ['$share', 'is no $share/<group>/<filter>'],
    'a share without filter': ['$share/g', 'is no $share/<group>/<filter>'],
    'a share with an empty filter': ['$share/g/', 'is no $share/<group>/<filter>'],
    'a share with an empty group': ['$share//a', 'has a share group that is empty or a wildcard'],
    'a share with a wildcard group': ['$share/+/a', 'has a share group that is empty or a wildcard'],
    'a share with # for group': ['$share/#', 'is no $share/<group>/<filter>'],
    'a share in a share': ['$share/g/$share/h/a', 'has a shared filter inside a shared filter'],
  }
  it.each(Object.entries(invalid))('refuses %s', (_, [filter, fault]) => {
    expect(filterFault(filter)).toBe(fault)
  })
})

describe('parseSharedFilter', () => {
  it('splits a shared subscription into its group and its filter', () => {
    expect(parseSharedFilter('$share/workers/a/+/#')).toEqual({ group: 'workers', filter: 'a/+/#' })
    expect(parseSharedFilter('$share/g//a')).toEqual({ group: 'g', filter: '/a' })
    expect(parseSharedFilter('$share/g/$hub/#')).toEqual({ group: 'g', filter: '$hub/#' })
  })

  it('leaves every other filter alone', () => {
    for (const filter of ['a', '#', '$shared/g/a', '$SHARE/g/a', 'x/$share/g/a']) {
      expect(isShared(filter)).toBe(false)
      expect(parseSharedFilter(filter)).toBeUndefined()
    }
  })

  it('marks a broken shared subscription as shared, so that it is not taken for an ordinary filter', () => {
    for (const filter of ['$share', '$share/', '$share/g', '$share/g/', '$share//a', '$share/+/a']) {
      expect(isShared(filter)).toBe(true)
      expect(parseSharedFilter(filter)).toBeUndefined()
    }
  })
})

describe('hasWildcard', () => {
  it('is true for + and # only', () => {
    expect(['a', '$x', 'a/+', '#', 'a/#'].map(hasWildcard)).toEqual([false, false, true, true, true])
  })
})

describe('matches, as the examples of MQTT §4.7 say', () => {
  const rows: ReadonlyArray<[filter: string, topic: string, expected: boolean]> = [
    ['sport/tennis/player1/#', 'sport/tennis/player1', true],
    ['sport/tennis/player1/#', 'sport/tennis/player1/score/wimbledon', true],
    ['sport/#', 'sport', true],
    ['sport/tennis/+', 'sport/tennis/player1', true],
    ['sport/tennis/+', 'sport/tennis/player1/ranking', false],
    ['sport/+', 'sport', false],
    ['sport/+', 'sport/', true],
    ['+/+', '/finance', true],
    ['/+', '/finance', true],
    ['+', '/finance', false],
    ['#', '$SYS/monitor/Clients', false],
    ['+/monitor/Clients', '$SYS/monitor/Clients', false],
    ['$SYS/#', '$SYS/monitor/Clients', true],
    ['$SYS/monitor/+', '$SYS/monitor/Clients', true],
    ['ACCOUNTS', 'Accounts', false],
    ['a/$b/+', 'a/$b/c', true],
    ['+/$b', 'a/$b', true],
    ['#', '$', false],
  ]
  it.each(rows)('%s on %s is %s', (filter, topic, expected) => {
    expect(matches(filter, topic)).toBe(expected)
  })
})

describe('covers and overlaps, where intuition errs', () => {
  const rows: ReadonlyArray<[a: string, b: string, aCoversB: boolean, bCoversA: boolean, overlap: boolean]> =
    [
      ['#', '+/#', true, true, true],
      ['/#', '/+/#', true, true, true],
      ['+/+/#', '/#', true, false, true],
      ['a/#', 'a', true, false, true],
      ['a/#', 'a/+/#', true, false, true],
      ['a/+', '+/b', false, false, true],
      ['#', '$hub/#', false, false, false],
      ['+', '/#', false, false, false],
      ['+', '/', false, false, false],
      ['#', '/', true, false, true],
      ['$hub/#', '$hub/events/+/device/x', true, false, true],
      ['$hub/+', '$SYS/+', false, false, false],
    ]
  it.each(rows)('%s and %s', (a, b, aCoversB, bCoversA, overlap) => {
    expect([covers(a, b), covers(b, a)]).toEqual([aCoversB, bCoversA])
    expect([overlaps(a, b), overlaps(b, a)]).toEqual([overlap, overlap])
  })
})

// The oracle knows no cleverness: filters are level lists, and a filter is the set of the topics it matches,
// out of all topics up to one level more than any filter has. `zz` is in no filter: only wildcards take it.
const LEVELS = ['', 'a', 'b', '$x'] as const
const TOPIC_LEVELS = [...LEVELS, 'zz']

function oracleMatches(filter: readonly string[], topic: readonly string[]): boolean {
  if (topic[0]?.startsWith('$') === true && (filter[0] === '+' || filter[0] === '#')) return false
  return oracleLevels(filter, topic)
}

function oracleLevels(filter: readonly string[], topic: readonly string[]): boolean {
  if (filter[0] === '#') return true
  if (filter.length === 0 || topic.length === 0) return filter.length === topic.length
  return (filter[0] === '+' || filter[0] === topic[0]) && oracleLevels(filter.slice(1), topic.slice(1))
}

function sequences(alphabet: readonly string[], depth: number): string[][] {
  if (depth === 0) return [[]]
  return sequences(alphabet, depth - 1).flatMap((head) => alphabet.map((level) => [...head, level]))
}

function upTo(alphabet: readonly string[], depth: number): string[][] {
  return Array.from({ length: depth }, (_, i) => sequences(alphabet, i + 1)).flat()
}

const isNamed = (levels: readonly string[]) => levels.join('/') !== ''

function allFilters(depth: number): string[][] {
  const plain = upTo([...LEVELS, '+'], depth)
  const open = [[], ...upTo([...LEVELS, '+'], depth - 1)].map((head) => [...head, '#'])
  return [...plain, ...open].filter(isNamed)
}

describe('matches, covers and overlaps against a naive oracle', () => {
  const filters = allFilters(3)
  const topics = upTo(TOPIC_LEVELS, 4).filter(isNamed)
  const sets = filters.map((filter) => topics.map((topic) => oracleMatches(filter, topic)))
  const names = filters.map((filter) => filter.join('/'))
  const topicNames = topics.map((topic) => topic.join('/'))

  it('agree on every filter up to three levels and every topic up to four', () => {
    const wrong: string[] = []
    for (const [f, set] of sets.entries()) {
      for (const [t, expected] of set.entries()) {
        if (matches(names[f]!, topicNames[t]!) !== expected) wrong.push(`${names[f]} on ${topicNames[t]}`)
      }
    }
    expect(wrong).toEqual([])
    expect(filters.length * topics.length).toBeGreaterThan(100_000)
  })

  it('agree on every pair of filters up to three levels', () => {
    const wrong: string[] = []
    for (const [a, setA] of sets.entries()) {
      for (const [b, setB] of sets.entries()) {
        const covered = setB.every((inB, t) => !inB || setA[t] === true)
        const common = setB.some((inB, t) => inB && setA[t] === true)
        if (covers(names[a]!, names[b]!) !== covered) wrong.push(`${names[a]} covers ${names[b]}`)
        if (overlaps(names[a]!, names[b]!) !== common) wrong.push(`${names[a]} overlaps ${names[b]}`)
      }
    }
    expect(wrong).toEqual([])
  })

  it('agree on random pairs of filters up to five levels', () => {
    const level = fc.constantFrom('', 'a', '$x', '+', '+')
    const filter = fc
      .tuple(fc.array(level, { maxLength: 5 }), fc.boolean())
      .map(([head, open]) => (open ? [...head.slice(0, 4), '#'] : head))
      .filter(isNamed)
    const deepTopics = upTo(['', 'a', '$x', 'zz'], 6).filter(isNamed)
    fc.assert(
      fc.property(filter, filter, (a, b) => {
        const setA = deepTopics.map((topic) => oracleMatches(a, topic))
        const setB = deepTopics.map((topic) => oracleMatches(b, topic))
        expect(covers(a.join('/'), b.join('/'))).toBe(setB.every((inB, t) => !inB || setA[t] === true))
        expect(overlaps(a.join('/'), b.join('/'))).toBe(setB.some((inB, t) => inB && setA[t] === true))
      }),
      { seed: 20_240, numRuns: 1000 },
    )
  })
})

describe('properties for any text in a level', () => {
  // Levels of any length and character: what the small alphabet of the oracle cannot show.
  const text = fc
    .string({ unit: 'grapheme', maxLength: 6 })
    .map((s) => s.replace(/[+#/]/g, '_'))
    .filter((s) => topicFault(`x${s}`) === undefined)
  const topic = fc
    .array(text, { minLength: 1, maxLength: 6 })
    .map((levels) => levels.join('/'))
    .filter((t) => t !== '' && !t.startsWith('$'))

  it('a topic made into a filter by widening some levels still matches', () => {
    fc.assert(
      fc.property(
        topic,
        fc.array(fc.boolean(), { minLength: 6, maxLength: 6 }),
        fc.nat(6),
        (t, widen, cut) => {
          const widened = t.split('/').map((level, i) => (widen[i] === true ? '+' : level))
          const open = [...widened.slice(0, cut), '#'].join('/')
          expect(matches(widened.join('/'), t)).toBe(true)
          expect(matches(open, t)).toBe(true)
          expect(covers(open, widened.join('/'))).toBe(true)
          expect(overlaps(widened.join('/'), open)).toBe(true)
        },
      ),
      { seed: 7, numRuns: 1000 },
    )
  })

  it('a filter without wildcards matches its own text and nothing else', () => {
    fc.assert(
      fc.property(topic, topic, (a, b) => {
        expect(matches(a, a)).toBe(true)
        expect(matches(a, b)).toBe(a === b)
        expect(overlaps(a, b)).toBe(a === b)
      }),
      { seed: 8, numRuns: 1000 },
    )
  })

  it('never throws on text that is no valid filter', () => {
    const junk = fc.string({ unit: fc.constantFrom('+', '#', '/', '$', 'a'), maxLength: 8 })
    fc.assert(
      fc.property(junk, junk, (a, b) => {
        expect([matches(a, b), covers(a, b), overlaps(a, b)].every((v) => typeof v === 'boolean')).toBe(true)
      }),
      { seed: 9, numRuns: 10000 },
    )
  })
})
