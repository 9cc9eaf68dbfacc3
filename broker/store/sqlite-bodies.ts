import type { DatabaseSync, StatementSync } from 'node:sqlite'
import { encodeMessage } from './sqlite-codec.ts'
import type { ApplicationMessage } from './store.ts'

/** A row's hold on a stored message. */
export interface BodyReference {
  body: number
  /** 1: there were several references from the start, counted in `body_refs`. */
  shared: number
}

/**
 * Messages stored once for all that refer to them. One is begun, referred to and finished within one
 * operation; nothing is written for a message that nobody refers to in the end.
 */
export class SqliteBodies {
  readonly #insert: StatementSync
  readonly #delete: StatementSync
  readonly #insertRefs: StatementSync
  readonly #dropRef: StatementSync
  readonly #deleteRefs: StatementSync
  #lastId: number
  #begun: BodyReference = { body: 0, shared: 0 }
  #refs = 0

  constructor(db: DatabaseSync) {
    this.#insert = db.prepare(
      'INSERT INTO body (id, topic, payload, qos, retain, properties, expires_at) VALUES (?, ?, ?, ?, ?, ?, ?)',
    )
    this.#delete = db.prepare('DELETE FROM body WHERE id = ?')
    this.#insertRefs = db.prepare('INSERT INTO body_refs (body, refs) VALUES (?, ?)')
    this.#dropRef = db.prepare('UPDATE body_refs SET refs = refs - 1 WHERE body = ? RETURNING refs')
    this.#deleteRefs = db.prepare('DELETE FROM body_refs WHERE body = ?')
    this.#lastId = Number(db.prepare('SELECT max(id) AS last FROM body').get()?.['last'] ?? 0)
  }

  /** `mostRefs`: an upper bound of the references to come. */
  begin(mostRefs: number): BodyReference {
    this.#lastId += 1
    this.#refs = 0
    this.#begun = { body: this.#lastId, shared: mostRefs > 1 ? 1 : 0 }
    return this.#begun
  }

  /** A row with a reference to the message begun was written. */
  addRef(): void {
    this.#refs += 1
  }

  finish(message: ApplicationMessage): void {
    const { body, shared } = this.#begun
    this.#begun = { body: 0, shared: 0 }
    if (this.#refs === 0) return
    this.#insert.run(body, ...encodeMessage(message))
    if (shared === 1) this.#insertRefs.run(body, this.#refs)
  }

  /** The row that held `reference` is gone; with the last one the message goes too. */
  dropRef({ body, shared }: BodyReference): void {
    // A queue of one may lose the very message that is being stored, when a session is named twice.
    if (body === this.#begun.body) this.#refs -= 1
    else if (shared === 0) this.#delete.run(body)
    else if (this.#dropRef.get(body)?.['refs'] === 0) {
      this.#deleteRefs.run(body)
      this.#delete.run(body)
    }
  }
}
