import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { FilterRule } from '../../contract/hub-state.ts'
import { matches } from '../../contract/topic.ts'
import { compileFilters, compilePublishRule, compileSubscribeRule, isReservedTopic } from './filters.ts'

const EVENTS = '$hub/events'
const accept = (...topics: string[]): FilterRule => ({ policy: 'Accept', topics })
const reject = (...topics: string[]): FilterRule => ({ policy: 'Reject', topics })

describe('publishing', () => {
  type Row = [rule: FilterRule, passes: string[], refused: string[]]
  const rows: Record<string, Row> = {
    'Reject without entries lets everything pass': [reject(), ['a', 'a/b', '/', 'a/$b'], []],
    'Accept without entries lets nothing pass': [accept(), [], ['a', 'a/b', '/']],
    'Accept lets a listed topic pass and no other': [accept('a/b'), ['a/b'], ['a', 'a/b/c', 'A/b', 'a/b/']],
    'Accept lets pass what a + matches': [accept('a/+/c'), ['a/b/c', 'a//c'], ['a/c', 'a/b/c/d', 'a/b']],
    'Accept lets pass what a # matches, the parent too': [accept('a/#'), ['a', 'a/', 'a/b/c'], ['ab', 'b']],
    'Accept adds its entries up': [accept('a', 'b/+', 'c/#'), ['a', 'b/1', 'c/1/2'], ['b', 'b/1/2', 'd']],
    'Reject blocks a listed topic and no other': [reject('a/b'), ['a', 'a/b/c', 'b'], ['a/b']],
    'Reject blocks what a wildcard matches': [reject('a/#', '+/x'), ['b', 'x', 'b/y'], ['a', 'a/b', 'b/x']],
    'Reject # blocks everything': [reject('#'), [], ['a', 'a/b', '/']],
  }
  it.each(Object.entries(rows))('%s', (_, [rule, passes, refused]) => {
    const { allowsPublish } = compilePublishRule(rule, EVENTS)
    expect([...passes, ...refused].filter(allowsPublish)).toEqual(passes)
  })

  const dollar = ['$', '$x', '$hub/events/error/device/1', '$hub', '$SYS/broker/version', '$share/g/a']
  it.each(dollar)('never lets a client write %s, whatever the rule lists', (topic) => {
    for (const rule of [reject(), accept('#'), accept('$hub/#', '$SYS/#', '$x', '$', '$share/#', topic)]) {
      expect(compilePublishRule(rule, EVENTS).allowsPublish(topic)).toBe(false)
    }
  })

  it('never lets a client write at or under an events prefix without $', () => {
    for (const rule of [reject(), accept('#'), accept('ops/events/#')]) {
      const { allowsPublish } = compilePublishRule(rule, 'ops/events')
      expect(['ops/events', 'ops/events/', 'ops/events/error/device/1'].some(allowsPublish)).toBe(false)
    }
    const { allowsPublish } = compilePublishRule(reject(), 'ops/events')
    expect(['ops', 'ops/event', 'ops/eventsX', 'x/ops/events'].every(allowsPublish)).toBe(true)
  })
})

