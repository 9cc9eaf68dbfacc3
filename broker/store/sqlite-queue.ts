import type { DatabaseSync, StatementSync } from 'node:sqlite'
import type { SessionState, SessionTable } from './session-table.ts'
import type { BodyReference, SqliteBodies } from './sqlite-bodies.ts'
import { type BodyRow, decodeMessage } from './sqlite-codec.ts'
import type { AcceptTarget, QueueEntry, StoreLimits } from './store.ts'
import { isExpired, RELEASED_MESSAGE } from './stored-message.ts'

/** Entries of deleted sessions that one sweep takes, about 3 ms of work. */
const SWEEP_ROWS = 500

interface EntryRow {
  seq: number
  qos: number
  retain: number
  subscription_ids: string | null
  released: number
  bytes: number
  body: number | null
  shared: number
}

/** The queues of all sessions. Everything here runs inside a transaction of the caller. */
export class SqliteQueue {
  readonly #sessions: SessionTable
  readonly #bodies: SqliteBodies
  readonly #insert: StatementSync
  readonly #oldest: StatementSync
  readonly #find: StatementSync
  readonly #remove: StatementSync
  readonly #release: StatementSync
  readonly #read: StatementSync
  readonly #saveNextSeq: StatementSync
  readonly #sweepRows: StatementSync
  readonly #sweepTo: StatementSync

  constructor(db: DatabaseSync, sessions: SessionTable, bodies: SqliteBodies) {
    this.#sessions = sessions
    this.#bodies = bodies
    this.#insert = db.prepare(
      'INSERT INTO queue (session, seq, body, bytes, qos, retain, subscription_ids, shared) VALUES (?, ?, ?, ?, ?, ?, ?, ?)',
    )
    this.#oldest = db.prepare('SELECT seq FROM queue WHERE session = ? AND released = 0 ORDER BY seq LIMIT 1')
    this.#find = db.prepare('SELECT bytes, body, shared, released FROM queue WHERE session = ? AND seq = ?')
    this.#remove = db.prepare(
      'DELETE FROM queue WHERE session = ? AND seq = ? RETURNING bytes, body, shared, released',
    )
    this.#release = db.prepare(
      'UPDATE queue SET released = 1, body = NULL, bytes = 0, retain = 0, subscription_ids = NULL WHERE session = ? AND seq = ?',
    )
    this.#read = db.prepare(`
      SELECT queue.seq, queue.qos AS granted, queue.retain AS keep_retain, queue.subscription_ids,
        queue.released, body.topic, body.payload, body.qos, body.retain, body.properties, body.expires_at
      FROM queue LEFT JOIN body ON body.id = queue.body
      WHERE queue.session = ? AND queue.seq > ? ORDER BY queue.seq`)
    this.#saveNextSeq = db.prepare('UPDATE session SET next_seq = ? WHERE id = ?')
    this.#sweepRows = db.prepare(
      `SELECT seq, body, shared FROM queue WHERE session = ? ORDER BY seq LIMIT ${SWEEP_ROWS}`,
    )
    this.#sweepTo = db.prepare('DELETE FROM queue WHERE session = ? AND seq <= ?')
  }

  push(state: SessionState, target: AcceptTarget, reference: BodyReference, bytes: number): number {
    this.#sessions.save(state)
    const seq = state.nextSeq
    const ids = target.subscriptionIds
    this.#insert.run(
      state.id,
      seq,
      reference.body,
      bytes,
      target.qos,
      target.retain ? 1 : 0,
      ids === undefined ? null : JSON.stringify(ids),
      reference.shared,
    )
    state.nextSeq += 1
    state.count += 1
    state.bytes += bytes
    return seq
  }

  /** False: the new message has to go. One that could never fit must not push all others out. */
  makeRoom(state: SessionState, bytes: number, limits: StoreLimits): boolean {
    const { queueMessages, queueBytes, queueOverflow } = limits
    if (state.count < queueMessages && state.bytes + bytes <= queueBytes) return true
    if (queueOverflow === 'DropNewest' || queueMessages < 1 || bytes > queueBytes) return false
    do {
      const oldest = this.#oldest.get(state.id) as { seq: number } | undefined
      if (oldest === undefined) return false
      this.remove(state, oldest.seq)
    } while (state.count >= queueMessages || state.bytes + bytes > queueBytes)
    return true
  }

  remove(state: SessionState, seq: number): void {
    const row = this.#remove.get(state.id, seq) as unknown as EntryRow | undefined
    if (row === undefined) return
    this.#discount(state, row)
    if (seq === state.nextSeq - 1) this.#sessions.markTailRemoved(state)
  }

  release(state: SessionState, seq: number): void {
    const row = this.#find.get(state.id, seq) as unknown as EntryRow | undefined
    if (row === undefined || row.released === 1) return
    this.#release.run(state.id, seq)
    this.#discount(state, row)
  }

  read(state: SessionState, afterSeq: number, limit: number, now: number): QueueEntry[] {
    const found: QueueEntry[] = []
    const expired: number[] = []
    for (const row of this.#read.iterate(state.id, afterSeq)) {
      if (found.length >= limit) break
      const entry = decodeEntry(row as unknown as ReadRow)
      if (isExpired(entry.message, now)) expired.push(entry.seq)
      else found.push(entry)
    }
    for (const seq of expired) this.remove(state, seq)
    return found
  }

  /** To be called before COMMIT: the queue of these sessions no longer tells where to go on counting. */
  saveNextSeqs(): void {
    for (const state of this.#sessions.tailsRemoved()) this.#saveNextSeq.run(state.nextSeq, state.id)
  }

  /** Removes some entries of a session that was deleted; false: there are more. */
  sweep(sessionId: number): boolean {
    const rows = this.#sweepRows.all(sessionId) as unknown as EntryRow[]
    const last = rows.at(-1)
    if (last === undefined) return true
    for (const { body, shared } of rows) if (body !== null) this.#bodies.dropRef({ body, shared })
    this.#sweepTo.run(sessionId, last.seq)
    return rows.length < SWEEP_ROWS
  }

  #discount(state: SessionState, { released, bytes, body, shared }: EntryRow): void {
    if (released === 1) return
    this.#sessions.save(state)
    state.count -= 1
    state.bytes -= bytes
    if (body !== null) this.#bodies.dropRef({ body, shared })
  }
}

interface ReadRow extends BodyRow {
  seq: number
  granted: number
  keep_retain: number
  subscription_ids: string | null
  released: number
}

function decodeEntry(row: ReadRow): QueueEntry {
  const released = row.released === 1
  const entry: QueueEntry = {
    seq: row.seq,
    message: released ? RELEASED_MESSAGE : decodeMessage(row),
    qos: row.granted as 1 | 2,
    retain: row.keep_retain === 1,
    released,
  }
  if (row.subscription_ids !== null) entry.subscriptionIds = JSON.parse(row.subscription_ids) as number[]
  return entry
}
