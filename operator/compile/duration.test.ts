import { expect, test } from 'vitest'
import { DURATION_PATTERN } from '../../crds/shared-fields.ts'
import { parseDuration } from './duration.ts'

test.each([
  ['168h', 604_800_000],
  ['30m', 1_800_000],
  ['1h30m', 5_400_000],
  ['1h2m3s4ms', 3_723_004],
  ['500ms', 500],
  ['5m', 300_000],
  ['0s', 0],
  ['999999h', 3_599_996_400_000],
])('%s is %d ms', (text, milliseconds) => {
  expect(parseDuration(text)).toBe(milliseconds)
  expect(text).toMatch(new RegExp(DURATION_PATTERN))
})

test.each(['', '1', '1d', '-1h', '1.5h', '30m1h', ' 1h', '1h ', '1H', '1000000h'])(
  '%j is no duration',
  (text) => {
    expect(parseDuration(text)).toBeUndefined()
  },
)
