import { expect, test } from 'vitest'
import { median, routesReport } from './routes-report.ts'

test('The median is the one in the middle, whatever the order', () => {
  expect([median([3, 1, 2]), median([5]), median([])]).toEqual([2, 5, Number.NaN])
})

test('A report has a row for each destination, against its goal', () => {
  const rows = [
    { title: 'REST', messages: 20_000, rate: 4_000.4, cpuUs: 120.26, goal: 2_000 },
    { title: 'NATS', messages: 10, rate: 9, cpuUs: 1, goal: undefined },
  ]
  const lines = routesReport(rows, { machine: '2 × CPU', rounds: 3 }).split('\n')
  expect(lines).toContain('| REST | 20,000 | 4,000 | 120.3 | 2.00 × 2,000 |')
  expect(lines).toContain('| NATS | 10 | 9 | 1.0 |  |')
})
