import { describe, expect, it } from 'vitest'
import { retryAfterMs, statusFailure } from './http-status.ts'

describe('statusFailure', () => {
  it.each([
    [200, undefined, undefined],
    [299, undefined, undefined],
    [300, undefined, 'Transient Message'],
    [400, undefined, 'Permanent Message'],
    [403, undefined, 'Transient Sink'],
    [408, undefined, 'Transient Message'],
    [410, undefined, 'Transient Sink'],
    [422, undefined, 'Permanent Message'],
    [429, undefined, 'Throttled Sink'],
    [500, '5', 'Transient Message'],
    [503, undefined, 'Transient Sink'],
    [503, '5', 'Throttled Sink'],
    [599, undefined, 'Transient Message'],
  ])('of %i with Retry-After %s is %s', (status, retryAfter, expected) => {
    const failure = statusFailure(status, retryAfter, 0)
    expect(failure && `${failure.kind} ${failure.scope}`).toBe(expected)
  })
})

describe('retryAfterMs', () => {
  it.each([
    ['0', 0],
    ['120', 120_000],
    ['Thu, 01 Jan 1970 00:01:00 GMT', 60_000],
    ['-5', undefined],
    ['', undefined],
    ['99999999999', undefined],
  ])('of %j is %s', (value, expected) => {
    expect(retryAfterMs(value, 0)).toBe(expected)
  })
})
