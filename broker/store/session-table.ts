/** What a database store keeps in memory of each session, so that `accept` need not count rows. */
export interface SessionState {
  id: number
  /** Entries that still hold a message; released ones are outside the bounds. */
  count: number
  bytes: number
  nextSeq: number
  /** Number of the transaction that saved this state for a rollback. */
  savedIn: number
}

/**
 * Session states with the transactions of the database: `rollback` puts everything back to how it was at
 * `begin`. Call `save` before changing a state.
 */
export class SessionTable {
  readonly #states = new Map<string, SessionState>()
  readonly #tailless = new Set<SessionState>()
  readonly #undo: Array<() => void> = []
  #transaction = 0

  get(key: string): SessionState | undefined {
    return this.#states.get(key)
  }

  begin(): void {
    this.#transaction += 1
  }

  commit(): void {
    this.#undo.length = 0
    this.#tailless.clear()
  }

  rollback(): void {
    for (let undo = this.#undo.pop(); undo !== undefined; undo = this.#undo.pop()) undo()
    this.#tailless.clear()
  }

  add(key: string, state: SessionState): void {
    this.#states.set(key, state)
    this.onRollback(() => this.#states.delete(key))
  }

  delete(key: string): void {
    const state = this.#states.get(key)
    if (state === undefined) return
    this.#states.delete(key)
    this.onRollback(() => this.#states.set(key, state))
  }

  save(state: SessionState): void {
    if (state.savedIn === this.#transaction) return
    state.savedIn = this.#transaction
    const { count, bytes, nextSeq } = state
    this.onRollback(() => Object.assign(state, { count, bytes, nextSeq }))
  }

  /** The entry with the highest seq is going: the queue no longer tells where to go on counting. */
  markTailRemoved(state: SessionState): void {
    this.#tailless.add(state)
  }

  /** Sessions whose `nextSeq` has to be written before COMMIT. */
  tailsRemoved(): Iterable<SessionState> {
    return this.#tailless
  }

  onRollback(undo: () => void): void {
    this.#undo.push(undo)
  }
}
