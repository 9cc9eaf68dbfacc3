import type { DatabaseSync } from 'node:sqlite'
import type { Transaction } from './group-commit.ts'
import { SessionTable } from './session-table.ts'
import { type BodyReference, SqliteBodies } from './sqlite-bodies.ts'
import { type BodyRow, decodeMessage, decodeSession, type SessionRow } from './sqlite-codec.ts'
import { SqliteQueue } from './sqlite-queue.ts'
import { SqliteRoutes } from './sqlite-routes.ts'
import { prepareStatements, type Statements } from './sqlite-statements.ts'
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
import { isExpired, messageBytes } from './stored-message.ts'

type WillRow = BodyRow & BodyReference & { session_key: string; device_id: string }

/**
 * What the operations of a store do to its tables. Except for `load`, everything runs between `begin` and
 * `commit` or `rollback`, and leaves tables and memory to `rollback` when it throws.
 */
export class SqliteTables implements Transaction {
  readonly #db: DatabaseSync
  readonly #sessions = new SessionTable()
  readonly #bodies: SqliteBodies
  readonly #queue: SqliteQueue
  readonly routes: SqliteRoutes
  readonly #onAppended: (routeId: string, partition: number) => void
  /** Ids of deleted sessions that still have rows in `queue`. */
  #deleted: number[] = []
  #lastSessionId = 0
  readonly #sql: Statements

