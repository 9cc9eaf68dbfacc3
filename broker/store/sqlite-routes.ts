import type { DatabaseSync, SQLInputValue, StatementSync } from 'node:sqlite'
import {
  type DeadLetter,
  type RouteAppend,
  type RouteBacklog,
  type RouteEntry,
  routePartition,
} from '../../contract/route-stream.ts'
import { hasRoom, mayMakeRoom, routeBytes, routeContent, seqOf } from './route-entry.ts'
import type { RoutePlace } from './route-waiters.ts'
import type { BodyReference, SqliteBodies } from './sqlite-bodies.ts'
import {
  decodeEntry,
  decodeLetter,
  type EntryRow,
  encodeEnd,
  encodeFacts,
  type LetterRow,
  messageOfEntry,
  type TakenRow,
} from './sqlite-route-codec.ts'
import { prepareRouteStatements, type RouteStatements } from './sqlite-route-statements.ts'
import { type RouteState, RouteTable } from './sqlite-route-table.ts'
import type { ApplicationMessage, RouteDrops, RouteIntake } from './store.ts'

/** A read stops after so many bytes: a page of the largest messages must not fill the memory. */
const READ_BYTES = 8 * 1024 * 1024
/** Rows of removed routes that one sweep takes, about 3 ms of work. */
const SWEEP_ROWS = 500

/** The streams of all routes. Everything here runs inside a transaction of the caller. */
export class SqliteRoutes {
  readonly #bodies: SqliteBodies
  readonly #sql: RouteStatements
  readonly #table: RouteTable

  constructor(db: DatabaseSync, bodies: SqliteBodies) {
    this.#bodies = bodies
    this.#sql = prepareRouteStatements(db)
    this.#table = new RouteTable(this.#sql)
  }

  /** Reads what survives. */
  load(): void {
    this.#table.load()
  }

  /** To be called before COMMIT. */
  beforeCommit(): void {
    this.#table.save()
  }

  /** Tells what can be read now. */
  afterCommit(onAppended: (routeId: string, partition: number) => void): void {
    this.#table.commit(onAppended)
  }

  rollback(): void {
    this.#table.rollback()
  }