describe('subscribing', () => {
  type Row = [rule: FilterRule, granted: string[], refused: string[]]
  const rows: Record<string, Row> = {
    'Reject without entries grants everything': [reject(), ['#', '+', 'a/#', 'a'], []],
    'Accept without entries grants nothing': [accept(), [], ['#', '+', 'a/#', 'a']],
    'Accept grants what one entry covers': [
      accept('a/#', 'x/+'),
      ['a', 'a/b', 'a/+', 'a/#', 'a/+/b/#', 'x/1', 'x/+'],
      ['#', '+', '+/b', 'x', 'x/#', 'x/1/2', 'b'],
    ],
    'Accept grants the very entry': [accept('a/b', '+/c'), ['a/b', '+/c', 'x/c'], ['a/+', '+/b', '#']],
    'Accept does not add entries up to cover a wildcard': [
      accept('a', 'a/+/#'),
      ['a', 'a/b', 'a/+/#'],
      ['a/#'],
    ],
    'Accept # grants everything but $ topics': [
      accept('#'),
      ['#', '+/#', 'a', '/'],
      ['$hub/#', '$SYS/#', '$x'],
    ],
    'Reject refuses what one entry covers': [
      reject('secret/#'),
      ['a', '#', '+', '+/x', 'a/#'],
      ['secret', 'secret/x', 'secret/+', 'secret/#'],
    ],
    'Reject grants what merely overlaps and leaves it to delivery': [
      reject('a/+/c'),
      ['a/#', 'a/b/+', '#', '+/+/+'],
      ['a/b/c', 'a/+/c'],
    ],
  }
  it.each(Object.entries(rows))('%s', (_, [rule, granted, refused]) => {
    const { allowsSubscribe } = compileSubscribeRule(rule)
    expect([...granted, ...refused].filter(allowsSubscribe)).toEqual(granted)
  })

  it('judges a shared subscription by the filter inside it', () => {
    const { allowsSubscribe } = compileSubscribeRule(accept('a/#', '$hub/#'))
    expect(['$share/g/a/b', '$share/g/a/#', '$share/g/$hub/events/#'].every(allowsSubscribe)).toBe(true)
    expect(['$share/g/b', '$share/g/#', '$share/g/$SYS/#'].some(allowsSubscribe)).toBe(false)
    expect(compileSubscribeRule(reject('a/#')).allowsSubscribe('$share/g/a')).toBe(false)
    expect(compileSubscribeRule(reject('a/#')).allowsSubscribe('$share/g/b')).toBe(true)
  })

  it('refuses a broken shared subscription even where its text is listed', () => {
    const { allowsSubscribe } = compileSubscribeRule(accept('$share/#', '$share/g', '#'))
    expect(['$share', '$share/g', '$share//a', '$share/+/a', '$share/g/'].some(allowsSubscribe)).toBe(false)
  })
})

describe('topics that start with $', () => {
  it('are opened by an Accept entry that starts with $ and covers them', () => {
    const { allowsSubscribe, allowsDelivery } = compileSubscribeRule(accept('$hub/events/error/#', 'a'))
    expect(allowsSubscribe('$hub/events/error/#')).toBe(true)
    expect(allowsSubscribe('$hub/events/error/device/+')).toBe(true)
    expect(allowsDelivery('$hub/events/error/device/1')).toBe(true)
    expect(['$hub/#', '$hub/events/#', '$hub/events/+/device/1'].some(allowsSubscribe)).toBe(false)
    expect(allowsDelivery('$hub/events/info/device/1')).toBe(false)
  })

  it('are not opened by a rule that does not forbid them, nor delivered under it', () => {
    for (const rule of [reject(), reject('a'), accept('#'), accept('+/events/#')]) {
      const { allowsSubscribe, allowsDelivery } = compileSubscribeRule(rule)
      expect(['$hub/#', '$hub/events/error/#', '$x', '$'].some(allowsSubscribe)).toBe(false)
      expect(['$hub/events/error/device/1', '$x', '$'].some(allowsDelivery)).toBe(false)
    }
  })

  it('never open $SYS', () => {
    const { allowsSubscribe, allowsDelivery } = compileSubscribeRule(
      accept('$SYS/#', '$SYS', '#', '$SYSTEM/#'),
    )
    expect(['$SYS', '$SYS/#', '$SYS/+', '$SYS/a', '$share/g/$SYS/#'].some(allowsSubscribe)).toBe(false)
    expect(['$SYS', '$SYS/broker/clients'].some(allowsDelivery)).toBe(false)
    expect(allowsSubscribe('$SYSTEM/#')).toBe(true)
  })
})

describe('delivery', () => {
  it('holds back under Reject what a granted wildcard overlaps', () => {
    const { allowsSubscribe, allowsDelivery } = compileSubscribeRule(reject('secret/#', 'a/+/c'))
    expect(allowsSubscribe('#')).toBe(true)
    expect(['a', 'a/b', 'secrets', 'a/b/c/d'].every(allowsDelivery)).toBe(true)
    expect(['secret', 'secret/x', 'a/b/c'].some(allowsDelivery)).toBe(false)
  })

  it('holds back under Accept what a restored subscription may no longer see', () => {
    const { allowsDelivery } = compileSubscribeRule(accept('a/+'))
    expect([allowsDelivery('a/b'), allowsDelivery('b')]).toEqual([true, false])
  })
})

