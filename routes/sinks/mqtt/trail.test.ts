import { expect, test } from 'vitest'
import { mayPass, readTrail, trailText } from './trail.ts'

const IDS = ['0197a000-0000-7000-8000-000000000001', '0197a000-0000-7000-8000-000000000002']

test('A trail is read as it was written', () => {
  expect(readTrail(trailText(IDS))).toEqual(IDS)
  expect(readTrail([trailText(IDS), 'other'])).toEqual(IDS)
})

test.each([undefined, '', 7, 'no route', `${IDS[0]},`])('What is no trail is none: %s', (value) => {
  expect(readTrail(value)).toEqual([])
})

test('A trail without end is cut, and still too long to pass', () => {
  const read = readTrail(Array(1000).fill(IDS[0]).join(','))
  expect(read.length).toBeLessThan(20)
  expect(mayPass(read, 'other')).toBe(false)
})

test('A message passes a route once', () => {
  expect([mayPass([], 'a'), mayPass(['b'], 'a'), mayPass(['b', 'a'], 'a')]).toEqual([true, true, false])
})
