import { collectDefaultMetrics, Gauge, Registry } from 'prom-client'

/** Metrics of the process and of what it hangs on, beside those of the broker. */
export class PodMetrics {
  readonly #registry = new Registry()

  constructor(healthy: Record<'state' | 'store', () => boolean>) {
    collectDefaultMetrics({ register: this.#registry })
    const gauge = new Gauge({
      name: 'hublet_redis_up',
      help: '1 while the part of the broker that lives in Redis is in touch with it.',
      labelNames: ['part'] as const,
      registers: [this.#registry],
      collect() {
        for (const [part, isHealthy] of Object.entries(healthy)) gauge.set({ part }, isHealthy() ? 1 : 0)
      },
    })
  }

  /** Prometheus text. */
  text(): Promise<string> {
    return this.#registry.metrics()
  }
}
