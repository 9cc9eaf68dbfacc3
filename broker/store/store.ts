import type { RouteAppend, RouteStream } from '../../contract/route-stream.ts'

/**
 * The durable half of a broker: sessions, their queues, retained messages, wills, the streams of routes. One
 * contract suite (`store.contract.ts`) holds every implementation to the same promises:
 *
 * - `accept` is atomic: all its effects are stored, or none. It resolves only when they would survive the
 *   death of this process, and calls resolve in the order they were made.
 * - Queues are bounded by `StoreLimits`; what is dropped is counted in the result.
 */
export interface ApplicationMessage {
  topic: string
  payload: Buffer
  qos: 0 | 1 | 2
  /** The retain flag of the PUBLISH as it came in. */
  retain: boolean
  /** MQTT 5 properties that travel with the message (no topic alias, no subscription identifier). */
  properties?: MessageProperties
  /** ms since the epoch; absent: never. */
  expiresAt?: number
}

/** MQTT 5 §3.3.2.3, the ones a broker forwards unchanged. */
export interface MessageProperties {
  payloadFormatIndicator?: boolean
  contentType?: string
  responseTopic?: string
  correlationData?: Buffer
  /** In the order received, as [name, value]: names may repeat and order counts (MQTT 5 §3.3.2.3.7). */
  userProperties?: ReadonlyArray<readonly [string, string]>
}

export interface SubscriptionRecord {
  filter: string
  qos: 0 | 1 | 2
  noLocal: boolean
  retainAsPublished: boolean
  subscriptionId?: number
}

export interface SessionRecord {
  /** `<device id>/<client id>`: a device can only ever name its own sessions. */
  key: string
  deviceId: string
  clientId: string
  subscriptions: SubscriptionRecord[]
  /** When an offline session is forgotten, ms since the epoch; absent: while connected. */
  expiresAt?: number
}

export interface WillRecord {
  sessionKey: string
  deviceId: string
  message: ApplicationMessage
}

/** One place in a session's queue. `seq` rises by one a message and never repeats within a session. */
export interface QueueEntry {
  seq: number
  message: ApplicationMessage
  /** What the subscription was granted, already the lower of both. */
  qos: 1 | 2
  /** Retain flag to deliver with (retain as published). */
  retain: boolean
  subscriptionIds?: number[]
  /** Released: PUBREC was received; only PUBREL may be sent again, the message is gone. */
  released: boolean
}

export interface AcceptTarget {
  sessionKey: string
  qos: 1 | 2
  retain: boolean
  subscriptionIds?: number[]
}

/** The routes that take a message, with what their entries say beside the message itself. */
export interface RouteIntake {
  /** Each route once. */
  into: readonly RouteAppend[]
  /** The same in every route: unique, made by the caller, a UUIDv7. */
  id: string
  /** When the hub accepted the message, ms since the epoch. */
  time: number
  deviceId?: string
  trail?: readonly string[]
}

export interface AcceptRequest {
  message: ApplicationMessage
  /** Persistent sessions to queue for. Unknown keys are skipped (the session has just ended). */
  targets: readonly AcceptTarget[]
  /** Effect on the retained message of this topic. */
  retained?: 'Set' | 'Clear'
  /** QoS 2 from a persistent session: remembered together with the message (design §8.13). */
  incoming?: { sessionKey: string; packetId: number }
  /** This message is the stored will of that session, taken out in the same step, so it enters once. */
  willOf?: string
  /** At any QoS; the bounds of the routes are kept as told here, not those of the sessions. */
  routes?: RouteIntake
}

export interface AcceptResult {
  /** The packet id was known, or the will was already taken: nothing was stored, nothing may be delivered. */
  duplicate: boolean
  /** In the order of `targets`; `null` where the queue was full under DropNewest or the session unknown. */
  seqs: ReadonlyArray<number | null>
  /** Sessions that lost a message to make room or to keep the bound, with how many. */
  dropped: ReadonlyArray<{ sessionKey: string; count: number }>
  /** Routes that lost a message to make room or to keep the bound, with how many; absent: none did. */
  routeDrops?: RouteDrops
}

export type RouteDrops = ReadonlyArray<{ routeId: string; count: number }>

export interface StoreLimits {
  queueMessages: number
  queueBytes: number
  queueOverflow: 'DropOldest' | 'DropNewest'
}

/** What survives from an earlier life; handed over once, at open. */
export interface StoredState {
  sessions: SessionRecord[]
  retained: ApplicationMessage[]
  wills: WillRecord[]
}

export interface Store {
  open(limits: StoreLimits): Promise<StoredState>
  /** New bounds count from the next `accept` on. */
  setLimits(limits: StoreLimits): void

  /** A synchronous answer where nothing has to wait keeps the hot path free of microtasks. */
  accept(request: AcceptRequest): AcceptResult | Promise<AcceptResult>

  /** Creates or updates the record (subscriptions included); never touches its queue. */
  putSession(session: SessionRecord): Promise<void>
  /** Forgets the session, its queue, its packet ids and its will. Unknown key: done already. */
  deleteSession(key: string): Promise<void>

  /** Entries after `afterSeq`, oldest first, at most `limit`; expired ones are left out and removed. */
  readQueue(key: string, afterSeq: number, limit: number, now: number): Promise<QueueEntry[]>
  /** PUBREC arrived: from now on only PUBREL may be repeated. Resolves when that is durable. */
  release(key: string, seq: number): Promise<void>
  /** PUBACK or PUBCOMP arrived: the entry is gone. May be written lazily: a repeat is allowed. */
  acknowledge(key: string, seq: number): void
  /** PUBREL arrived: the packet id is free again. Resolves when that is durable. */
  forgetIncoming(key: string, packetId: number): Promise<void>

  putWill(will: WillRecord): Promise<void>
  deleteWill(sessionKey: string): Promise<void>

  /** The same object for the life of the store; its calls fail while the store is not open. */
  routes(): RouteStream

  /** Writes what is pending and closes. */
  close(): Promise<void>
}