  /** `reference` is the message begun in the bodies; undefined: no route had to drop anything. */
  append(message: ApplicationMessage, intake: RouteIntake, reference: BodyReference): RouteDrops | undefined {
    const bytes = routeBytes(routeContent(message))
    const facts = encodeFacts(intake)
    const drops: Array<{ routeId: string; count: number }> = []
    for (const append of intake.into) {
      const { routeId } = append
      const state = this.#table.get(routeId) ?? this.#table.add(routeId)
      this.#table.touch(state)
      const before = state.messages
      const fits = this.#makeRoom(state, bytes, append)
      const count = before - state.messages + (fits ? 0 : 1)
      if (count > 0) {
        state.dropped += count
        drops.push({ routeId, count })
      }
      if (!fits) continue
      this.#push(state, routePartition(message.topic, append.partitions), [
        reference.body,
        reference.shared,
        bytes,
        ...facts,
      ])
      state.bytes += bytes
      this.#bodies.addRef()
    }
    return drops.length === 0 ? undefined : drops
  }

  read({ routeId, partition }: RoutePlace, afterSeq: number, limit: number): RouteEntry[] {
    const state = this.#table.get(routeId)
    if (state === undefined) return []
    const rows = this.#sql.readEntries.iterate(state.id, partition, afterSeq, limit)
    return page(rows, (row) => decodeEntry(row as unknown as EntryRow))
  }

  settle({ routeId, partition }: RoutePlace, seqs: readonly number[]): void {
    const state = this.#table.get(routeId)
    if (state === undefined) return
    for (const seq of seqs) {
      const row = this.#takeEntry(state, partition, seq)
      if (row !== undefined) this.#bodies.dropRef(row)
    }
  }

  bury({ routeId, partition }: RoutePlace, letters: readonly DeadLetter[], maxMessages: number): void {
    const state = this.#table.get(routeId) ?? this.#table.add(routeId)
    for (const letter of letters) this.#buryOne(state, partition, letter)
    const surplus = state.letters - maxMessages
    if (surplus > 0) this.#removeLetters(state, this.#sql.oldestLetters, [state.id, surplus])
  }

  deadLetters(routeId: string, afterSeq: number, limit: number): DeadLetter[] {
    const state = this.#table.get(routeId)
    if (state === undefined) return []
    const rows = this.#sql.readLetters.iterate(state.id, afterSeq, limit)
    return page(rows, (row) => decodeLetter(row as unknown as LetterRow))
  }

  replay(routeId: string, seqs: readonly number[], append: RouteAppend): number {
    const state = this.#table.get(routeId)
    if (state === undefined) return 0
    let count = 0
    for (const seq of [...new Set(seqs)].sort((a, b) => a - b)) {
      const found = this.#sql.findLetter.get(state.id, seq) as { bytes: number; topic: string } | undefined
      if (found === undefined || !hasRoom(state, found.bytes, append)) continue
      const { body, shared, bytes, id, time, device_id, trail } = this.#takeLetter(state, seq)!
      const partition = routePartition(found.topic, append.partitions)
      this.#push(state, partition, [body, shared, bytes, id, time, device_id, trail])
      state.bytes += bytes
      count += 1
    }
    return count
  }

  purge(routeId: string, seqs: readonly number[]): number {
    const state = this.#table.get(routeId)
    if (state === undefined) return 0
    return this.#removeSeqs(state, seqs)
  }

  /** At most `limit` of them. */
  purgeDeadBefore(routeId: string, time: number, limit: number): number {
    const state = this.#table.get(routeId)
    if (state === undefined) return 0
    return this.#removeLetters(state, this.#sql.lettersDeadBefore, [state.id, time, limit])
  }

  backlog(routeId: string): RouteBacklog {
    const state = this.#table.get(routeId)
    if (state === undefined) {
      return { messages: 0, bytes: 0, oldestTime: undefined, dropped: 0, deadLetters: 0 }
    }
    const { messages, bytes, dropped, letters } = state
    return { messages, bytes, oldestTime: this.#oldest(state)?.time, dropped, deadLetters: letters }
  }

  routeIds(): string[] {
    return this.#table.routeIds
  }

  removeRoute(routeId: string): void {
    this.#table.remove(routeId)
  }

  /** Removed routes whose rows are still to be swept. */
  get toSweep(): number {
    return this.#table.removed.length
  }

  /** Takes a bounded number of rows of a removed route. */
  sweep(): void {
    const [id] = this.#table.removed
    if (id === undefined) return
    const entries = this.#sql.entriesOf.all(id, SWEEP_ROWS) as unknown as Array<{
      partition: number
      seq: number
    }>
    for (const { partition, seq } of entries) this.#drop(this.#sql.takeEntry.get(id, partition, seq))
    if (entries.length > 0) return
    const letters = this.#sql.oldestLetters.all(id, SWEEP_ROWS) as unknown as Array<{ seq: number }>
    for (const { seq } of letters) this.#drop(this.#sql.takeLetter.get(id, seq))
    if (letters.length < SWEEP_ROWS) this.#table.swept(id)
  }

  #drop(row: unknown): void {
    this.#bodies.dropRef(row as BodyReference)
  }

  /** `values`: columns in the order body, shared, bytes, id, time, device_id, trail. */
  #push(state: RouteState, partition: number, values: readonly SQLInputValue[]): void {
    this.#table.touch(state)
    state.lastSeq += 1
    this.#sql.insertEntry.run(state.id, partition, state.lastSeq, ...values)
    state.messages += 1
    this.#table.appended(state, partition)
  }

  /** False: the new message has to go. */
  #makeRoom(state: RouteState, bytes: number, append: RouteAppend): boolean {
    if (hasRoom(state, bytes, append)) return true
    if (!mayMakeRoom(bytes, append)) return false
    do {
      const oldest = this.#oldest(state)
      const row = oldest === undefined ? undefined : this.#takeEntry(state, oldest.partition, oldest.seq)
      if (row === undefined) return false
      this.#bodies.dropRef(row)
    } while (!hasRoom(state, bytes, append))
    return true
  }

  #oldest(state: RouteState): { partition: number; seq: number; time: number } | undefined {
    let oldest: { partition: number; seq: number; time: number } | undefined
    for (const partition of state.partitions) {
      const row = this.#sql.oldestEntry.get(state.id, partition) as { seq: number; time: number } | undefined
      if (row !== undefined && row.seq < (oldest?.seq ?? Number.POSITIVE_INFINITY))
        oldest = { partition, ...row }
    }
    return oldest
  }

  #buryOne(state: RouteState, partition: number, letter: DeadLetter): void {
    const { entry } = letter
    const seq = seqOf(entry.position)
    if (seq === undefined) return
    this.#table.touch(state)
    const known = this.#takeEntry(state, partition, seq) ?? this.#takeLetter(state, seq)
    const { body, shared } = known ?? this.#storeAgain(entry)
    this.#sql.insertLetter.run(
      state.id,
      seq,
      body,
      shared,
      routeBytes(entry),
      ...encodeFacts(entry),
      ...encodeEnd(letter),
    )
    state.letters += 1
  }

  /** The message of an entry that was dropped while it was being delivered. */
  #storeAgain(entry: RouteEntry): BodyReference {
    const reference = this.#bodies.begin(1)
    this.#bodies.addRef()
    this.#bodies.finish(messageOfEntry(entry))
    return reference
  }

  /** The caller has its message now. */
  #takeEntry(state: RouteState, partition: number, seq: number): TakenRow | undefined {
    const row = this.#sql.takeEntry.get(state.id, partition, seq) as unknown as TakenRow | undefined
    if (row === undefined) return undefined
    this.#table.touch(state)
    state.messages -= 1
    state.bytes -= row.bytes
    return row
  }

  #takeLetter(state: RouteState, seq: number): TakenRow | undefined {
    const row = this.#sql.takeLetter.get(state.id, seq) as unknown as TakenRow | undefined
    if (row === undefined) return undefined
    this.#table.touch(state)
    state.letters -= 1
    return row
  }

  #removeLetters(state: RouteState, which: StatementSync, parameters: readonly SQLInputValue[]): number {
    const rows = which.all(...parameters) as unknown as Array<{ seq: number }>
    return this.#removeSeqs(
      state,
      rows.map(({ seq }) => seq),
    )
  }

  #removeSeqs(state: RouteState, seqs: readonly number[]): number {
    let count = 0
    for (const seq of seqs) {
      const row = this.#takeLetter(state, seq)
      if (row === undefined) continue
      this.#bodies.dropRef(row)
      count += 1
    }
    return count
  }
}

/** Decodes rows until there are bytes enough for one answer. */
function page<T extends RouteEntry | DeadLetter>(
  rows: Iterable<Record<string, unknown>>,
  decode: (row: Record<string, unknown>) => T,
): T[] {
  const found: T[] = []
  let bytes = 0
  for (const row of rows) {
    bytes += (row['payload'] as Uint8Array).byteLength
    if (found.length > 0 && bytes > READ_BYTES) break
    found.push(decode(row))
  }
  return found
}
