import { describe, expect, it } from 'vitest'
import { route } from '../../test-support/hub-state.ts'
import { permanent, throttled, transient, unavailable } from '../sinks/sink.ts'
import { backoff, deliveryPolicy, judge, milliseconds } from './delivery-policy.ts'

const policy = deliveryPolicy(route({ spec: { delivery: { maxAttempts: 3 } } }).spec)
const FAULT = { code: 'BAD', message: 'no' }

describe('backoff', () => {
  it.each([
    [1, 0, 0],
    [1, 1, 1_000],
    [1, 0.5, 500],
    [2, 1, 2_000],
    [9, 1, 256_000],
    [10, 1, 300_000],
    [1_000, 1, 300_000],
    [1_000, 0.1, 30_000],
  ])('after %i failures, with %f of the span, is %i ms', (failures, share, expected) => {
    expect(backoff(failures, policy, () => share)).toBe(expected)
  })
})

describe('judge', () => {
  it.each([
    ['a failure of the message', transient(FAULT), 1, { next: 'Retry', afterMs: 1_000 }],
    [
      'one that asks for more time',
      transient({ ...FAULT, retryAfterMs: 9_000 }),
      1,
      { next: 'Retry', afterMs: 9_000 },
    ],
    ['the last attempt', transient(FAULT), 3, { next: 'GiveUp' }],
    ['one that will not change', permanent(FAULT), 1, { next: 'GiveUp' }],
    ['a failure of the destination', unavailable(FAULT), 0, { next: 'PauseRoute', afterMs: undefined }],
    ['one that is due to this message after all', unavailable(FAULT), 3, { next: 'GiveUp' }],
    ['a wish for a pause', throttled({ ...FAULT, retryAfterMs: 5 }), 9, { next: 'PauseRoute', afterMs: 5 }],
  ])('of %s', (_, failure, attempts, expected) => {
    expect(judge(failure, attempts, { policy, random: () => 1 })).toEqual(expected)
  })
})

describe('milliseconds', () => {
  it('refuses what is no duration', () => {
    expect(() => milliseconds('delivery.timeout', 'soon')).toThrow(
      'spec.delivery.timeout: expected a duration',
    )
  })
})
