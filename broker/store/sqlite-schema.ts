import type { DatabaseSync } from 'node:sqlite'
import { StoreError } from './store-error.ts'

/**
 * Each step brings the tables from version `index` to `index + 1`; a step that was released never changes.
 *
 * A message is stored once, in `body`, whatever the number of queues it stands in. `shared` in a reference
 * says that there were several when it was written: those are counted in `body_refs`. The counter is a table
 * of its own because changing a row rewrites it, and next to the payload that would be up to 4 MiB an ack.
 *
 * `queue.session` has no foreign key: the rows of a deleted session are swept in small steps afterwards.
 * `session.next_seq` is written when the last entry of a queue goes; otherwise the queue itself knows.
 *
 * The counts in `route_stream` are those of its rows, written with each transaction that changes them. Rows of a
 * stream that is gone are swept, as those of a session are.
 */
const STEPS: readonly string[] = [
  `
  CREATE TABLE session (
    id INTEGER PRIMARY KEY,
    key TEXT NOT NULL UNIQUE,
    device_id TEXT NOT NULL,
    client_id TEXT NOT NULL,
    subscriptions TEXT NOT NULL,
    expires_at REAL,
    next_seq INTEGER NOT NULL
  ) STRICT;
  CREATE TABLE body (
    id INTEGER PRIMARY KEY,
    topic TEXT NOT NULL,
    payload BLOB NOT NULL,
    qos INTEGER NOT NULL,
    retain INTEGER NOT NULL,
    properties TEXT,
    expires_at REAL
  ) STRICT;
  CREATE TABLE body_refs (
    body INTEGER PRIMARY KEY,
    refs INTEGER NOT NULL
  ) STRICT;
  CREATE TABLE queue (
    session INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    body INTEGER,
    bytes INTEGER NOT NULL,
    qos INTEGER NOT NULL,
    retain INTEGER NOT NULL,
    subscription_ids TEXT,
    shared INTEGER NOT NULL,
    released INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (session, seq)
  ) STRICT, WITHOUT ROWID;
  CREATE TABLE incoming (
    session INTEGER NOT NULL,
    packet_id INTEGER NOT NULL,
    PRIMARY KEY (session, packet_id)
  ) STRICT, WITHOUT ROWID;
  CREATE TABLE retained (
    topic TEXT PRIMARY KEY,
    body INTEGER NOT NULL,
    shared INTEGER NOT NULL
  ) STRICT, WITHOUT ROWID;
  CREATE TABLE will (
    session_key TEXT PRIMARY KEY,
    device_id TEXT NOT NULL,
    body INTEGER NOT NULL
  ) STRICT, WITHOUT ROWID;
  `,
  `
  CREATE TABLE route_stream (
    id INTEGER PRIMARY KEY,
    route TEXT NOT NULL UNIQUE,
    last_seq INTEGER NOT NULL,
    messages INTEGER NOT NULL,
    bytes INTEGER NOT NULL,
    dropped INTEGER NOT NULL,
    letters INTEGER NOT NULL
  ) STRICT;
  CREATE TABLE route_entry (
    stream INTEGER NOT NULL,
    partition INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    body INTEGER NOT NULL,
    shared INTEGER NOT NULL,
    bytes INTEGER NOT NULL,
    id TEXT NOT NULL,
    time REAL NOT NULL,
    device_id TEXT,
    trail TEXT,
    PRIMARY KEY (stream, partition, seq)
  ) STRICT, WITHOUT ROWID;
  CREATE TABLE route_letter (
    stream INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    body INTEGER NOT NULL,
    shared INTEGER NOT NULL,
    bytes INTEGER NOT NULL,
    id TEXT NOT NULL,
    time REAL NOT NULL,
    device_id TEXT,
    trail TEXT,
    attempts INTEGER NOT NULL,
    first_error TEXT NOT NULL,
    last_error TEXT NOT NULL,
    dead_at REAL NOT NULL,
    PRIMARY KEY (stream, seq)
  ) STRICT, WITHOUT ROWID;
  `,
]

/** The version this code reads and writes. */
export const SCHEMA_VERSION = STEPS.length

/** Brings the tables of `path` to `SCHEMA_VERSION`. Throws `STORE_FOREIGN` or `STORE_TOO_NEW`. */
export function prepareSchema(db: DatabaseSync, path: string): void {
  const version = storedVersion(db, path)
  if (version === SCHEMA_VERSION) return
  if (version > SCHEMA_VERSION) {
    throw new StoreError(
      'STORE_TOO_NEW',
      `store ${path} has version ${version} and was written by a later Hublet; this one knows version ${SCHEMA_VERSION}: start the later one, or move the file away to begin with an empty store`,
    )
  }
  db.exec('BEGIN IMMEDIATE')
  for (const step of STEPS.slice(version)) db.exec(step)
  db.exec('CREATE TABLE IF NOT EXISTS hublet_store (version INTEGER NOT NULL) STRICT')
  db.exec('DELETE FROM hublet_store')
  db.prepare('INSERT INTO hublet_store (version) VALUES (?)').run(SCHEMA_VERSION)
  db.exec('COMMIT')
}

/** 0 for an empty file. */
function storedVersion(db: DatabaseSync, path: string): number {
  const tables = db.prepare(`SELECT name FROM sqlite_schema WHERE type = 'table'`).all()
  if (tables.length === 0) return 0
  if (tables.some((table) => table['name'] === 'hublet_store')) {
    return Number(db.prepare('SELECT version FROM hublet_store').get()?.['version'])
  }
  throw new StoreError('STORE_FOREIGN', `${path} is a database, but not a Hublet store: name another file`)
}
