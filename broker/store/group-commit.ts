import { StoreError } from './store-error.ts'

/** Operations in one transaction: enough to spread the cost of a commit, short enough for the event loop. */
const MAX_BATCH = 1000

/** Payload bytes in one transaction; a single larger operation still goes through, alone. */
const MAX_BATCH_BYTES = 8 * 1024 * 1024

/** How long a write that nobody waits for may stay in memory, ms. */
const LAZY_MS = 20

/** What operations run in. `rollback` also takes back what they changed in memory, and never throws. */
export interface Transaction {
  begin(): void
  commit(): void
  rollback(): void
}

export interface Faults {
  /** What a caller gets to see in place of the error that was thrown. */
  describe: (error: unknown) => Error
  /** A write failed that nobody waits for. */
  onLazyError: (error: Error) => void
}

interface Operation {
  /** May run twice: a batch that fails is taken back and its operations run one by one. */
  run: () => unknown
  weight: number
  resolve: (result: never) => void
  reject: (error: Error) => void
}

/**
 * Runs the operations of one event-loop turn in one transaction. Each caller hears the outcome after COMMIT,
 * in the order of the calls. When a batch fails, because of one operation or in COMMIT itself, every operation
 * is tried again in a transaction of its own: only those that fail by themselves are refused. (Savepoints would
 * not do: SQLite gives up the whole transaction on a full disk.)
 */
export class GroupCommit {
  readonly #transaction: Transaction
  readonly #faults: Faults
  #pending: Operation[] = []
  #callers = 0
  #immediate: NodeJS.Immediate | undefined
  #timer: NodeJS.Timeout | undefined
  #closed = false

  constructor(transaction: Transaction, faults: Faults) {
    this.#transaction = transaction
    this.#faults = faults
  }

  /** No caller waits, so that an answer given now overtakes none. */
  get idle(): boolean {
    return this.#callers === 0
  }

  /** Runs `run` with the next batch. `weight`: payload bytes it writes. */
  submit<T>(run: () => T, weight = 0): Promise<T> {
    return new Promise((resolve, reject) => {
      if (this.#closed) return reject(new StoreError('STORE_CLOSED', 'the store is closed'))
      this.#callers += 1
      this.#pending.push({ run, weight, resolve, reject })
      this.#immediate ??= setImmediate(this.#flush)
    })
  }

  /** Runs `run` with the next batch, or alone after `LAZY_MS`. Nobody waits; after `close` it is left out. */
  submitLazy(run: () => void): void {
    if (this.#closed) return
    this.#pending.push({ run, weight: 0, resolve: doNothing, reject: this.#faults.onLazyError })
    if (this.#pending.length >= MAX_BATCH) this.#immediate ??= setImmediate(this.#flush)
    else this.#timer ??= setTimeout(this.#flush, LAZY_MS)
  }

  /** Runs all that is pending, then refuses what comes. */
  close(): void {
    this.#closed = true
    while (this.#pending.length > 0) this.#flush()
    this.#cancel()
  }

  readonly #flush = (): void => {
    this.#cancel()
    const batch = this.#takeBatch()
    this.#runBatch(batch)
    for (const { resolve } of batch) if (resolve !== doNothing) this.#callers -= 1
    if (this.#pending.length > 0 && !this.#closed) this.#immediate = setImmediate(this.#flush)
  }

  #cancel(): void {
    clearImmediate(this.#immediate)
    clearTimeout(this.#timer)
    this.#immediate = undefined
    this.#timer = undefined
  }

  #takeBatch(): Operation[] {
    let length = 0
    let weight = 0
    for (const operation of this.#pending) {
      weight += operation.weight
      if (length > 0 && (length >= MAX_BATCH || weight > MAX_BATCH_BYTES)) break
      length += 1
    }
    return this.#pending.splice(0, length)
  }

  #runBatch(batch: readonly Operation[]): void {
    const results: unknown[] = []
    try {
      this.#transaction.begin()
      for (const { run } of batch) results.push(run())
      this.#transaction.commit()
    } catch (error) {
      this.#transaction.rollback()
      if (batch.length === 1) batch[0]!.reject(this.#faults.describe(error))
      else for (const operation of batch) this.#runBatch([operation])
      return
    }
    for (let i = 0; i < batch.length; i += 1) batch[i]!.resolve(results[i] as never)
  }
}

function doNothing(): void {}
