/** Probes that mean something: why a process should be restarted, and why it should get no traffic yet. */

/** Undefined: fine. Otherwise the reason, for people; never a secret. */
export type HealthCheck = () => string | undefined

export interface HealthReport {
  ok: boolean
  /** One line a check, `[+]name ok` or `[-]name: reason`, as the API server's own probes write them. */
  text: string
}

export class Health {
  readonly #liveness = new Map<string, HealthCheck>()
  readonly #readiness = new Map<string, HealthCheck>()

  /** Fails only on what a restart would cure. An API server that is down is not that. */
  addLiveness(name: string, check: HealthCheck): void {
    this.#liveness.set(name, check)
  }

  addReadiness(name: string, check: HealthCheck): void {
    this.#readiness.set(name, check)
  }

  live(): HealthReport {
    return report(this.#liveness)
  }

  ready(): HealthReport {
    return report(this.#readiness)
  }
}

function report(checks: ReadonlyMap<string, HealthCheck>): HealthReport {
  let ok = true
  const lines = [...checks].map(([name, check]) => {
    const problem = evaluate(check)
    if (problem === undefined) return `[+]${name} ok`
    ok = false
    return `[-]${name}: ${problem}`
  })
  return { ok, text: `${[...lines, ok ? 'ok' : 'failed'].join('\n')}\n` }
}

/** A check that throws is a failed check, not a failed probe server. */
function evaluate(check: HealthCheck): string | undefined {
  try {
    return check()
  } catch (error) {
    return error instanceof Error ? error.message : String(error)
  }
}

export interface ObservedInformer {
  readonly name: string
  readonly hasSynced: boolean
  lastSyncAge(): number
  isStuck(): boolean
}

/** Default for how old an informer's copy may be: bookmarks come about once a minute. */
export const MAX_SYNC_AGE_MS = 180_000

export function informerChecks(
  informer: ObservedInformer,
  maxAgeMs: number = MAX_SYNC_AGE_MS,
): {
  live: HealthCheck
  ready: HealthCheck
} {
  return {
    live: () => (informer.isStuck() ? 'its loop does not turn any more' : undefined),
    ready() {
      if (!informer.hasSynced) return 'the first list is not complete'
      const age = informer.lastSyncAge()
      return age > maxAgeMs ? `not in step with the API server for ${Math.round(age / 1000)} s` : undefined
    },
  }
}
