/**
 * Prometheus texts of several hubs as one. A metric may be described once only, with all its samples after it;
 * the samples tell their hub by label.
 */
export function mergeMetrics(texts: readonly string[]): string {
  const blocks = new Map<string, { description: Set<string>; samples: string[] }>()
  for (const text of texts) {
    let current: { description: Set<string>; samples: string[] } | undefined
    for (const line of text.split('\n')) {
      if (line === '') continue
      const described = /^# (?:HELP|TYPE) (\S+)/.exec(line)
      if (described !== null) {
        const name = described[1] as string
        current = blocks.get(name) ?? { description: new Set(), samples: [] }
        blocks.set(name, current)
        current.description.add(line)
      } else current?.samples.push(line)
    }
  }
  return [...blocks.values()]
    .flatMap(({ description, samples }) => [...description, ...samples])
    .map((line) => `${line}\n`)
    .join('')
}
