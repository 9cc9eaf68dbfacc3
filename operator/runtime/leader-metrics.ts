import { Gauge, type Registry } from 'prom-client'

export interface LeaderMetrics {
  watch(name: string, isLeader: () => boolean): void
}

/** client-go's gauge, read at each scrape. */
export function createLeaderMetrics(registry: Registry): LeaderMetrics {
  const elections = new Map<string, () => boolean>()
  new Gauge({
    name: 'leader_election_master_status',
    help: '1 while this process may write, by the name of the lease',
    labelNames: ['name'],
    registers: [registry],
    collect() {
      for (const [name, isLeader] of elections) this.set({ name }, isLeader() ? 1 : 0)
    },
  })
  return { watch: (name, isLeader) => void elections.set(name, isLeader) }
}
