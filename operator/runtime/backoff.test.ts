import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { backoffDelay, retryAfterDelay } from './backoff.ts'
import { DelayHeap } from './delay-heap.ts'

const random = fc.double({ min: 0, max: 1, noNaN: true, maxExcluded: true })

describe('a back-off delay', () => {
  it('lies in the upper half of its step and never above the ceiling, however many attempts there were', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 100_000 }), random, (attempt, r) => {
        const delay = backoffDelay({ baseMs: 100, maxMs: 30_000 }, attempt, () => r)
        const step = Math.min(30_000, 100 * 2 ** (attempt - 1))
        expect(delay).toBeGreaterThanOrEqual(step / 2)
        expect(delay).toBeLessThanOrEqual(step)
      }),
    )
  })
})

describe('a delay that the server asked for', () => {
  it('is never shorter than asked and never longer than the ceiling', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 60_000 }), random, (asked, r) => {
        const delay = retryAfterDelay(asked, 60_000, () => r)
        expect(delay).toBeGreaterThanOrEqual(asked)
        expect(delay).toBeLessThanOrEqual(60_000)
      }),
    )
    expect(retryAfterDelay(86_400_000, 120_000, () => 0)).toBe(120_000)
  })
})

describe('a delay heap', () => {
  it('gives back each key once, at the earliest of its times, in order of time', () => {
    const adds = fc.array(fc.tuple(fc.integer({ min: 0, max: 20 }), fc.integer({ min: 0, max: 1_000 })))
    fc.assert(
      fc.property(adds, fc.integer({ min: 0, max: 1_000 }), (entries, now) => {
        const heap = new DelayHeap()
        const earliest = new Map<string, number>()
        for (const [n, due] of entries) {
          heap.add(`k${n}`, due)
          earliest.set(`k${n}`, Math.min(due, earliest.get(`k${n}`) ?? Infinity))
        }
        expect(heap.size).toBe(earliest.size)
        const taken = heap.takeDue(now)
        const dues = taken.map((key) => earliest.get(key)!)
        expect(dues).toEqual([...dues].sort((a, b) => a - b))
        expect(new Set(taken)).toEqual(
          new Set([...earliest].filter(([, due]) => due <= now).map(([key]) => key)),
        )
        expect(taken.length + heap.size).toBe(earliest.size)
      }),
    )
  })
})
