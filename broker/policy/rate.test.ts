import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { chargeTokens, takeTokens, tokenBucket } from './rate.ts'

describe('takeTokens', () => {
  it('lets the burst pass at once and then says how long to wait', () => {
    const bucket = tokenBucket(10, 0)
    const waits = Array.from({ length: 12 }, () => takeTokens(bucket, 0))
    expect(waits).toEqual([...new Array(10).fill(0), 100, 100])
  })

  it('lets pass at the moment it named, and not 1 ms before', () => {
    const bucket = tokenBucket(10, 1000, 1)
    expect(takeTokens(bucket, 1000)).toBe(0)
    const wait = takeTokens(bucket, 1000)
    expect(takeTokens(bucket, 1000 + wait - 1)).toBeGreaterThan(0)
    expect(takeTokens(bucket, 1000 + wait)).toBe(0)
  })

  it('takes nothing when it refuses', () => {
    const bucket = tokenBucket(10, 0)
    expect(takeTokens(bucket, 0, 8)).toBe(0)
    expect(takeTokens(bucket, 0, 3)).toBe(100)
    expect(takeTokens(bucket, 0, 2)).toBe(0)
  })

  it('saves up no more than the burst over any silence', () => {
    const bucket = tokenBucket(10, 0, 5)
    expect(takeTokens(bucket, 1e12, 5)).toBe(0)
    expect(takeTokens(bucket, 1e12)).toBe(100)
  })

  it('never gets ready for more than it can hold', () => {
    expect(takeTokens(tokenBucket(10, 0), 0, 11)).toBe(Number.POSITIVE_INFINITY)
  })

  it('has room for one token even at a rate below one a second', () => {
    const bucket = tokenBucket(0.5, 0)
    expect(takeTokens(bucket, 0)).toBe(0)
    expect(takeTokens(bucket, 0)).toBe(2000)
    expect(takeTokens(bucket, 2000)).toBe(0)
  })

  it('adds nothing when the clock steps back, and goes on when it catches up', () => {
    const bucket = tokenBucket(10, 1000, 1)
    expect(takeTokens(bucket, 1000)).toBe(0)
    expect(takeTokens(bucket, 0)).toBe(100)
    expect(takeTokens(bucket, 1050)).toBe(50)
    expect(takeTokens(bucket, 1100)).toBe(0)
  })

  it('knows no bound at a rate of 0', () => {
    const bucket = tokenBucket(0, 0)
    expect(takeTokens(bucket, 0, 1e9)).toBe(0)
    expect(chargeTokens(bucket, 0, 1e9)).toBe(0)
  })
})

describe('chargeTokens', () => {
  it('takes on credit and says when the debt is paid', () => {
    const bucket = tokenBucket(10, 0)
    expect(chargeTokens(bucket, 0, 10)).toBe(0)
    expect(chargeTokens(bucket, 0, 5)).toBe(500)
    expect(chargeTokens(bucket, 500)).toBe(100)
    expect(chargeTokens(bucket, 1000)).toBe(0)
  })

  it('bounds the debt, so no burst silences a link for longer than the bucket takes to fill', () => {
    const bucket = tokenBucket(10, 0, 20)
    expect(chargeTokens(bucket, 0, 1e9)).toBe(2000)
    expect(chargeTokens(bucket, 2000, 0)).toBe(0)
  })
})

describe('any sequence of requests', () => {
  const step = fc.record({ pause: fc.nat(400), n: fc.integer({ min: 1, max: 6 }) })
  const rate = fc.record({
    perSecond: fc.integer({ min: 1, max: 50 }),
    burst: fc.integer({ min: 1, max: 20 }),
  })

  it('passes no more than burst + rate × time in any window, and waits truthfully', () => {
    fc.assert(
      fc.property(rate, fc.array(step, { maxLength: 60 }), ({ perSecond, burst }, steps) => {
        const bucket = tokenBucket(perSecond, 0, burst)
        const passed: { at: number; n: number }[] = []
        let now = 0
        for (const { pause, n } of steps) {
          now += pause
          const wait = takeTokens(bucket, now, n)
          if (wait === 0) passed.push({ at: now, n })
          else if (Number.isFinite(wait)) {
            now += wait
            expect(takeTokens(bucket, now, n)).toBe(0)
            passed.push({ at: now, n })
          }
        }
        for (const [i, first] of passed.entries()) {
          let sum = 0
          for (const { at, n } of passed.slice(i)) {
            sum += n
            // Sums of floating point refills may be off by a hair.
            expect(sum).toBeLessThanOrEqual(burst + (perSecond * (at - first.at)) / 1000 + 1e-6)
          }
        }
      }),
      { seed: 21, numRuns: 500 },
    )
  })
})
