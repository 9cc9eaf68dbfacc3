import type { RouteStatements } from './sqlite-route-statements.ts'

/** What is kept in memory of each route, so that an append need not count rows. */
export interface RouteState {
  routeId: string
  id: number
  lastSeq: number
  messages: number
  bytes: number
  dropped: number
  letters: number
  /** All that may hold entries. */
  partitions: Set<number>
}

interface StreamRow {
  id: number
  route: string
  last_seq: number
  messages: number
  bytes: number
  dropped: number
  letters: number
}

/** States of the routes with the transactions of the database: `rollback` puts everything back. */
export class RouteTable {
  /** Ids of removed streams that still have rows. */
  removed: number[] = []
  readonly #sql: RouteStatements
  readonly #states = new Map<string, RouteState>()
  /** Changed in this transaction. */
  readonly #touched = new Set<RouteState>()
  readonly #undo: Array<() => void> = []
  #appended: Array<{ routeId: string; partition: number }> = []
  #lastId = 0

  constructor(sql: RouteStatements) {
    this.#sql = sql
  }

  load(): void {
    const byId = new Map<number, RouteState>()
    for (const row of this.#sql.allStreams.all() as unknown as StreamRow[]) {
      const { id, route, last_seq, messages, bytes, dropped, letters } = row
      const state: RouteState = {
        routeId: route,
        id,
        lastSeq: last_seq,
        messages,
        bytes,
        dropped,
        letters,
        partitions: new Set(),
      }
      this.#states.set(route, state)
      byId.set(id, state)
    }
    const removed = new Set<number>()
    for (const row of [...this.#sql.allPartitions.all(), ...this.#sql.letterStreams.all()]) {
      const stream = Number(row['stream'])
      const state = byId.get(stream)
      if (state === undefined) removed.add(stream)
      else if (row['partition'] !== undefined) state.partitions.add(Number(row['partition']))
    }
    this.removed = [...removed]
    this.#lastId = Math.max(0, ...byId.keys(), ...removed)
  }

  get(routeId: string): RouteState | undefined {
    return this.#states.get(routeId)
  }

  get routeIds(): string[] {
    return [...this.#states.keys()]
  }

  add(routeId: string): RouteState {
    this.#lastId += 1
    const id = this.#lastId
    this.#sql.insertStream.run(id, routeId)
    const counts = { lastSeq: 0, messages: 0, bytes: 0, dropped: 0, letters: 0 }
    const state = { routeId, id, ...counts, partitions: new Set<number>() }
    this.#states.set(routeId, state)
    this.#undo.push(() => this.#states.delete(routeId))
    return state
  }

  /** To be called before a state changes. */
  touch(state: RouteState): void {
    if (this.#touched.has(state)) return
    this.#touched.add(state)
    const { lastSeq, messages, bytes, dropped, letters } = state
    this.#undo.push(() => Object.assign(state, { lastSeq, messages, bytes, dropped, letters }))
  }

  appended(state: RouteState, partition: number): void {
    state.partitions.add(partition)
    this.#appended.push({ routeId: state.routeId, partition })
  }

  remove(routeId: string): void {
    const state = this.#states.get(routeId)
    if (state === undefined) return
    const { id } = state
    this.#sql.deleteStream.run(id)
    this.#states.delete(routeId)
    this.removed.push(id)
    this.#undo.push(() => {
      this.#states.set(routeId, state)
      this.removed = this.removed.filter((other) => other !== id)
    })
  }

  /** Nothing is left of a removed stream. */
  swept(id: number): void {
    this.removed = this.removed.filter((other) => other !== id)
    this.#undo.push(() => this.removed.unshift(id))
  }

  save(): void {
    for (const { id, lastSeq, messages, bytes, dropped, letters } of this.#touched) {
      this.#sql.saveStream.run(lastSeq, messages, bytes, dropped, letters, id)
    }
  }

  commit(onAppended: (routeId: string, partition: number) => void): void {
    const appended = this.#appended
    this.#end()
    for (const { routeId, partition } of appended) onAppended(routeId, partition)
  }

  rollback(): void {
    for (let undo = this.#undo.pop(); undo !== undefined; undo = this.#undo.pop()) undo()
    this.#end()
  }

  #end(): void {
    this.#undo.length = 0
    this.#touched.clear()
    if (this.#appended.length > 0) this.#appended = []
  }
}
