/**
 * One prepared statement on one connection, run for many rows of parameters with a single wait for the answer.
 * Everything up to a Sync of PostgreSQL's protocol is one transaction, so all rows are stored or none.
 */
import type { ClientBase, Connection, Submittable } from 'pg'
import type { ParameterValue } from './parameter-values.ts'

/** The part of pg's connection that its type package has wrong. */
type Wire = Pick<Connection, 'stream' | 'once'> & {
  parse(query: { name: string; text: string }): void
  describe(what: { type: 'S'; name: string }): void
  bind(config: { statement: string; values: readonly ParameterValue[] }): void
  execute(config: { portal: string; rows: number }): void
  sync(): void
}

/** Answers that nobody asked for: rows of a SELECT, counts, row descriptions. */
abstract class Exchange<T> implements Submittable {
  readonly done: Promise<T>
  protected resolve!: (value: T) => void
  #reject!: (error: Error) => void

  constructor() {
    this.done = new Promise<T>((resolve, reject) => {
      this.resolve = resolve
      this.#reject = reject
    })
  }

  abstract submit(connection: Connection): void
  abstract handleReadyForQuery(): void

  handleError(error: Error): void {
    this.#reject(error)
  }
  handleRowDescription(): void {}
  handleDataRow(): void {}
  handlePortalSuspended(): void {}
  handleEmptyQuery(): void {}
  handleCommandComplete(): void {}
  handleCopyInResponse(connection: { sendCopyFail(message: string): void }): void {
    connection.sendCopyFail('a route has nothing to copy from')
  }
  handleCopyData(): void {}
}

class Preparation extends Exchange<number[]> {
  readonly #statement: { name: string; text: string }
  #types: number[] = []

  constructor(statement: { name: string; text: string }) {
    super()
    this.#statement = statement
  }

  override submit(connection: Connection): void {
    const wire = connection as unknown as Wire
    wire.once('parameterDescription', ({ dataTypeIDs }: { dataTypeIDs: number[] }) => {
      this.#types = dataTypeIDs
    })
    wire.stream.cork()
    wire.parse(this.#statement)
    wire.describe({ type: 'S', name: this.#statement.name })
    wire.sync()
    wire.stream.uncork()
  }

  override handleReadyForQuery(): void {
    this.resolve(this.#types)
  }
}

class Execution extends Exchange<void> {
  readonly #statement: string
  readonly #rows: readonly (readonly ParameterValue[])[]

  constructor(statement: string, rows: readonly (readonly ParameterValue[])[]) {
    super()
    this.#statement = statement
    this.#rows = rows
  }

  override submit(connection: Connection): void {
    const wire = connection as unknown as Wire
    wire.stream.cork()
    for (const values of this.#rows) {
      wire.bind({ statement: this.#statement, values })
      wire.execute({ portal: '', rows: 0 })
    }
    wire.sync()
    wire.stream.uncork()
  }

  override handleReadyForQuery(): void {
    this.resolve()
  }
}

/** Object ids of the types that the server has found for the parameters. Rejects with pg's DatabaseError. */
export async function prepareStatement(
  client: ClientBase,
  statement: { name: string; text: string },
): Promise<number[]> {
  return await client.query(new Preparation(statement)).done
}

/** Rejects with pg's DatabaseError; no row is stored then. */
export async function executeStatement(
  client: ClientBase,
  name: string,
  rows: readonly (readonly ParameterValue[])[],
): Promise<void> {
  await client.query(new Execution(name, rows)).done
}
