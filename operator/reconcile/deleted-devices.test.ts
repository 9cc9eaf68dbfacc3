import { describe, expect, it } from 'vitest'
import { deletionEntries, entryOf, MAX_DELETED } from './deleted-devices.ts'

const NOW = Date.parse('2026-01-01T00:00:00Z')
const data = (count: number) =>
  Object.fromEntries(
    Array.from({ length: count }, (_, index) => {
      const time = new Date(NOW - (count - index) * 1000).toISOString().replace('.000Z', 'Z')
      return [entryOf(`lamp-${index}`), `${time} lamp-${index}`]
    }),
  )

describe('the names of deleted devices', () => {
  it('are kept with their time', () => {
    expect(deletionEntries({}, 'lamp', NOW)).toEqual({ [entryOf('lamp')]: '2026-01-01T00:00:00Z lamp' })
    expect(deletionEntries(data(2), 'lamp-1', NOW)).toEqual({})
  })

  it('are 4,000 at most, in less than an object may have: the one deleted first makes room', () => {
    const before = data(MAX_DELETED)
    const name = '"'.repeat(64)
    const entries = deletionEntries(before, name, NOW)
    expect(entries).toEqual({ [entryOf(name)]: expect.any(String), [entryOf('lamp-0')]: null })
    const longest = Object.keys(before).map((key) => [key, `2026-01-01T00:00:00Z ${name}`])
    expect(JSON.stringify(Object.fromEntries(longest)).length).toBeLessThan(1_000_000)
    // One that has grown beyond, by another version, comes back to it.
    expect(
      Object.values(deletionEntries(data(MAX_DELETED + 2), name, NOW)).filter((value) => value === null),
    ).toHaveLength(3)
  })
})
