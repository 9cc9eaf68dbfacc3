import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import {
  type Condition,
  failing,
  findCondition,
  mergeConditions,
  progressing,
  ready,
  stalled,
} from './conditions.ts'

const NOON = Date.UTC(2026, 0, 1, 12)
const LATER = NOON + 3_600_456
const why = { reason: 'Succeeded', message: 'all is in place' }

describe('merging conditions', () => {
  it('dates a condition that is new', () => {
    expect(mergeConditions(undefined, ready(why), { generation: 3, now: NOON })).toEqual([
      {
        type: 'Ready',
        status: 'True',
        ...why,
        observedGeneration: 3,
        lastTransitionTime: '2026-01-01T12:00:00Z',
      },
    ])
  })

  it('keeps the date while the status stays, though reason, message and generation change', () => {
    const before = mergeConditions(undefined, ready(why), { generation: 1, now: NOON })
    const after = mergeConditions(before, ready({ reason: 'Renewed', message: 'new' }), {
      generation: 2,
      now: LATER,
    })
    expect(after[0]).toMatchObject({
      reason: 'Renewed',
      observedGeneration: 2,
      lastTransitionTime: '2026-01-01T12:00:00Z',
    })
  })

  it('dates a change of status in whole seconds', () => {
    const before = mergeConditions(undefined, ready(why), { generation: 1, now: NOON })
    const after = mergeConditions(before, failing(why), { generation: 1, now: LATER })
    expect(findCondition(after, 'Ready')?.lastTransitionTime).toBe('2026-01-01T13:00:00Z')
  })

  it('drops what nobody finds any more', () => {
    const before = mergeConditions(undefined, stalled(why), { generation: 1, now: NOON })
    const after = mergeConditions(before, ready(why), { generation: 1, now: LATER })
    expect(after.map(({ type }) => type)).toEqual(['Ready'])
  })

  it('cuts a message that the API server would refuse', () => {
    const long = mergeConditions(undefined, ready({ reason: 'R', message: 'x'.repeat(40_000) }), {
      generation: 1,
      now: NOON,
    })
    expect(long[0]!.message).toHaveLength(32_768)
  })

  it('changes nothing when merged with its own findings at another time, so that a second pass writes nothing', () => {
    const finding = fc.record({
      type: fc.constantFrom('Ready', 'Stalled', 'Reconciling', 'Own'),
      status: fc.constantFrom('True' as const, 'False' as const, 'Unknown' as const),
      reason: fc.constantFrom('A', 'B'),
      message: fc.string(),
    })
    const findings = fc.uniqueArray(finding, { selector: ({ type }) => type })
    fc.assert(
      fc.property(findings, findings, fc.nat(), (first, second, delay) => {
        const start: Condition[] = mergeConditions(undefined, first, { generation: 1, now: NOON })
        const once = mergeConditions(start, second, { generation: 2, now: LATER })
        expect(mergeConditions(once, second, { generation: 2, now: LATER + delay })).toEqual(once)
      }),
    )
  })
})

describe('what the standard findings say to kstatus', () => {
  const CASES = {
    'ready: Current': { findings: ready(why), types: { Ready: 'True' } },
    'progressing: InProgress': {
      findings: progressing(why),
      types: { Ready: 'Unknown', Reconciling: 'True' },
    },
    'failing: InProgress': { findings: failing(why), types: { Ready: 'False', Reconciling: 'True' } },
    'stalled: Failed': { findings: stalled(why), types: { Ready: 'False', Stalled: 'True' } },
  }
  it.each(Object.entries(CASES))('%s', (_, { findings, types }) => {
    expect(Object.fromEntries(findings.map(({ type, status }) => [type, status]))).toEqual(types)
  })
})
