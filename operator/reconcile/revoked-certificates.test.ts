import { describe, expect, it } from 'vitest'
import { MAX_REVOKED, revocationEntries, revokedStatus } from './revoked-certificates.ts'

const NOW = Date.parse('2026-01-01T00:00:00Z')
const at = (days: number) => new Date(NOW + days * 86_400_000).toISOString()
const print = (index: number) => index.toString(16).padStart(64, '0')

describe('revoked certificates of devices that are gone', () => {
  it('are taken over until they expire, each once', () => {
    const revoked = [1, 2, 3].map((index) => ({ fingerprint: print(index), until: at(index - 1) }))
    expect(revocationEntries({ [print(2)]: at(1) }, revoked, NOW)).toEqual({ [print(3)]: at(2) })
    expect(revocationEntries({ [print(2)]: at(1), [print(3)]: at(2) }, revoked, NOW)).toEqual({})
  })

  it('make room when they have expired', () => {
    const entries = revocationEntries(
      { [print(1)]: at(-1), [print(2)]: at(1) },
      [{ fingerprint: print(3), until: at(2) }],
      NOW,
    )
    expect(entries).toEqual({ [print(1)]: null, [print(3)]: at(2) })
  })

  it('are 5,000 at most, in less than an object may have: those that expire first make room', () => {
    const before = Object.fromEntries(
      Array.from({ length: MAX_REVOKED }, (_, index) => [print(index), at(index + 1)]),
    )
    expect(JSON.stringify(before).length).toBeLessThan(1_000_000)
    const added = [1, 2].map((index) => ({ fingerprint: print(MAX_REVOKED + index), until: at(1) }))
    const entries = revocationEntries(before, added, NOW)
    expect(entries).toEqual({
      [print(0)]: null,
      [print(1)]: null,
      [print(MAX_REVOKED + 1)]: at(1),
      [print(MAX_REVOKED + 2)]: at(1),
    })
  })

  it('are counted in the status, which says when the last one expires', () => {
    expect(revokedStatus([])).toEqual({})
    const revoked = [3, 9, 1].map((days) => ({ fingerprint: print(days), until: at(days) }))
    expect(revokedStatus(revoked)).toEqual({ revoked: { certificates: 3, until: at(9) } })
  })
})
