import { expect, test } from 'vitest'
import { traceparent } from './traceparent.ts'

test.each(['0197a000-0000-7000-8000-000000000001', 'no uuid'])(
  'Attempts on %s share a trace and not a span',
  (id) => {
    const [first, second] = [traceparent(id), traceparent(id)]
    expect(first).toMatch(/^00-[0-9a-f]{32}-[0-9a-f]{16}-01$/)
    expect(second.slice(0, 35)).toBe(first.slice(0, 35))
    expect(second).not.toBe(first)
  },
)

test('Messages do not share a trace', () => {
  expect(traceparent('a').slice(0, 35)).not.toBe(traceparent('b').slice(0, 35))
})
