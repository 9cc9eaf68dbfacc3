import type { DatabaseSync, StatementSync } from 'node:sqlite'

const FACTS = 'facts.id, facts.time, facts.device_id, facts.trail'
const BODY = 'body.topic, body.payload, body.qos, body.retain, body.properties, body.expires_at'

const SQL = {
  insertStream:
    'INSERT INTO route_stream (id, route, last_seq, messages, bytes, dropped, letters) VALUES (?, ?, 0, 0, 0, 0, 0)',
  saveStream:
    'UPDATE route_stream SET last_seq = ?, messages = ?, bytes = ?, dropped = ?, letters = ? WHERE id = ?',
  deleteStream: 'DELETE FROM route_stream WHERE id = ?',
  allStreams: 'SELECT * FROM route_stream ORDER BY id',
  allPartitions: 'SELECT DISTINCT stream, partition FROM route_entry',
  letterStreams: 'SELECT DISTINCT stream FROM route_letter',

  insertEntry:
    'INSERT INTO route_entry (stream, partition, seq, body, shared, bytes, id, time, device_id, trail) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)',
  takeEntry:
    'DELETE FROM route_entry WHERE stream = ? AND partition = ? AND seq = ? RETURNING body, shared, bytes, id, time, device_id, trail',
  oldestEntry: 'SELECT seq, time FROM route_entry WHERE stream = ? AND partition = ? ORDER BY seq LIMIT 1',
  readEntries: `SELECT facts.seq, ${FACTS}, ${BODY} FROM route_entry AS facts JOIN body ON body.id = facts.body
    WHERE facts.stream = ? AND facts.partition = ? AND facts.seq > ? ORDER BY facts.seq LIMIT ?`,

  insertLetter:
    'INSERT INTO route_letter (stream, seq, body, shared, bytes, id, time, device_id, trail, attempts, first_error, last_error, dead_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)',
  findLetter:
    'SELECT facts.bytes, body.topic FROM route_letter AS facts JOIN body ON body.id = facts.body WHERE facts.stream = ? AND facts.seq = ?',
  takeLetter:
    'DELETE FROM route_letter WHERE stream = ? AND seq = ? RETURNING body, shared, bytes, id, time, device_id, trail',
  oldestLetters: 'SELECT seq FROM route_letter WHERE stream = ? ORDER BY seq LIMIT ?',
  lettersDeadBefore: 'SELECT seq FROM route_letter WHERE stream = ? AND dead_at < ? ORDER BY seq LIMIT ?',
  readLetters: `SELECT facts.seq, ${FACTS}, facts.attempts, facts.first_error, facts.last_error, facts.dead_at, ${BODY}
    FROM route_letter AS facts JOIN body ON body.id = facts.body
    WHERE facts.stream = ? AND facts.seq > ? ORDER BY facts.seq LIMIT ?`,

  entriesOf: 'SELECT partition, seq FROM route_entry WHERE stream = ? LIMIT ?',
} as const

export type RouteStatements = Record<keyof typeof SQL, StatementSync>

/** Statements on route streams; parsed once for the life of a store. */
export function prepareRouteStatements(db: DatabaseSync): RouteStatements {
  const prepared = Object.entries(SQL).map(([name, text]) => [name, db.prepare(text)])
  return Object.fromEntries(prepared) as RouteStatements
}
