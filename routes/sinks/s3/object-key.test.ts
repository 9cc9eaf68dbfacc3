import { describe, expect, it } from 'vitest'
import { makeEntry } from '../sink.contract.ts'
import { batchKey, digitsOf, messageKey, nanosecondTime, topicKey } from './object-key.ts'

describe('the key of PerTopic', () => {
  it.each([
    ['iot/messages', 'hello/world', 'iot/messages/hello/world'],
    ['', 'hello/world', 'hello/world'],
    ['mykeyprefix-', 'a', 'mykeyprefix-/a'],
    ['iot/', 'a', 'iot/a'],
    ['iot', '/a', 'iot//a'],
    ['', '/a', '/a'],
    ['iot', 'größe/温度 1', 'iot/größe/温度 1'],
  ])('of prefix %j and topic %j is %j', (prefix, topic, key) => {
    expect(topicKey(prefix, topic)).toEqual({ key })
  })

  it.each(['../a', 'a/..', 'a/./b', '..'])('is refused for %j', (topic) => {
    expect(topicKey('iot', topic)).toEqual({ fault: expect.stringContaining('a level of the topic') })
  })

  it('is refused beyond the bound of S3', () => {
    expect(topicKey('', 'é'.repeat(512))).toHaveProperty('key')
    expect(topicKey('', 'é'.repeat(513))).toHaveProperty('fault')
  })
})

describe('the time in the key of PerMessage', () => {
  it.each([
    [Date.UTC(2026, 0, 2, 3, 4, 5, 678), 0, '2026-01-02T03:04:05.678Z'],
    [Date.UTC(2026, 0, 2, 3, 4, 5, 600), 0, '2026-01-02T03:04:05.6Z'],
    [Date.UTC(2026, 0, 2, 3, 4, 5, 0), 0, '2026-01-02T03:04:05Z'],
    [Date.UTC(2026, 0, 2, 3, 4, 5, 0), 7, '2026-01-02T03:04:05.000000007Z'],
    [Date.UTC(2026, 0, 2, 3, 4, 5, 678), 120, '2026-01-02T03:04:05.67800012Z'],
  ])('of %i and %i is %s', (time, digits, text) => {
    expect(nanosecondTime(time, digits)).toBe(text)
  })

  it('is the same for every attempt and another for every message', () => {
    const time = Date.UTC(2026, 0, 1)
    const [one, other] = [makeEntry('a', 'x', { time }), makeEntry('a', 'x', { time })]
    expect(messageKey('p', one, digitsOf(one.id))).toEqual(messageKey('p', one, digitsOf(one.id)))
    expect(messageKey('p', one, digitsOf(one.id))).not.toEqual(messageKey('p', other, digitsOf(other.id)))
  })
})

describe('the key of a batch', () => {
  it('is by day, and tells batches with the same first message apart', () => {
    const time = Date.UTC(2026, 0, 2, 3, 4, 5, 678)
    const [one, other] = [makeEntry('a', 'x', { time }), makeEntry('a', 'x', { time })]
    const pattern = /^p\/2026-01-02\/2026-01-02T03:04:05\.678Z-[0-9a-f]{12}\.ndjson\.gz$/
    expect(batchKey('p', [one])).toEqual({ key: expect.stringMatching(pattern) })
    expect(batchKey('p', [one])).not.toEqual(batchKey('p', [one, other]))
  })
})
