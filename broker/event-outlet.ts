import { encodeEvent, type HubEvent } from '../contract/hub-event.ts'
import type { HubRecord } from '../contract/hub-state.ts'
import type { Counters } from './counters.ts'
import { type TokenBucket, takeTokens, tokenBucket } from './policy/rate.ts'

/** One object may not fill the events of all others: its own share of the hub's rate. */
const SHARE_OF_ONE_OBJECT = 0.25
/** Objects whose share is tracked; beyond it the oldest start again. */
const TRACKED_OBJECTS = 10_000

export interface EventOutletParts {
  hub: () => HubRecord
  publish: (topic: string, payload: Buffer, event: HubEvent) => void
  /** Sees every event, before any limit. */
  observe: ((event: HubEvent) => void) | undefined
  counters: Counters
  /** ms since the epoch. */
  now: () => number
}

/** Events on their way to the hub's events topic: at QoS 0, rate-limited, what was held back summed up. */
export class EventOutlet {
  readonly #parts: EventOutletParts
  #bucket: TokenBucket
  readonly #objects = new Map<string, TokenBucket>()
  #suppressed = 0

  constructor(parts: EventOutletParts) {
    this.#parts = parts
    this.#bucket = tokenBucket(parts.hub().limits.eventsPerSecond, parts.now())
  }

  raise(event: HubEvent): void {
    const { observe, hub, now, counters } = this.#parts
    observe?.(event)
    if (!hub().events.enabled) return
    const time = now()
    if (!this.#mayPass(event.objectId, time)) {
      this.#suppressed += 1
      counters.eventsSuppressed += 1
      return
    }
    this.#publish(event, time)
  }

  /** Tells how many were held back since the last time; to be called about once a second. */
  sumUp(): void {
    if (this.#suppressed === 0) return
    const { hub, now, observe } = this.#parts
    const { events, uid } = hub()
    const detail = String(this.#suppressed)
    this.#suppressed = 0
    if (!events.enabled) return
    const event: HubEvent = { code: 'EVENTS_SUPPRESSED', objectType: 'hub', objectId: uid, detail }
    observe?.(event)
    this.#publish(event, now())
  }

  #publish(event: HubEvent, time: number): void {
    const { hub, publish, counters } = this.#parts
    const { topic, payload } = encodeEvent(event, hub().events.topicPrefix, time)
    counters.eventsPublished += 1
    publish(topic, payload, event)
  }

  #mayPass(objectId: string, time: number): boolean {
    const { eventsPerSecond } = this.#parts.hub().limits
    if (this.#bucket.perSecond !== eventsPerSecond) {
      this.#bucket = tokenBucket(eventsPerSecond, time)
      this.#objects.clear()
    }
    if (eventsPerSecond <= 0) return true
    let own = this.#objects.get(objectId)
    if (own === undefined) {
      own = tokenBucket(Math.max(1, eventsPerSecond * SHARE_OF_ONE_OBJECT), time)
      if (this.#objects.size >= TRACKED_OBJECTS) this.#objects.delete(this.#objects.keys().next().value!)
      this.#objects.set(objectId, own)
    }
    return takeTokens(own, time) === 0 && takeTokens(this.#bucket, time) === 0
  }
}
