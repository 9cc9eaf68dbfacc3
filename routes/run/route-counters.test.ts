import { describe, expect, it } from 'vitest'
import { RouteCounters } from './route-counters.ts'

const MINUTE_MS = 60_000

describe('messages that were given up', () => {
  const shown = (counters: RouteCounters, now: number) => {
    counters.sample(undefined, now)
    return counters.snapshot('r', { now, isGateFailing: false }).isGivingUp
  }

  it.each(['deadLettered', 'discarded'] as const)('are shown for a minute: %s', (count) => {
    const counters = new RouteCounters()
    const giveUp = (time: number) => counters.gaveUp({ code: 'REFUSED', message: 'no', time }, count)
    expect(shown(counters, 0)).toBe(false)
    giveUp(1)
    expect([shown(counters, 1), shown(counters, MINUTE_MS), shown(counters, MINUTE_MS + 1)]).toEqual([
      true,
      true,
      false,
    ])
    giveUp(5 * MINUTE_MS)
    expect(shown(counters, 5 * MINUTE_MS)).toBe(true)
    expect(counters[count]).toBe(2)
  })
})
