import { MemoryRouteStream } from './memory-route-stream.ts'
import { SessionQueue } from './session-queue.ts'
import type {
  AcceptRequest,
  AcceptResult,
  ApplicationMessage,
  QueueEntry,
  SessionRecord,
  Store,
  StoredState,
  StoreLimits,
  WillRecord,
} from './store.ts'
import { detachMessage, isExpired, messageBytes } from './stored-message.ts'

interface MemorySession {
  record: SessionRecord
  queue: SessionQueue
  /** Packet ids of QoS 2 messages whose PUBREL is still to come; created by the first one. */
  incoming: Set<number> | undefined
}

type Drops = Array<{ sessionKey: string; count: number }>

const NOTHING_DROPPED: AcceptResult['dropped'] = Object.freeze([])
const NO_SEQS: AcceptResult['seqs'] = Object.freeze([])
const NOTHING_QUEUED: AcceptResult = Object.freeze({
  duplicate: false,
  seqs: NO_SEQS,
  dropped: NOTHING_DROPPED,
})

/**
 * A store for hubs that promise nothing over a restart, and the measure of how fast the rest of the broker
 * is. Everything lives in this process; `accept` always answers synchronously, and one message object is
 * shared by all queues it stands in, so it must not be changed afterwards.
 *
 * `now` (ms since the epoch, default the system clock) decides at `open` what has expired.
 */
export function createMemoryStore(options: { now?: () => number } = {}): Store {
  return new MemoryStore(options.now ?? Date.now)
}

class MemoryStore implements Store {
  #limits: StoreLimits = { queueMessages: 0, queueBytes: 0, queueOverflow: 'DropNewest' }
  readonly #sessions = new Map<string, MemorySession>()
  readonly #retained = new Map<string, ApplicationMessage>()
  readonly #wills = new Map<string, WillRecord>()
  readonly #routes = new MemoryRouteStream()
  readonly #now: () => number

  constructor(now: () => number) {
    this.#now = now
  }

  async open(limits: StoreLimits): Promise<StoredState> {
    this.#limits = limits
    this.#routes.open()
    this.#forgetExpired(this.#now())
    return {
      sessions: Array.from(this.#sessions.values(), (session) => session.record),
      retained: [...this.#retained.values()],
      wills: [...this.#wills.values()],
    }
  }

  setLimits(limits: StoreLimits): void {
    this.#limits = limits
  }

  accept(request: AcceptRequest): AcceptResult {
    const { targets } = request
    if (this.#isDuplicate(request)) {
      return { duplicate: true, seqs: targets.map(() => null), dropped: NOTHING_DROPPED }
    }
    if (request.retained === 'Clear') this.#retained.delete(request.message.topic)
    const { routes } = request
    if (targets.length === 0 && request.retained !== 'Set' && routes === undefined) return NOTHING_QUEUED
    const message = detachMessage(request.message)
    if (request.retained === 'Set') this.#retained.set(message.topic, message)
    const result = this.#enqueue(message, targets)
    const routeDrops = routes === undefined ? undefined : this.#routes.append(message, routes)
    return routeDrops === undefined ? result : { ...result, routeDrops }
  }

  async putSession(record: SessionRecord): Promise<void> {
    const session = this.#sessions.get(record.key)
    if (session === undefined) {
      this.#sessions.set(record.key, { record, queue: new SessionQueue(), incoming: undefined })
    } else {
      session.record = record
    }
  }

  async deleteSession(key: string): Promise<void> {
    this.#sessions.delete(key)
    this.#wills.delete(key)
  }

  async readQueue(key: string, afterSeq: number, limit: number, now: number): Promise<QueueEntry[]> {
    return this.#sessions.get(key)?.queue.read(afterSeq, limit, now) ?? []
  }

  async release(key: string, seq: number): Promise<void> {
    this.#sessions.get(key)?.queue.release(seq)
  }

  acknowledge(key: string, seq: number): void {
    this.#sessions.get(key)?.queue.acknowledge(seq)
  }

  async forgetIncoming(key: string, packetId: number): Promise<void> {
    this.#sessions.get(key)?.incoming?.delete(packetId)
  }

  async putWill(will: WillRecord): Promise<void> {
    this.#wills.set(will.sessionKey, { ...will, message: detachMessage(will.message) })
  }

  async deleteWill(sessionKey: string): Promise<void> {
    this.#wills.delete(sessionKey)
  }

  routes(): MemoryRouteStream {
    return this.#routes
  }

  async close(): Promise<void> {
    this.#routes.close()
  }

  /** Looks first and marks after, so that a duplicate changes nothing. */
  #isDuplicate({ willOf, incoming }: AcceptRequest): boolean {
    if (willOf !== undefined && !this.#wills.has(willOf)) return true
    if (incoming !== undefined) {
      const session = this.#sessions.get(incoming.sessionKey)
      if (session?.incoming?.has(incoming.packetId)) return true
      if (session !== undefined) {
        session.incoming ??= new Set()
        session.incoming.add(incoming.packetId)
      }
    }
    if (willOf !== undefined) this.#wills.delete(willOf)
    return false
  }

  #enqueue(message: ApplicationMessage, targets: AcceptRequest['targets']): AcceptResult {
    const bytes = messageBytes(message)
    const seqs = new Array<number | null>(targets.length)
    let dropped: Drops | undefined
    for (let i = 0; i < targets.length; i += 1) {
      const target = targets[i]!
      const session = this.#sessions.get(target.sessionKey)
      if (session === undefined) {
        seqs[i] = null
        continue
      }
      const { queue } = session
      const before = queue.count
      const fits = this.#makeRoom(queue, bytes)
      const lost = before - queue.count + (fits ? 0 : 1)
      if (lost > 0) {
        dropped ??= []
        dropped.push({ sessionKey: target.sessionKey, count: lost })
      }
      seqs[i] = fits ? queue.push(message, target, bytes) : null
    }
    return { duplicate: false, seqs, dropped: dropped ?? NOTHING_DROPPED }
  }

  /** False: the new message has to go. One that could never fit must not push all others out. */
  #makeRoom(queue: SessionQueue, bytes: number): boolean {
    const { queueMessages, queueBytes, queueOverflow } = this.#limits
    if (queue.count < queueMessages && queue.bytes + bytes <= queueBytes) return true
    if (queueOverflow === 'DropNewest' || queueMessages < 1 || bytes > queueBytes) return false
    do queue.dropOldest()
    while (queue.count >= queueMessages || queue.bytes + bytes > queueBytes)
    return true
  }

  #forgetExpired(now: number): void {
    for (const [key, { record }] of this.#sessions) {
      // The will stays: it is due once its session has ended (MQTT 5 §3.1.2.5), so the caller gets it.
      if (record.expiresAt !== undefined && record.expiresAt <= now) this.#sessions.delete(key)
    }
    for (const [topic, message] of this.#retained) {
      if (isExpired(message, now)) this.#retained.delete(topic)
    }
  }
}
