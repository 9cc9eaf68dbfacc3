import { describe, expect, it } from 'vitest'
import { allTrusted, type RolloverInput, rollOver, type TrustedCas } from './trusted-cas.ts'

const DAY = 86_400_000
const NOW = Date.parse('2026-01-01T00:00:00Z')
const step = (
  before: TrustedCas | undefined,
  current: string[],
  { next = [], now = NOW, overlapMs = 30 * DAY, end = NOW + 3_650 * DAY }: Partial<Options> = {},
): TrustedCas => rollOver({ before, wanted: { current, next }, overlapMs, now, endOf: () => end })
interface Options extends Pick<RolloverInput, 'now' | 'overlapMs'> {
  next: string[]
  end: number
}
const untils = ({ retired }: TrustedCas) =>
  Object.fromEntries(retired.map(({ certificate, until }) => [certificate, until]))

describe('a CA of the user', () => {
  it('that another takes the place of stays trusted for the overlap, and not a day longer', () => {
    const first = step(undefined, ['A'])
    expect(first).toEqual({ current: ['A'], next: [], retired: [] })
    const second = step(first, ['B'])
    expect(untils(second)).toEqual({ A: '2026-01-31T00:00:00Z' })
    // Looked at again, nothing is counted from then.
    const later = step(second, ['B'], { now: NOW + 29 * DAY })
    expect(untils(later)).toEqual(untils(second))
    expect(step(later, ['B'], { now: NOW + 30 * DAY }).retired).toEqual([])
  })

  it('is not trusted beyond its own end', () => {
    const after = step(step(undefined, ['A']), ['B'], { end: NOW + DAY })
    expect(untils(after)).toEqual({ A: '2026-01-02T00:00:00Z' })
  })

  it('goes at once without overlap, also when that is said later', () => {
    const first = step(undefined, ['A'])
    expect(step(first, ['B'], { overlapMs: 0 }).retired).toEqual([])
    // In the same second, too: nobody may look again for a while.
    const second = step(first, ['B'], { now: NOW + 1 })
    expect(step(second, ['B'], { now: NOW + 2, overlapMs: 0 }).retired).toEqual([])
  })

  it('is retired with all of its chain that is gone with it', () => {
    const first = step(undefined, ['intermediate', 'root', 'shared'])
    const { retired } = step(first, ['other', 'shared'])
    expect(retired.map(({ certificate }) => certificate)).toEqual(['intermediate', 'root'])
  })

  it('comes before what issued its successor, so that it goes on to decide', () => {
    expect(allTrusted(step(step(undefined, ['root']), ['intermediate', 'root']))).toEqual([
      'root',
      'intermediate',
    ])
  })

  it('that only stood beside the first is trusted no more once it is taken out', () => {
    expect(step(step(undefined, ['B', 'A']), ['B']).retired).toEqual([])
  })

  it('that is coming is trusted ahead, and is no other one when it comes', () => {
    const ahead = step(undefined, ['A'], { next: ['B'] })
    expect(allTrusted(ahead)).toEqual(['A', 'B'])
    expect(allTrusted(step(ahead, ['A']))).toEqual(['A'])
    expect(allTrusted(step(ahead, ['B'], { next: ['B'] }))).toEqual(['A', 'B'])
  })

  it('that comes back is not retired any more, and the one that stood in for it is', () => {
    const back = step(step(step(undefined, ['A']), ['B'], { now: NOW + DAY }), ['A'], { now: NOW + 2 * DAY })
    expect(untils(back)).toEqual({ B: '2026-02-02T00:00:00Z' })
  })

  it('is let go when there are more than a status can tell of: the oldest ones', () => {
    let cas = step(undefined, ['0'])
    for (let turn = 1; turn < 20; turn += 1) cas = step(cas, [String(turn)], { now: NOW + turn * 1000 })
    expect(cas.retired.map(({ certificate }) => certificate)).toEqual([
      '18',
      '17',
      '16',
      '15',
      '14',
      '13',
      '12',
      '11',
    ])
  })
})