  /** `onAppended` hears, after COMMIT, of each message that was appended to a route. */
  constructor(db: DatabaseSync, onAppended: (routeId: string, partition: number) => void = () => {}) {
    this.#db = db
    this.#onAppended = onAppended
    this.#bodies = new SqliteBodies(db)
    this.#queue = new SqliteQueue(db, this.#sessions, this.#bodies)
    this.routes = new SqliteRoutes(db, this.#bodies)
    this.#sql = prepareStatements(db)
  }

  begin(): void {
    this.#sql.begin.run()
    this.#sessions.begin()
  }

  commit(): void {
    this.#queue.saveNextSeqs()
    this.routes.beforeCommit()
    this.#sql.commit.run()
    this.#sessions.commit()
    this.routes.afterCommit(this.#onAppended)
  }

  rollback(): void {
    // On a full disk SQLite has rolled back already.
    if (this.#db.isTransaction) this.#sql.rollback.run()
    this.#sessions.rollback()
    this.routes.rollback()
  }

  /** Reads what survives and forgets what has expired at `now`, in a transaction of its own. */
  load(now: number): StoredState {
    this.begin()
    try {
      const state = {
        sessions: this.#loadSessions(now),
        retained: this.#loadRetained(now),
        wills: this.#loadWills(),
      }
      this.routes.load()
      this.commit()
      return state
    } catch (error) {
      this.rollback()
      throw error
    }
  }

  accept(request: AcceptRequest, limits: StoreLimits): AcceptResult {
    const { message, targets, retained, routes } = request
    if (this.#isDuplicate(request)) {
      return { duplicate: true, seqs: targets.map(() => null), dropped: [] }
    }
    if (retained === 'Clear') this.#clearRetained(message.topic)
    const mostRefs = targets.length + (retained === 'Set' ? 1 : 0) + (routes?.into.length ?? 0)
    const reference = this.#bodies.begin(mostRefs)
    const result = this.#enqueue(request, reference, limits)
    const routeDrops = routes === undefined ? undefined : this.routes.append(message, routes, reference)
    if (retained === 'Set') this.#setRetained(message.topic, reference)
    this.#bodies.finish(message)
    return routeDrops === undefined ? result : { ...result, routeDrops }
  }

  putSession({ key, deviceId, clientId, subscriptions, expiresAt }: SessionRecord): void {
    const known = this.#sessions.get(key)
    const columns = [deviceId, clientId, JSON.stringify(subscriptions), expiresAt ?? null]
    if (known !== undefined) {
      this.#sql.updateSession.run(...columns, known.id)
      return
    }
    this.#lastSessionId += 1
    this.#sql.insertSession.run(...columns, key, this.#lastSessionId)
    this.#sessions.add(key, { id: this.#lastSessionId, count: 0, bytes: 0, nextSeq: 1, savedIn: 0 })
  }

  deleteSession(key: string): void {
    this.#forgetSession(key)
    this.deleteWill(key)
  }

  readQueue(key: string, afterSeq: number, limit: number, now: number): QueueEntry[] {
    const session = this.#sessions.get(key)
    return session === undefined ? [] : this.#queue.read(session, afterSeq, limit, now)
  }

  release(key: string, seq: number): void {
    const session = this.#sessions.get(key)
    if (session !== undefined) this.#queue.release(session, seq)
  }

  acknowledge(key: string, seq: number): void {
    const session = this.#sessions.get(key)
    if (session !== undefined) this.#queue.remove(session, seq)
  }

  forgetIncoming(key: string, packetId: number): void {
    const session = this.#sessions.get(key)
    if (session !== undefined) this.#sql.deleteIncoming.run(session.id, packetId)
  }

  putWill({ sessionKey, deviceId, message }: WillRecord): void {
    this.deleteWill(sessionKey)
    const { body } = this.#bodies.begin(1)
    this.#sql.insertWill.run(sessionKey, deviceId, body)
    this.#bodies.addRef()
    this.#bodies.finish(message)
  }

  deleteWill(sessionKey: string): void {
    const will = this.#sql.takeWill.get(sessionKey) as unknown as { body: number } | undefined
    if (will !== undefined) this.#bodies.dropRef({ body: will.body, shared: 0 })
  }

  /** Deleted sessions and removed routes whose rows are still to be swept. */
  get toSweep(): number {
    return this.#deleted.length + this.routes.toSweep
  }

  /** Removes a bounded number of rows of a deleted session or a removed route. */
  sweep(): void {
    const [id] = this.#deleted
    if (id === undefined) {
      this.routes.sweep()
      return
    }
    if (!this.#queue.sweep(id)) return
    this.#deleted.shift()
    this.#sessions.onRollback(() => this.#deleted.unshift(id))
  }

  /** Looks first and marks after, so that a duplicate changes nothing. */
  #isDuplicate({ willOf, incoming }: AcceptRequest): boolean {
    if (willOf !== undefined && this.#sql.findWill.get(willOf) === undefined) return true
    const session = incoming === undefined ? undefined : this.#sessions.get(incoming.sessionKey)
    if (incoming !== undefined && session !== undefined) {
      if (this.#sql.insertIncoming.run(session.id, incoming.packetId).changes === 0) return true
    }
    if (willOf !== undefined) this.deleteWill(willOf)
    return false
  }

  #enqueue({ message, targets }: AcceptRequest, reference: BodyReference, limits: StoreLimits): AcceptResult {
    const bytes = targets.length === 0 ? 0 : messageBytes(message)
    const seqs = new Array<number | null>(targets.length)
    const dropped: Array<{ sessionKey: string; count: number }> = []
    for (let i = 0; i < targets.length; i += 1) {
      const target = targets[i]!
      const session = this.#sessions.get(target.sessionKey)
      seqs[i] = null
      if (session === undefined) continue
      const before = session.count
      const fits = this.#queue.makeRoom(session, bytes, limits)
      const lost = before - session.count + (fits ? 0 : 1)
      if (lost > 0) dropped.push({ sessionKey: target.sessionKey, count: lost })
      if (!fits) continue
      seqs[i] = this.#queue.push(session, target, reference, bytes)
      this.#bodies.addRef()
    }
    return { duplicate: false, seqs, dropped }
  }

  #setRetained(topic: string, { body, shared }: BodyReference): void {
    this.#clearRetained(topic)
    this.#sql.insertRetained.run(topic, body, shared)
    this.#bodies.addRef()
  }

  #clearRetained(topic: string): void {
    const old = this.#sql.takeRetained.get(topic) as unknown as BodyReference | undefined
    if (old !== undefined) this.#bodies.dropRef(old)
  }

  #forgetSession(key: string): void {
    const session = this.#sessions.get(key)
    if (session === undefined) return
    this.#sql.deleteSession.run(session.id)
    this.#sql.deleteAllIncoming.run(session.id)
    this.#sessions.delete(key)
    this.#deleted.push(session.id)
    this.#sessions.onRollback(() => {
      this.#deleted = this.#deleted.filter((id) => id !== session.id)
    })
  }

  #loadSessions(now: number): SessionRecord[] {
    const queues = new Map(
      this.#sql.queueTotals.all().map((row) => [Number(row['session']), row as Record<string, number>]),
    )
    const sessions: SessionRecord[] = []
    for (const row of this.#sql.allSessions.all() as unknown as SessionRow[]) {
      const { count = 0, bytes = 0, last = 0 } = queues.get(row.id) ?? {}
      queues.delete(row.id)
      const state = { id: row.id, count, bytes, nextSeq: Math.max(row.next_seq, last + 1), savedIn: 0 }
      this.#sessions.add(row.key, state)
      this.#lastSessionId = Math.max(this.#lastSessionId, row.id)
      const session = decodeSession(row)
      // Its will stays: it is due once the session has ended (MQTT 5 §3.1.2.5), so the caller gets it.
      if (session.expiresAt !== undefined && session.expiresAt <= now) this.#forgetSession(row.key)
      else sessions.push(session)
    }
    for (const id of queues.keys()) {
      this.#lastSessionId = Math.max(this.#lastSessionId, id)
      this.#deleted.push(id)
    }
    return sessions
  }

  #loadRetained(now: number): ApplicationMessage[] {
    const messages = (this.#sql.allRetained.all() as unknown as BodyRow[]).map(decodeMessage)
    const [live, expired]: [ApplicationMessage[], ApplicationMessage[]] = [[], []]
    for (const message of messages) (isExpired(message, now) ? expired : live).push(message)
    for (const { topic } of expired) this.#clearRetained(topic)
    return live
  }

  #loadWills(): WillRecord[] {
    return (this.#sql.allWills.all() as unknown as WillRow[]).map((row) => ({
      sessionKey: row.session_key,
      deviceId: row.device_id,
      message: decodeMessage(row),
    }))
  }
}
