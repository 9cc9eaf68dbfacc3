import { describe, expect, it } from 'vitest'
import { formatReport, median } from './report.ts'
import { SCENARIOS } from './scenario.ts'

const run = (rate: number, generatorCpu = 0.5) => ({ rate, p50Ms: 1, p99Ms: 2.345, generatorCpu })

describe('the benchmark report', () => {
  it('takes the middle of an odd and the mean of the middle two of an even number of rounds', () => {
    expect(median([9, 1, 5])).toBe(5)
    expect(median([4, 1, 2, 9])).toBe(3)
  })

  it('shows medians, the ratio to the first broker and where the generator was the limit', () => {
    const report = formatReport({
      rounds: 3,
      seconds: 4,
      machine: 'two cores',
      scenarios: SCENARIOS.slice(0, 1),
      brokers: ['mosquitto', 'hublet'],
      results: new Map([
        ['a mosquitto', [run(90_000), run(100_000), run(300_000)]],
        ['a hublet', [run(250_000, 1), run(200_000, 1), run(900_000, 1)]],
      ]),
    })
    expect(report).toContain('| scenario | mosquitto | hublet | hublet ÷ mosquitto |')
    expect(report).toContain(
      '| fan-out 1→100 QoS 0 | 100.0 k (1.00/2.35 ms) | 250.0 k (1.00/2.35 ms) * | 2.50 |',
    )
  })
})
