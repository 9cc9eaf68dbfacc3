import type { HubEvent } from '../contract/hub-event.ts'
import type { HubRecord } from '../contract/hub-state.ts'
import type { Counters } from './counters.ts'
import { fanOut, storedTargets } from './deliver/fan-out.ts'
import { OutgoingMessage } from './deliver/outgoing-message.ts'
import { type Recipient, recipientsOf } from './deliver/recipients.ts'
import type { Session } from './deliver/session.ts'
import type { SharedSubscriptions } from './deliver/shared-subscriptions.ts'
import type { SubscriptionIndex } from './deliver/subscription-index.ts'
import type { RouteIntakes } from './route-intakes.ts'
import type { RetainedIndex } from './store/retained-index.ts'
import type {
  AcceptResult,
  ApplicationMessage,
  RouteIntake,
  Store,
  SubscriptionRecord,
} from './store/store.ts'

export interface IngestParts {
  store: Store
  subscriptions: SubscriptionIndex<Session, SubscriptionRecord>
  shared: SharedSubscriptions
  retained: RetainedIndex
  routes: RouteIntakes
  sessionByKey: (key: string) => Session | undefined
  hub: () => HubRecord
  raise: (event: HubEvent) => void
  counters: Counters
  /** ms since the epoch. */
  now: () => number
}

export interface IngestOptions {
  /** The publishing session, for No Local. */
  origin?: Session | undefined
  /** Of the subscriptions that are not shared. */
  recipients?: readonly Recipient[] | undefined
  /** QoS 2 of a persistent session: its id is stored together with the message. */
  incoming?: { sessionKey: string; packetId: number } | undefined
  willOf?: string | undefined
  /** Who published it, where that is no session that is here. */
  deviceId?: string | undefined
  /** Routes whose replies led to it, oldest first. */
  trail?: readonly string[] | undefined
  /** The event is about this route. */
  aboutRoute?: string | undefined
}

/** A message between the store's answer and its delivery. */
export interface Passage {
  outgoing: OutgoingMessage
  recipients: readonly Recipient[]
  origin: Session | undefined
  /** Routes that take it. */
  routed: number
  stored: AcceptResult | Promise<AcceptResult>
}

const NOTHING_STORED: AcceptResult = Object.freeze({
  duplicate: false,
  seqs: Object.freeze([]),
  dropped: Object.freeze([]),
})

/**
 * The one door for a message of any origin: device, will, token network, reply of a route, event. Whoever brings it has judged
 * it. `enter` stores, `complete` delivers; between the two the caller keeps its own order, and acknowledges
 * only after `complete` (design §4: no PUBACK before the store).
 */
export class Ingest {
  readonly #parts: IngestParts

  constructor(parts: IngestParts) {
    this.#parts = parts
  }

  /** Throws nothing; a store that fails rejects `stored`. */
  enter(message: ApplicationMessage, options: IngestOptions = {}): Passage {
    const { store, subscriptions, shared, now } = this.#parts
    const { origin, incoming, willOf } = options
    const known = options.recipients ?? recipientsOf(message.topic, subscriptions.match(message.topic))
    // Chosen for each message, so that nobody may remember it.
    const recipients = shared.size === 0 ? known : shared.with(known, message.topic)
    const targets = storedTargets(message, recipients, origin)
    const outgoing = new OutgoingMessage(message, now())
    const retained = message.retain ? this.#retain(message) : undefined
    const routes = this.#parts.routes.isEmpty ? undefined : this.#routesOf(message.topic, options)
    if (
      targets.length === 0 &&
      retained === undefined &&
      incoming === undefined &&
      willOf === undefined &&
      routes === undefined
    ) {
      return { outgoing, recipients, origin, routed: 0, stored: NOTHING_STORED }
    }
    const stored = store.accept({
      message,
      targets,
      ...(retained === undefined ? {} : { retained }),
      ...(incoming === undefined ? {} : { incoming }),
      ...(willOf === undefined ? {} : { willOf }),
      ...(routes === undefined ? {} : { routes }),
    })
    return { outgoing, recipients, origin, routed: routes?.into.length ?? 0, stored }
  }

  complete({ outgoing, recipients, origin, routed }: Passage, result: AcceptResult): void {
    const { counters } = this.#parts
    if (result.duplicate) return
    counters.messagesRouted += routed
    if (result.routeDrops !== undefined) this.#parts.routes.noteDrops(result.routeDrops)
    const count = { delivered: 0, dropped: 0 }
    fanOut(outgoing, recipients, { origin, seqs: result.seqs }, count)
    counters.messagesDelivered += count.delivered
    counters.droppedSlow += count.dropped
    if (result.dropped.length > 0) this.#tellDropped(result.dropped)
  }

  /** Both steps, for origins that have no order of their own to keep. Rejects when the store fails. */
  async accept(message: ApplicationMessage, options?: IngestOptions): Promise<void> {
    const passage = this.enter(message, options)
    this.complete(passage, await passage.stored)
  }

  #routesOf(topic: string, { origin, deviceId, trail, aboutRoute }: IngestOptions): RouteIntake | undefined {
    return this.#parts.routes.of(topic, { deviceId: deviceId ?? origin?.device.id, trail, aboutRoute })
  }

  #retain(message: ApplicationMessage): 'Set' | 'Clear' | undefined {
    const { retained, raise, now, hub } = this.#parts
    if (message.payload.length === 0) {
      retained.clear(message.topic)
      return 'Clear'
    }
    if (retained.set(message, now())) return 'Set'
    const { retainedMessages, retainedBytes } = hub().limits
    raise({
      code: 'RETAINED_FULL',
      objectType: 'hub',
      objectId: hub().uid,
      detail: `at most ${retainedMessages} messages and ${retainedBytes} bytes`,
    })
    return undefined
  }

  #tellDropped(dropped: AcceptResult['dropped']): void {
    const { counters, raise, sessionByKey } = this.#parts
    for (const { sessionKey, count } of dropped) {
      counters.droppedQueueFull += count
      const session = sessionByKey(sessionKey)
      if (session === undefined) continue
      raise({
        code: 'QUEUE_OVERFLOW',
        objectType: 'device',
        objectId: session.device.id,
        detail: `${count} of session ${session.clientId.slice(0, 64)}`,
      })
    }
  }
}
