import type { Logger } from 'pino'
import type { HubEvent } from '../contract/hub-event.ts'
import type { RouteRecord } from '../contract/hub-state.ts'
import type { Counters } from './counters.ts'
import { messageIds } from './deliver/message-id.ts'
import { RouteIndex } from './deliver/route-index.ts'
import type { RouteDrops, RouteIntake } from './store/store.ts'

export interface RouteIntakesParts {
  raise: (event: HubEvent) => void
  counters: Counters
  logger: Logger
  /** ms since the epoch. */
  now: () => number
}

/** Where a message comes from, as far as routes ask. */
export interface RouteOrigin {
  deviceId: string | undefined
  trail: readonly string[] | undefined
  /** The route that the message is about: it must not take what it has caused itself. */
  aboutRoute: string | undefined
}

/** What routes take of the messages that enter, and the account of what their full buffers lose. */
export class RouteIntakes {
  readonly #parts: RouteIntakesParts
  readonly #index = new RouteIndex()
  readonly #newId: () => string
  #names = new Map<string, string>()
  /** Since it was last told. */
  readonly #dropped = new Map<string, number>()

  constructor(parts: RouteIntakesParts) {
    this.#parts = parts
    this.#newId = messageIds(parts.now)
  }

  set(routes: readonly RouteRecord[]): void {
    this.#names = new Map(routes.map(({ id, name }) => [id, name]))
    for (const { name } of this.#index.set(routes)) {
      this.#parts.logger.warn({ route: name }, 'the topic of a route is no valid filter; it takes nothing')
    }
  }

  get isEmpty(): boolean {
    return this.#index.isEmpty
  }

  /** undefined: no route takes it. */
  of(topic: string, { deviceId, trail, aboutRoute }: RouteOrigin): RouteIntake | undefined {
    const into = this.#index.match(topic, aboutRoute)
    if (into.length === 0) return undefined
    return {
      into,
      id: this.#newId(),
      time: this.#parts.now(),
      ...(deviceId === undefined ? {} : { deviceId }),
      ...(trail === undefined || trail.length === 0 ? {} : { trail }),
    }
  }

  noteDrops(drops: RouteDrops): void {
    for (const { routeId, count } of drops) {
      this.#parts.counters.droppedRouteFull += count
      this.#dropped.set(routeId, (this.#dropped.get(routeId) ?? 0) + count)
    }
  }

  /**
   * An event for each route that has lost messages since the last time; to be called about once a second. Not for
   * each message: a destination that is down would bring as many events as there are messages.
   */
  tellDrops(): void {
    if (this.#dropped.size === 0) return
    const dropped = [...this.#dropped]
    this.#dropped.clear()
    for (const [routeId, count] of dropped) {
      const name = this.#names.get(routeId)
      this.#parts.raise({
        code: 'ROUTE_OVERFLOW',
        objectType: 'route',
        objectId: routeId,
        detail: String(count),
        ...(name === undefined ? {} : { extra: { 'object-name': name } }),
      })
    }
  }
}
