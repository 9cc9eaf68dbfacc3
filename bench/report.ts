import { type Measured, PAYLOAD_BYTES, type Scenario } from './scenario.ts'

export interface ReportInput {
  rounds: number
  seconds: number
  scenarios: readonly Scenario[]
  /** Names; the first one is what the others are compared with. */
  brokers: readonly string[]
  /** `<scenario key> <broker name>` → one entry a round. */
  results: ReadonlyMap<string, readonly Measured[]>
  machine: string
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b)
  const middle = sorted.length >> 1
  const upper = sorted[middle] ?? Number.NaN
  return sorted.length % 2 === 1 ? upper : (upper + (sorted[middle - 1] ?? Number.NaN)) / 2
}

/** Markdown table of medians over the rounds. */
export function formatReport({ scenarios, brokers, results, ...run }: ReportInput): string {
  const [reference, ...others] = brokers
  const runsOf = (scenario: Scenario, broker = '') => results.get(`${scenario.key} ${broker}`) ?? []
  const of = (scenario: Scenario, broker: string | undefined, pick: (m: Measured) => number) =>
    median(runsOf(scenario, broker).map(pick))

  const cell = (scenario: Scenario, broker: string) => {
    const rate = (of(scenario, broker, (m) => m.rate) / 1000).toFixed(1)
    const p50 = of(scenario, broker, (m) => m.p50Ms).toFixed(2)
    const p99 = of(scenario, broker, (m) => m.p99Ms).toFixed(2)
    const bound = of(scenario, broker, (m) => m.generatorCpu) > 0.95 ? ' *' : ''
    return `${rate} k (${p50}/${p99} ms)${bound}`
  }
  const ratio = (scenario: Scenario, broker: string) =>
    (of(scenario, broker, (m) => m.rate) / of(scenario, reference, (m) => m.rate)).toFixed(2)

  const head = ['scenario', ...brokers, ...others.map((name) => `${name} ÷ ${reference}`)]
  const rows = scenarios.map((scenario) => [
    scenario.title,
    ...brokers.map((name) => cell(scenario, name)),
    ...others.map((name) => ratio(scenario, name)),
  ])
  const line = (cells: readonly string[]) => `| ${cells.join(' | ')} |`
  return [
    `Messages delivered a second (p50/p99 latency under that load), ${PAYLOAD_BYTES} B payload, medians of`,
    `${run.rounds} interleaved rounds of ${run.seconds} s. ${run.machine}.`,
    '`*`: the generator used its whole core, so the broker could do more.',
    '',
    line(head),
    line(head.map((_, at) => (at === 0 ? '---' : '---:'))),
    ...rows.map(line),
    '',
  ].join('\n')
}
