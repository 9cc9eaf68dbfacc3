import type { DatabaseSync, StatementSync } from 'node:sqlite'

const BODY_COLUMNS = 'body.topic, body.payload, body.qos, body.retain, body.properties, body.expires_at'

const SQL = {
  begin: 'BEGIN IMMEDIATE',
  commit: 'COMMIT',
  rollback: 'ROLLBACK',
  insertSession:
    'INSERT INTO session (device_id, client_id, subscriptions, expires_at, key, id, next_seq) VALUES (?, ?, ?, ?, ?, ?, 1)',
  updateSession:
    'UPDATE session SET device_id = ?, client_id = ?, subscriptions = ?, expires_at = ? WHERE id = ?',
  deleteSession: 'DELETE FROM session WHERE id = ?',
  insertIncoming: 'INSERT OR IGNORE INTO incoming (session, packet_id) VALUES (?, ?)',
  deleteIncoming: 'DELETE FROM incoming WHERE session = ? AND packet_id = ?',
  deleteAllIncoming: 'DELETE FROM incoming WHERE session = ?',
  insertRetained: 'INSERT INTO retained (topic, body, shared) VALUES (?, ?, ?)',
  takeRetained: 'DELETE FROM retained WHERE topic = ? RETURNING body, shared',
  insertWill: 'INSERT INTO will (session_key, device_id, body) VALUES (?, ?, ?)',
  findWill: 'SELECT 1 FROM will WHERE session_key = ?',
  takeWill: 'DELETE FROM will WHERE session_key = ? RETURNING body',
  allSessions: 'SELECT * FROM session ORDER BY id',
  queueTotals: `SELECT session, count(*) FILTER (WHERE released = 0) AS count, sum(bytes) AS bytes,
    max(seq) AS last FROM queue GROUP BY session`,
  allRetained: `SELECT ${BODY_COLUMNS} FROM retained JOIN body ON body.id = retained.body`,
  allWills: `SELECT session_key, device_id, ${BODY_COLUMNS} FROM will JOIN body ON body.id = will.body`,
} as const

export type Statements = Record<keyof typeof SQL, StatementSync>

/** Statements on sessions, packet ids, retained messages and wills; parsed once for the life of a store. */
export function prepareStatements(db: DatabaseSync): Statements {
  const prepared = Object.entries(SQL).map(([name, text]) => [name, db.prepare(text)])
  return Object.fromEntries(prepared) as Statements
}