describe('entries that cannot be understood', () => {
  // Validation refuses them long before; should one slip through, it must close and not open.
  it.each(['a#', '', 'a/#/b', '$share/g/a', 'a\0'])('make a Reject rule refuse everything: %j', (entry) => {
    const filters = compileFilters({ publish: reject('x', entry), subscribe: reject('x', entry) }, EVENTS)
    for (const topic of ['a', 'b/c', 'x']) {
      expect(filters.allowsPublish(topic)).toBe(false)
      expect(filters.allowsSubscribe(topic)).toBe(false)
      expect(filters.allowsDelivery(topic)).toBe(false)
    }
    expect(filters.allowsSubscribe('#')).toBe(false)
  })

  it.each(['a#', '', '#/', '$share/g/a'])('open nothing in an Accept rule: %j', (entry) => {
    const filters = compileFilters({ publish: accept('x', entry), subscribe: accept('x', entry) }, EVENTS)
    expect(['x', 'a', 'ab', 'b', '#', entry].filter(filters.allowsSubscribe)).toEqual(['x'])
    expect(['x', 'a', 'ab', 'b'].filter(filters.allowsPublish)).toEqual(['x'])
  })
})

describe('compileFilters', () => {
  it('keeps the two directions apart', () => {
    const filters = compileFilters({ publish: accept('out'), subscribe: accept('in') }, EVENTS)
    expect([filters.allowsPublish('out'), filters.allowsPublish('in')]).toEqual([true, false])
    expect([filters.allowsSubscribe('in'), filters.allowsSubscribe('out')]).toEqual([true, false])
    expect([filters.allowsDelivery('in'), filters.allowsDelivery('out')]).toEqual([true, false])
  })
})

describe('isReservedTopic', () => {
  it('holds for $ topics and the events prefix, and for nothing beside them', () => {
    expect(['$hub/x', '$', 'ev', 'ev/a'].every((topic) => isReservedTopic(topic, 'ev'))).toBe(true)
    expect(['e', 'eve', 'a/ev', 'a/$x'].some((topic) => isReservedTopic(topic, 'ev'))).toBe(false)
  })
})

describe('any rule', () => {
  const level = fc.constantFrom('a', 'b', '', '$x', '$hub')
  const filterLevel = fc.oneof(level, fc.constant('+'))
  const named = (text: string) => text !== ''
  const topic = fc
    .array(level, { minLength: 1, maxLength: 4 })
    .map((levels) => levels.join('/'))
    .filter(named)
  const filter = fc
    .tuple(fc.array(filterLevel, { maxLength: 3 }), fc.boolean())
    .map(([levels, open]) => [...levels, ...(open ? ['#'] : [])].join('/'))
    .filter(named)
  const rule = fc.record({
    policy: fc.constantFrom('Accept' as const, 'Reject' as const),
    topics: fc.array(filter, { maxLength: 4 }),
  })

  it('publishes and delivers what its list says, read one entry at a time', () => {
    fc.assert(
      fc.property(rule, topic, (r, t) => {
        const listed = r.topics.some((entry) => matches(entry, t))
        const passes = r.policy === 'Accept' ? listed : !listed
        const { allowsPublish, allowsDelivery } = compileFilters({ publish: r, subscribe: r }, EVENTS)
        expect(allowsPublish(t)).toBe(passes && !t.startsWith('$'))
        expect(allowsDelivery(t)).toBe(passes && (!t.startsWith('$') || r.policy === 'Accept'))
      }),
      { seed: 11, numRuns: 2000 },
    )
  })

  it('under Accept grants no filter of which one message would be held back', () => {
    fc.assert(
      fc.property(rule, filter, topic, (r, f, t) => {
        const { allowsSubscribe, allowsDelivery } = compileSubscribeRule({ ...r, policy: 'Accept' })
        if (allowsSubscribe(f) && matches(f, t)) expect(allowsDelivery(t)).toBe(true)
      }),
      { seed: 12, numRuns: 5000 },
    )
  })

  it('grants a filter without wildcards exactly when it delivers its topic', () => {
    fc.assert(
      fc.property(rule, topic, (r, t) => {
        const { allowsSubscribe, allowsDelivery } = compileSubscribeRule(r)
        expect(allowsSubscribe(t)).toBe(allowsDelivery(t))
      }),
      { seed: 13, numRuns: 2000 },
    )
  })
})
