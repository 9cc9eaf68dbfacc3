import { describe, expect, it } from 'vitest'
import { judgeNetworkRequest, type NetworkRequest } from './network-request.ts'
import { aHub } from './records.fixture.ts'

const HUB = aHub({ events: { enabled: true, topicPrefix: 'site/events' } })

const judge = (request: Partial<NetworkRequest>, topicPrefix = '') =>
  judgeNetworkRequest({ topic: ['a'], qos: [], retain: [], ...request }, { topicPrefix }, HUB)

/** As HTTP libraries hand over the bytes of a header. */
const asBytes = (text: string) => Buffer.from(text).toString('latin1')

describe('a request to a token network', () => {
  it('without further headers is for QoS 0 and not retained', () => {
    expect(judge({ topic: ['lab/door'] })).toEqual({
      allowed: true,
      value: { topic: 'lab/door', qos: 0, retain: false },
    })
  })

  it.each([
    ['an empty prefix leaves the topic alone', '', 'lab/door', 'lab/door'],
    ['a prefix is joined by one slash', 'myapp', 'A1234B/payload', 'myapp/A1234B/payload'],
    ['a prefix of several levels is joined by one slash', 'a/b', 'c', 'a/b/c'],
    ['no slash of the topic is lost, so that two topics never become one', 'a', '/b/', 'a//b/'],
    ['a topic is UTF-8', 'ä', asBytes('ß/日本'), 'ä/ß/日本'],
    ['a dollar sign below the prefix is nothing special', 'a', '$SYS/x', 'a/$SYS/x'],
    ['what only looks like the events is free', '', 'site/events-of-today', 'site/events-of-today'],
  ])('%s', (_, prefix, given, topic) => {
    expect(judge({ topic: [given] }, prefix)).toMatchObject({ allowed: true, value: { topic } })
  })

  it.each([
    ['0', 0],
    ['1', 1],
    ['2', 2],
  ])('takes QoS %s by header', (given, qos) => {
    expect(judge({ qos: [given] })).toMatchObject({ value: { qos } })
  })

  it.each([
    ['true', true],
    ['TRUE', true],
    ['1', true],
    ['false', false],
    ['0', false],
  ])('takes the retain flag %s by header', (given, retain) => {
    expect(judge({ retain: [given] })).toMatchObject({ value: { retain } })
  })

  it.each<[string, Partial<NetworkRequest>, string]>([
    ['without a topic', { topic: [] }, 'X-Topic: expected a topic, got none'],
    ['with an empty topic', { topic: [''] }, 'X-Topic: expected a topic, got an empty one'],
    ['with two topics', { topic: ['a', 'b'] }, 'X-Topic: expected one topic, got 2'],
    ['with a topic that is no UTF-8', { topic: ['\xe4'] }, 'X-Topic: expected UTF-8, got other bytes'],
    [
      'with a wildcard',
      { topic: ['a/+'] },
      'X-Topic: expected a topic, got one that has a wildcard, which only filters may have',
    ],
    ['with a NUL', { topic: ['a\0'] }, 'X-Topic: expected a topic, got one that has a NUL character'],
    ['for $SYS', { topic: ['$SYS/x'] }, 'X-Topic: expected a topic that is not reserved, got "$SYS/x"'],
    [
      'for the events',
      { topic: ['site/events/error/hub/x'] },
      'X-Topic: expected a topic that is not reserved, got "site/events/error/hub/x"',
    ],
    ['at QoS 3', { qos: ['3'] }, 'X-QoS: expected 0, 1, 2, got "3"'],
    ['at an empty QoS', { qos: [''] }, 'X-QoS: expected 0, 1, 2, got ""'],
    ['at two QoS', { qos: ['1', '1'] }, 'X-QoS: expected 0, 1, 2, got 2 values'],
    ['retained perhaps', { retain: ['perhaps'] }, 'X-Retain: expected false, true, 0, 1, got "perhaps"'],
  ])('%s is refused, naming what was expected', (_, request, detail) => {
    expect(judge(request)).toEqual({ allowed: false, code: 'BAD_NETWORK_REQUEST', detail })
  })

  it('whose prefix leads into the events is refused as well', () => {
    expect(judge({ topic: ['events/error'] }, 'site')).toMatchObject({ allowed: false })
  })

  it('that is too long with its prefix is refused', () => {
    expect(judge({ topic: ['x'.repeat(65_530)] }, 'prefix')).toMatchObject({
      allowed: false,
      detail: 'X-Topic: expected a topic, got one that is longer than 65535 bytes',
    })
  })

  it('is quoted in a refusal up to a bound', () => {
    const verdict = judge({ qos: ['9'.repeat(10_000)] })
    expect(JSON.stringify(verdict).length).toBeLessThan(300)
  })
})
