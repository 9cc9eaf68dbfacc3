/** Markdown of `bench/routes.ts`. Pure. */

export interface RouteFigures {
  title: string
  messages: number
  /** Messages a second. */
  rate: number
  /** Of the worker's process, a message. */
  cpuUs: number
  /** Messages a second that are promised, where something is. */
  goal: number | undefined
}

export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b)
  return sorted[Math.floor(sorted.length / 2)] ?? Number.NaN
}

export function routesReport(
  rows: readonly RouteFigures[],
  { machine, rounds }: { machine: string; rounds: number },
): string {
  const lines = rows.map(({ title, messages, rate, cpuUs, goal }) => {
    const ratio = goal === undefined ? '' : `${(rate / goal).toFixed(2)} × ${goal.toLocaleString('en')}`
    const figures = [messages.toLocaleString('en'), Math.round(rate).toLocaleString('en'), cpuUs.toFixed(1)]
    return `| ${[title, ...figures, ratio].join(' | ')} |`
  })
  return [
    `Medians of ${rounds} rounds, 128 B payload, 1,000 topics. ${machine}.`,
    '',
    '| destination | messages | messages/s | CPU of the worker, µs/message | goal |',
    '| --- | ---: | ---: | ---: | ---: |',
    ...lines,
    '',
  ].join('\n')
}
