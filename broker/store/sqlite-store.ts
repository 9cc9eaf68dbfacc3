import type { DatabaseSync } from 'node:sqlite'
import type { RouteStream } from '../../contract/route-stream.ts'
import { GroupCommit } from './group-commit.ts'
import { RouteWaiters } from './route-waiters.ts'
import { openDatabase, toStoreError } from './sqlite-database.ts'
import { SqliteRouteStream } from './sqlite-route-stream.ts'
import { SqliteTables } from './sqlite-tables.ts'
import type {
  AcceptRequest,
  AcceptResult,
  QueueEntry,
  SessionRecord,
  Store,
  StoredState,
  StoreLimits,
  WillRecord,
} from './store.ts'
import { StoreError } from './store-error.ts'

export interface SqliteStoreOptions {
  /** ms since the epoch; decides at `open` what has expired. Default: the system clock. */
  now?: () => number
  /** Bound of the file in bytes; beyond it writes are refused with `STORE_FULL`. Default 4 GiB. */
  maxBytes?: number
  /** How long `open` waits for a process that is just ending, ms. Default 2000. */
  lockWaitMs?: number
  /** Hears of failed writes that nobody waits for (acknowledgements, sweeps): each may lead to a repeat. */
  onLazyError?: (error: StoreError) => void
}

const NOTHING_STORED: AcceptResult = Object.freeze({ duplicate: false, seqs: [], dropped: [] })

/**
 * A store in one SQLite file, for one process at a time. Every answer is given after COMMIT, so it survives
 * the death of the process at any moment; what a power cut may take is told at `openDatabase`. All calls of
 * one event-loop turn share a transaction (`GroupCommit`). Faults are `StoreError`s.
 */
export function createSqliteStore(path: string, options: SqliteStoreOptions = {}): Store {
  return new SqliteStore(path, options)
}

/** What exists between `open` and `close`. */
interface OpenStore {
  db: DatabaseSync
  tables: SqliteTables
  commits: GroupCommit
}

class SqliteStore implements Store {
  readonly #path: string
  readonly #options: SqliteStoreOptions
  #open: OpenStore | undefined
  #limits: StoreLimits = { queueMessages: 0, queueBytes: 0, queueOverflow: 'DropNewest' }
  #sweeping = false
  readonly #waiters = new RouteWaiters()
  readonly #routes = new SqliteRouteStream({
    submit: (run, weight) => this.#submit((tables) => run(tables.routes), weight),
    waiters: this.#waiters,
    onRemoved: () => void this.#sweep(),
  })

  constructor(path: string, options: SqliteStoreOptions) {
    this.#path = path
    this.#options = options
  }

  async open(limits: StoreLimits): Promise<StoredState> {
    if (this.#open !== undefined) throw new StoreError('STORE_IN_USE', `store ${this.#path} is open already`)
    const { maxBytes = 4 * 1024 ** 3, lockWaitMs = 2000, now = Date.now } = this.#options
    const db = openDatabase(this.#path, { maxBytes, lockWaitMs })
    try {
      const tables = new SqliteTables(db, (routeId, partition) => this.#waiters.wake(routeId, partition))
      const state = tables.load(now())
      const commits = new GroupCommit(tables, {
        describe: (error) => toStoreError(error, this.#path),
        onLazyError: (error) => this.#options.onLazyError?.(toStoreError(error, this.#path)),
      })
      this.#open = { db, tables, commits }
      this.#limits = limits
      this.#waiters.open()
      void this.#sweep()
      return state
    } catch (error) {
      db.close()
      throw toStoreError(error, this.#path)
    }
  }

  setLimits(limits: StoreLimits): void {
    this.#limits = limits
  }

  accept(request: AcceptRequest): AcceptResult | Promise<AcceptResult> {
    const storesNothing =
      request.targets.length === 0 &&
      request.retained === undefined &&
      request.incoming === undefined &&
      request.willOf === undefined &&
      request.routes === undefined
    if (storesNothing && this.#open?.commits.idle) return NOTHING_STORED
    const limits = this.#limits
    return this.#submit((tables) => tables.accept(request, limits), request.message.payload.length)
  }

  putSession(session: SessionRecord): Promise<void> {
    return this.#submit((tables) => tables.putSession(session))
  }

  async deleteSession(key: string): Promise<void> {
    await this.#submit((tables) => tables.deleteSession(key))
    void this.#sweep()
  }

  readQueue(key: string, afterSeq: number, limit: number, now: number): Promise<QueueEntry[]> {
    return this.#submit((tables) => tables.readQueue(key, afterSeq, limit, now))
  }

  release(key: string, seq: number): Promise<void> {
    return this.#submit((tables) => tables.release(key, seq))
  }

  acknowledge(key: string, seq: number): void {
    const open = this.#open
    open?.commits.submitLazy(() => open.tables.acknowledge(key, seq))
  }

  forgetIncoming(key: string, packetId: number): Promise<void> {
    return this.#submit((tables) => tables.forgetIncoming(key, packetId))
  }

  putWill(will: WillRecord): Promise<void> {
    return this.#submit((tables) => tables.putWill(will), will.message.payload.length)
  }

  deleteWill(sessionKey: string): Promise<void> {
    return this.#submit((tables) => tables.deleteWill(sessionKey))
  }

  routes(): RouteStream {
    return this.#routes
  }

  async close(): Promise<void> {
    this.#waiters.close()
    const open = this.#open
    if (open === undefined) return
    this.#open = undefined
    open.commits.close()
    try {
      open.db.close()
    } catch (error) {
      throw toStoreError(error, this.#path)
    }
  }

  #submit<T>(run: (tables: SqliteTables) => T, weight = 0): Promise<T> {
    const open = this.#open
    if (open === undefined) {
      return Promise.reject(new StoreError('STORE_CLOSED', `store ${this.#path} is not open`))
    }
    return open.commits.submit(() => run(open.tables), weight)
  }

  /** Takes what deleted sessions and removed routes leave away bit by bit: a long queue must not stop the event loop. */
  async #sweep(): Promise<void> {
    const open = this.#open
    if (open === undefined || this.#sweeping) return
    this.#sweeping = true
    try {
      while (this.#open === open && open.tables.toSweep > 0) await this.#submit((tables) => tables.sweep())
    } catch (error) {
      // The next deletion or the next start goes on from here.
      this.#options.onLazyError?.(toStoreError(error, this.#path))
    } finally {
      this.#sweeping = false
    }
  }
}
