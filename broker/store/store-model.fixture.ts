import type {
  AcceptRequest,
  AcceptResult,
  ApplicationMessage,
  QueueEntry,
  SessionRecord,
  StoredState,
  StoreLimits,
  WillRecord,
} from './store.ts'
import { messageBytes, RELEASED_MESSAGE } from './stored-message.ts'

interface ModelSession {
  record: SessionRecord
  entries: QueueEntry[]
  nextSeq: number
  incoming: Set<number>
}

/**
 * The store as plainly as it can be told, for tests only: every rule of the contract, no thought of speed.
 * Property tests run the same operations against it and against an implementation.
 */
export class StoreModel {
  limits: StoreLimits
  readonly #sessions = new Map<string, ModelSession>()
  readonly #retained = new Map<string, ApplicationMessage>()
  readonly #wills = new Map<string, WillRecord>()

  constructor(limits: StoreLimits) {
    this.limits = limits
  }

  /** What `open` hands over at `now`. */
  state(now: number): StoredState {
    const live = (it: { expiresAt?: number }) => (it.expiresAt ?? Number.POSITIVE_INFINITY) > now
    return {
      sessions: [...this.#sessions.values()].map(({ record }) => record).filter(live),
      retained: [...this.#retained.values()].filter(live),
      wills: [...this.#wills.values()],
    }
  }

  accept({ message, targets, retained, incoming, willOf }: AcceptRequest): AcceptResult {
    const ids = incoming && this.#sessions.get(incoming.sessionKey)?.incoming
    const willTaken = willOf !== undefined && !this.#wills.has(willOf)
    if (willTaken || (incoming && ids?.has(incoming.packetId))) {
      return { duplicate: true, seqs: targets.map(() => null), dropped: [] }
    }
    if (incoming) ids?.add(incoming.packetId)
    if (willOf !== undefined) this.#wills.delete(willOf)
    if (retained === 'Set') this.#retained.set(message.topic, message)
    if (retained === 'Clear') this.#retained.delete(message.topic)
    const dropped: Array<{ sessionKey: string; count: number }> = []
    const seqs = targets.map((target) => {
      const session = this.#sessions.get(target.sessionKey)
      if (session === undefined) return null
      const { seq, count } = this.#push(session, { message, released: false, ...target })
      if (count > 0) dropped.push({ sessionKey: target.sessionKey, count })
      return seq
    })
    return { duplicate: false, seqs, dropped }
  }

  putSession(record: SessionRecord): void {
    const session = this.#sessions.get(record.key)
    if (session) session.record = record
    else this.#sessions.set(record.key, { record, entries: [], nextSeq: 1, incoming: new Set() })
  }

  deleteSession(key: string): void {
    this.#sessions.delete(key)
    this.#wills.delete(key)
  }

  readQueue(key: string, afterSeq: number, limit: number, now: number): QueueEntry[] {
    const session = this.#sessions.get(key)
    const found: QueueEntry[] = []
    for (const entry of session?.entries ?? []) {
      if (entry.seq <= afterSeq) continue
      if (found.length === limit) break
      const expired = (entry.message.expiresAt ?? Number.POSITIVE_INFINITY) <= now
      if (expired) this.acknowledge(key, entry.seq)
      else found.push(entry)
    }
    return found
  }

  release(key: string, seq: number): void {
    const session = this.#sessions.get(key)
    if (session === undefined) return
    session.entries = session.entries.map((entry) =>
      entry.seq === seq
        ? { seq, message: RELEASED_MESSAGE, qos: entry.qos, retain: false, released: true }
        : entry,
    )
  }

  acknowledge(key: string, seq: number): void {
    const session = this.#sessions.get(key)
    if (session !== undefined) session.entries = session.entries.filter((entry) => entry.seq !== seq)
  }

  forgetIncoming(key: string, packetId: number): void {
    this.#sessions.get(key)?.incoming.delete(packetId)
  }

  putWill(will: WillRecord): void {
    this.#wills.set(will.sessionKey, will)
  }

  deleteWill(sessionKey: string): void {
    this.#wills.delete(sessionKey)
  }

  #push(
    session: ModelSession,
    { sessionKey: _, ...entry }: Omit<QueueEntry, 'seq'> & { sessionKey: string },
  ): { seq: number | null; count: number } {
    const { queueMessages, queueBytes, queueOverflow } = this.limits
    const size = messageBytes(entry.message)
    const kept = [...session.entries]
    const holding = () => kept.filter(({ released }) => !released)
    const fits = () =>
      holding().length < queueMessages &&
      holding().reduce((sum, { message }) => sum + messageBytes(message), size) <= queueBytes
    let count = 0
    while (!fits()) {
      const oldest = holding()[0]
      if (queueOverflow === 'DropNewest' || oldest === undefined) return { seq: null, count: 1 }
      kept.splice(kept.indexOf(oldest), 1)
      count += 1
    }
    const seq = session.nextSeq
    session.nextSeq += 1
    session.entries = [...kept, { ...entry, seq }]
    return { seq, count }
  }
}
