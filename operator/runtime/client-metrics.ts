import { Counter, Histogram, type Registry } from 'prom-client'
import type { RequestFacts } from './api-client.ts'

/** For `onDone` of an API client: client-go's request metrics. */
export function createClientMetrics(registry: Registry): (facts: RequestFacts) => void {
  const total = new Counter({
    name: 'rest_client_requests_total',
    help: 'Requests to the API server by status code, method and host',
    labelNames: ['code', 'method', 'host'],
    registers: [registry],
  })
  const duration = new Histogram({
    name: 'rest_client_request_duration_seconds',
    help: 'Seconds until a request was answered (watches: until they were open)',
    labelNames: ['verb', 'host'],
    buckets: [0.005, 0.025, 0.1, 0.25, 0.5, 1, 2, 4, 8, 15, 30, 60],
    registers: [registry],
  })
  return ({ code, method, host, seconds }) => {
    total.inc({ code, method, host })
    duration.observe({ verb: method, host }, seconds)
  }
}
