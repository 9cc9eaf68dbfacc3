/** Watching all namespaces covers our kinds only; what we make is watched where somebody has bound the rights to. */

import type { Clock } from '../../contract/clock.ts'
import { SECRETS } from '../api/resources.ts'
import type { ApiClient } from '../runtime/api-client.ts'
import { ApiError } from '../runtime/api-error.ts'
import { resourcePath } from '../runtime/resource.ts'
import type { World } from './world.ts'

export type GateAnswer =
  | 'open'
  /** Its copies are being filled. */
  | 'opening'
  /** The operator has no rights there. */
  | 'denied'

/** How long a refusal is believed: rights are given by a person, who watches. */
export const DENIED_MS = 5_000

export class NamespaceGate {
  readonly #client: ApiClient
  readonly #world: World
  readonly #clock: Clock
  readonly #watched = new Set<string>()
  readonly #deniedAt = new Map<string, number>()

  constructor(client: ApiClient, world: World, clock: Clock) {
    this.#client = client
    this.#world = world
    this.#clock = clock
  }

  /** Begins to watch what we make in the namespace, where that is done on demand and may be done. */
  async open(namespace: string, signal: AbortSignal): Promise<GateAnswer> {
    if (this.#world.isEverythingWatched || this.#watched.has(namespace)) return this.#answer(namespace)
    const deniedAt = this.#deniedAt.get(namespace)
    if (deniedAt !== undefined && this.#clock.monotonic() - deniedAt < DENIED_MS) return 'denied'
    if (!(await this.#mayRead(namespace, signal))) {
      this.#deniedAt.set(namespace, this.#clock.monotonic())
      return 'denied'
    }
    this.#deniedAt.delete(namespace)
    this.#watched.add(namespace)
    return this.#answer(namespace)
  }

  #answer(namespace: string): GateAnswer {
    const { owned, otherSecrets } = this.#world
    // Every one is asked, also after the first that is not complete.
    const answers = [...owned.values(), otherSecrets].map((set) => set.watch(namespace))
    return answers.every((isComplete) => isComplete) ? 'open' : 'opening'
  }

  /** Rights on all that we make are bound together, so one of them stands for all. */
  async #mayRead(namespace: string, signal: AbortSignal): Promise<boolean> {
    try {
      const path = resourcePath(SECRETS, namespace)
      await this.#client.request({ method: 'GET', path, query: { limit: 1 }, signal })
      return true
    } catch (error) {
      if (error instanceof ApiError && error.status === 403) return false
      throw error
    }
  }
}
