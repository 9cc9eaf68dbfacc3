import { describe, expect, it } from 'vitest'
import { waitMs } from './reconnecting.ts'

describe('waitMs', () => {
  it('doubles from attempt to attempt up to five seconds', () => {
    expect([0, 1, 2, 5, 7, 50].map((attempt) => waitMs(attempt, 1))).toEqual([50, 100, 200, 1600, 5000, 5000])
  })

  it('is at least half of that, by chance', () => {
    expect(waitMs(3, 0)).toBe(200)
    expect(waitMs(3, 0.5)).toBe(300)
  })
})
