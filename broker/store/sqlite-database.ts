import { chmodSync, closeSync, mkdirSync, openSync, statSync } from 'node:fs'
import { dirname } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { prepareSchema } from './sqlite-schema.ts'
import { StoreError, type StoreErrorCode } from './store-error.ts'

/** Primary result codes of SQLite (the low byte) that have an answer of their own. */
const CODES: ReadonlyMap<number, StoreErrorCode> = new Map([
  [5, 'STORE_IN_USE'], // SQLITE_BUSY
  [6, 'STORE_IN_USE'], // SQLITE_LOCKED
  [11, 'STORE_CORRUPT'], // SQLITE_CORRUPT
  [13, 'STORE_FULL'], // SQLITE_FULL
  [26, 'STORE_CORRUPT'], // SQLITE_NOTADB
])

const TEXTS: Partial<Record<StoreErrorCode, string>> = {
  STORE_IN_USE: 'is in use by another process',
  STORE_CORRUPT: 'is damaged or not a database; move it away to begin with an empty store',
  STORE_FULL: 'is full: the disk, or the bound of the store, has no room',
}

export interface DatabaseOptions {
  /** Bound of the file in bytes. */
  maxBytes: number
  /** How long to wait at open for a process that is just ending, ms. */
  lockWaitMs: number
}

/**
 * Opens (or creates, with mode 0600) the database file and brings its tables up to date. Throws `StoreError`.
 *
 * WAL in exclusive locking mode: the lock is the operating system's, so it goes with the process however
 * that ends, and the index of the log stays in memory. `synchronous = NORMAL`: a commit is in the page cache
 * when it returns, which the death of the process does not touch; a power cut may take the commits since
 * the last checkpoint (never part of one, and the file stays whole).
 */
export function openDatabase(path: string, options: DatabaseOptions): DatabaseSync {
  let db: DatabaseSync | undefined
  try {
    createPrivateFile(path)
    db = new DatabaseSync(path, { timeout: options.lockWaitMs })
    db.exec(`
      PRAGMA locking_mode = EXCLUSIVE;
      PRAGMA journal_mode = WAL;
      PRAGMA synchronous = NORMAL;
      PRAGMA temp_store = MEMORY;
      PRAGMA cache_size = -16384;
      PRAGMA wal_autocheckpoint = 4096;
      PRAGMA journal_size_limit = 67108864;
    `)
    const pageSize = Number(db.prepare('PRAGMA page_size').get()?.['page_size'])
    db.exec(`PRAGMA max_page_count = ${Math.max(1, Math.floor(options.maxBytes / pageSize))}`)
    checkIntegrity(db, path)
    prepareSchema(db, path)
    return db
  } catch (error) {
    if (db?.isOpen) db.close()
    throw toStoreError(error, path)
  }
}

/** Whatever SQLite or the file system threw, as a `StoreError` that names the file. */
export function toStoreError(error: unknown, path: string): StoreError {
  if (error instanceof StoreError) return error
  const { errcode, message } = error as { errcode?: number; message?: string }
  const code = (errcode === undefined ? undefined : CODES.get(errcode & 0xff)) ?? 'STORE_FAILED'
  return new StoreError(code, `store ${path} ${TEXTS[code] ?? `failed: ${message ?? String(error)}`}`, error)
}

/**
 * Never opens a file that is there: closing any descriptor of a file gives up all locks this process has on
 * it (POSIX fcntl), also those of a store that is open.
 */
function createPrivateFile(path: string): void {
  const found = statSync(path, { throwIfNoEntry: false })
  if (found !== undefined) {
    if (!found.isFile()) throw new StoreError('STORE_FAILED', `store ${path} is not a file`)
    chmodSync(path, 0o600)
    return
  }
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 })
  closeSync(openSync(path, 'wx', 0o600))
}

/** Damage is better found now than at the first message that cannot be read back; 1 ms for each 2 MB. */
function checkIntegrity(db: DatabaseSync, path: string): void {
  const result = db.prepare('PRAGMA quick_check(1)').get()?.['quick_check']
  if (result === 'ok') return
  throw new StoreError('STORE_CORRUPT', `store ${path} ${TEXTS.STORE_CORRUPT} (${result})`)
}
