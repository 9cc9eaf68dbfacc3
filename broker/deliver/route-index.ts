import type { RouteRecord } from '../../contract/hub-state.ts'
import type { RouteAppend } from '../../contract/route-stream.ts'
import { filterFault, isShared } from '../../contract/topic.ts'
import { SubscriptionIndex } from './subscription-index.ts'

const NONE: readonly RouteAppend[] = Object.freeze([])

/** Which routes take a message, by its topic: those that are enabled and whose filter matches. */
export class RouteIndex {
  #index = new SubscriptionIndex<string, RouteAppend>()

  /** Nothing is taken, so that a message need not be asked about. */
  get isEmpty(): boolean {
    return this.#index.size === 0
  }

  /** Puts `routes` in the place of all. Returns those with a filter that no message could match by MQTT's rules. */
  set(routes: readonly RouteRecord[]): RouteRecord[] {
    const index = new SubscriptionIndex<string, RouteAppend>()
    const broken: RouteRecord[] = []
    for (const route of routes) {
      const { id, topic, enabled, spec } = route
      if (filterFault(topic) !== undefined || isShared(topic)) {
        broken.push(route)
        continue
      }
      const { partitions, buffer } = spec.delivery
      if (enabled) index.add(topic, id, Object.freeze({ routeId: id, partitions, buffer }))
    }
    this.#index = index
    return broken
  }

  /** Without the route `except`, which is the cause of the message. */
  match(topic: string, except?: string): readonly RouteAppend[] {
    const matches = this.#index.match(topic)
    if (matches.length === 0) return NONE
    const appends = matches.map(({ value }) => value)
    return except === undefined ? appends : appends.filter(({ routeId }) => routeId !== except)
  }
}
