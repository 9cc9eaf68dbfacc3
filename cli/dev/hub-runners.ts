import { isDeepStrictEqual } from 'node:util'
import type { StateChange } from '../../broker/state/state-source.ts'
import type { UsedCertificate } from '../../contract/activity-digest.ts'
import type { ControlledHub } from '../../routes/control/control-calls.ts'
import type { HubPlan } from './hub-plan.ts'
import { HubRunner, type RunnerOptions } from './hub-runner.ts'
import { mergeMetrics } from './merge-metrics.ts'
import { assignPorts, LISTENER_NAMES, type ListenerPorts, wantedPorts } from './ports.ts'

/** What happened to the hubs, for whoever tells people. */
export interface RunnersObserver {
  started(runner: HubRunner, reason: 'New' | 'ListenersChanged'): void
  updated(runner: HubRunner, change: StateChange, previous: HubPlan): void
  stopped(key: string, reason: 'Removed' | 'ListenersChanged'): void
}

export interface HubRunnersOptions extends RunnerOptions {
  isPortFree: (host: string, port: number) => Promise<boolean>
  observer: RunnersObserver
}

export interface HubFailure {
  key: string
  error: unknown
}

/** All running hubs. */
export class HubRunners {
  readonly #options: HubRunnersOptions
  readonly #running = new Map<string, HubRunner>()

  constructor(options: HubRunnersOptions) {
    this.#options = options
  }

  /**
   * Starts, updates and stops hubs so that exactly those of `plans` run. A hub that cannot be started is
   * reported and left out; the next call tries again. Not to be called while a call is under way.
   */
  async apply(plans: readonly HubPlan[]): Promise<HubFailure[]> {
    const failures: HubFailure[] = []
    const attempt = async (key: string, run: () => Promise<void>) => {
      try {
        await run()
      } catch (error) {
        failures.push({ key, error })
      }
    }
    const planned = new Map(plans.map((plan) => [plan.key, plan]))
    const restarting = new Set<string>()
    // First all that go, so that their ports are free for those that come.
    for (const [key, runner] of [...this.#running]) {
      const plan = planned.get(key)
      if (plan !== undefined && isDeepStrictEqual(wantedPorts(plan.hub), runner.wanted)) continue
      if (plan !== undefined) restarting.add(key)
      await attempt(key, () => this.#stop(key, plan === undefined ? 'Removed' : 'ListenersChanged'))
    }
    for (const plan of plans) {
      const reason = restarting.has(plan.key) ? 'ListenersChanged' : 'New'
      await attempt(plan.key, () => this.#bring(plan, reason))
    }
    return failures
  }

  /** The open ports, by hub. */
  ports(): Record<string, ListenerPorts> {
    return Object.fromEntries([...this.#running].map(([key, { ports }]) => [key, ports]))
  }

  /** The certificates that devices of a hub were let in by last, by device id; none when it does not run. */
  usedCertificates(hubKey: string): ReadonlyMap<string, UsedCertificate> {
    return this.#running.get(hubKey)?.usedCertificates() ?? new Map()
  }

  /** What programs of the same user may ask of the routes. */
  controlled(): ControlledHub[] {
    return [...this.#running.values()].map((runner) => runner.controlled())
  }

  /** Prometheus text of all hubs. */
  async metrics(): Promise<string> {
    const runners = [...this.#running.values()]
    return mergeMetrics(await Promise.all(runners.map((runner) => runner.metrics())))
  }

  /** Stops every hub, and rejects with the first fault when all have been tried. */
  async stopAll(): Promise<void> {
    const runners = [...this.#running.values()]
    this.#running.clear()
    const results = await Promise.allSettled(runners.map((runner) => runner.stop()))
    for (const result of results) if (result.status === 'rejected') throw result.reason
  }

  async #stop(key: string, reason: 'Removed' | 'ListenersChanged'): Promise<void> {
    const runner = this.#running.get(key)
    this.#running.delete(key)
    await runner?.stop()
    this.#options.observer.stopped(key, reason)
  }

  async #bring(plan: HubPlan, reason: 'New' | 'ListenersChanged'): Promise<void> {
    const { observer } = this.#options
    const runner = this.#running.get(plan.key)
    if (runner !== undefined) {
      const previous = runner.plan
      observer.updated(runner, runner.update(plan), previous)
      return
    }
    const wanted = wantedPorts(plan.hub)
    const started = await HubRunner.start(
      plan,
      { wanted, assigned: await this.#assign(wanted) },
      this.#options,
    )
    this.#running.set(plan.key, started)
    observer.started(started, reason)
  }

  async #assign(wanted: ListenerPorts): Promise<ListenerPorts> {
    const { bind, isPortFree } = this.#options
    const taken = new Set(Object.values(this.ports()).flatMap((ports) => Object.values(ports)))
    const assigned = await assignPorts(wanted, taken, (port) => isPortFree(bind, port))
    const complete: ListenerPorts = {}
    for (const name of LISTENER_NAMES) {
      const port = assigned[name]
      if (port !== undefined) complete[name] = port
      else if (wanted[name] !== undefined)
        throw new Error(`spec.listeners.${name}.port: expected a free port from ${wanted[name]} up, got none`)
    }
    return complete
  }
}
