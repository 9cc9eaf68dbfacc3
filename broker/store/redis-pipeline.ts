import { redisFault } from '../../contract/redis-access.ts'
import type { ScriptArgument } from '../../contract/redis-script.ts'
import type { StoreError } from './store-error.ts'

/** Operations in one script run: enough to spread its cost, few enough not to hold up others on the same Redis. */
const MAX_BATCH = 200
/** Payload bytes in one run; a single larger operation still goes through, alone. */
const MAX_BATCH_BYTES = 1024 * 1024
/** Questions asked at a time: each answer may be a page of payloads. */
const MAX_READS = 16
/** How long a write that nobody waits for may stay here, ms. */
const LAZY_MS = 20

/** A part of a batch. */
export interface WriteOperation {
  /** Empty: nothing to store, only its turn to wait for. */
  args: readonly ScriptArgument[]
  /** What has to be said before, once for all operations in a row that have the very same. */
  setting?: readonly ScriptArgument[]
  /** Payload bytes. */
  weight: number
  /** Only gives memory back, so that it may run where Redis has none left. */
  frees: boolean
  /** Takes its answers, which start at `from`, and gives where they end. */
  done(answers: readonly number[], from: number): number
  failed(error: StoreError): void
}

/** A question that changes nothing of note, so that it may be asked twice. */
export interface ReadOperation {
  run(connection: StoreConnection): Promise<void>
  failed(error: StoreError): void
}

/** The door to Redis while there is one. Rejections are those of the client. */
export interface StoreConnection {
  /** Runs a batch; numbers rise by one, and the same number again answers without running. */
  write(number: number, args: readonly ScriptArgument[], frees: boolean): Promise<string>
  /** Asks the scripts of the store; see `readScript`. */
  read(args: readonly ScriptArgument[]): Promise<Buffer[]>
  close(): void
}

export interface PipelineOptions {
  /** Operations and payload bytes that may wait while Redis is out of reach. */
  maxWaiting: number
  maxWaitingBytes: number
  /** What callers see of a fault of Redis. */
  describe(fault: string): StoreError
  /** Another broker owns the store: nothing more will be written. */
  onFenced(): void
}

type Turn =
  | { kind: 'write'; number: number; operations: WriteOperation[] }
  | { kind: 'read'; operations: ReadOperation[] }

/**
 * Brings operations to Redis in the order they came, one batch at a time: while Redis works on one, the next
 * gathers. A batch whose answer was lost with the connection is sent again under its number, so it is run once.
 */
export class RedisPipeline {
  readonly #options: PipelineOptions
  #waiting: (WriteOperation | ReadOperation)[] = []
  #waitingBytes = 0
  #callers = 0
  #turn: Turn | undefined
  #lastNumber = 0
  #connection: StoreConnection | undefined
  #immediate: NodeJS.Immediate | undefined
  #timer: NodeJS.Timeout | undefined
  #ended: StoreError | undefined
  #onIdle: (() => void) | undefined

  constructor(options: PipelineOptions) {
    this.#options = options
  }

  /** No caller waits, so that an answer given now overtakes none. */
  get idle(): boolean {
    return this.#callers === 0
  }

  /** `lazy`: nobody waits; it goes with the next batch, or alone after a moment. */
  submit(operation: WriteOperation | ReadOperation, lazy = false): void {
    const weight = weightOf(operation)
    const refusal = this.#ended ?? (this.#isFull(weight) ? this.#options.describe('BUSY') : undefined)
    if (refusal !== undefined) {
      operation.failed(refusal)
      return
    }
    this.#waiting.push(operation)
    this.#waitingBytes += weight
    if (!lazy) this.#callers += 1
    if (lazy && this.#waiting.length < MAX_BATCH) this.#timer ??= setTimeout(this.#next, LAZY_MS)
    else this.#immediate ??= setImmediate(this.#next)
  }

  attach(connection: StoreConnection): void {
    this.#connection = connection
    if (this.#turn === undefined) this.#next()
    else void this.#run(this.#turn, connection)
  }

  detach(): void {
    this.#connection = undefined
  }

  /** Resolves when nothing waits any more. */
  async drained(): Promise<void> {
    if (this.#turn === undefined && this.#waiting.length === 0) return
    await new Promise<void>((resolve) => {
      this.#onIdle = resolve
      this.#next()
    })
  }

  /** Refuses what waits and what comes. */
  end(error: StoreError): void {
    if (this.#ended !== undefined) return
    this.#ended = error
    this.#cancel()
    const turn = this.#turn
    this.#turn = undefined
    for (const operation of turn?.operations ?? []) operation.failed(error)
    for (const operation of this.#waiting.splice(0)) operation.failed(error)
    this.#waitingBytes = 0
    this.#callers = 0
    this.#onIdle?.()
  }

  readonly #next = (): void => {
    this.#cancel()
    const connection = this.#connection
    if (this.#turn !== undefined || connection === undefined || this.#ended !== undefined) return
    const first = this.#waiting[0]
    if (first === undefined) {
      this.#callers = 0
      this.#onIdle?.()
      return
    }
    this.#turn = isWrite(first)
      ? { kind: 'write', number: ++this.#lastNumber, operations: this.#take(isWrite, MAX_BATCH) }
      : { kind: 'read', operations: this.#take(isRead, MAX_READS) }
    void this.#run(this.#turn, connection)
  }

  async #run(turn: Turn, connection: StoreConnection): Promise<void> {
    try {
      if (turn.kind === 'read') await Promise.all(turn.operations.map((read) => read.run(connection)))
      else await this.#write(turn, connection)
    } catch (error) {
      this.#onFault(turn, connection, redisFault(error))
      return
    }
    // A connection that was given up may still answer; by then the turn is taken again on another.
    if (this.#turn !== turn || this.#connection !== connection) return
    this.#turn = undefined
    // Not at once: what this turn has answered may bring more.
    this.#immediate ??= setImmediate(this.#next)
  }

  async #write(turn: Turn & { kind: 'write' }, connection: StoreConnection): Promise<void> {
    const args = argumentsOf(turn.operations)
    const frees = turn.operations.every((operation) => operation.frees)
    // Nothing to store: those that only waited for their turn have had it.
    const said = args.length === 0 ? '' : await connection.write(turn.number, args, frees)
    if (this.#turn !== turn || this.#connection !== connection) return
    const answers = said === '' ? [] : said.split(',').map(Number)
    let at = 0
    for (const operation of turn.operations) at = operation.done(answers, at)
  }

  #onFault(turn: Turn, connection: StoreConnection, fault: string): void {
    if (this.#turn !== turn || this.#connection !== connection) return
    if (fault === 'FENCED') {
      this.end(this.#options.describe(fault))
      this.#options.onFenced()
    } else if (fault === 'OOM' && turn.kind === 'write') {
      this.#refuseStoring(turn, connection)
    } else if (fault === 'ERR' || fault === 'WRONGTYPE' || fault === 'UNKNOWN') {
      // A fault of the script or of what it found: another time it would be the same.
      this.#turn = undefined
      const error = this.#options.describe(fault)
      for (const operation of turn.operations) operation.failed(error)
      this.#immediate ??= setImmediate(this.#next)
    } else {
      // The connection or the server is not fit; the batch waits for another.
      this.#connection = undefined
      connection.close()
    }
  }

  /** Nothing of the batch was run. What gives memory back is, so that there may be room later. */
  #refuseStoring(turn: Turn & { kind: 'write' }, connection: StoreConnection): void {
    const error = this.#options.describe('OOM')
    for (const operation of turn.operations) if (!operation.frees) operation.failed(error)
    turn.operations = turn.operations.filter((operation) => operation.frees)
    void this.#run(turn, connection)
  }

  #take<T extends WriteOperation | ReadOperation>(
    is: (it: WriteOperation | ReadOperation) => it is T,
    most: number,
  ): T[] {
    const taken: T[] = []
    let weight = 0
    for (const operation of this.#waiting) {
      if (!is(operation)) break
      weight += weightOf(operation)
      if (taken.length > 0 && (taken.length >= most || weight > MAX_BATCH_BYTES)) break
      taken.push(operation)
    }
    this.#waiting.splice(0, taken.length)
    for (const operation of taken) this.#waitingBytes -= weightOf(operation)
    return taken
  }

  #isFull(weight: number): boolean {
    const { maxWaiting, maxWaitingBytes } = this.#options
    if (this.#waiting.length === 0) return false
    return this.#waiting.length >= maxWaiting || this.#waitingBytes + weight > maxWaitingBytes
  }

  #cancel(): void {
    clearImmediate(this.#immediate)
    clearTimeout(this.#timer)
    this.#immediate = undefined
    this.#timer = undefined
  }
}

function argumentsOf(operations: readonly WriteOperation[]): ScriptArgument[] {
  const all: ScriptArgument[] = []
  let said: readonly ScriptArgument[] | undefined
  for (const { args, setting } of operations) {
    if (setting !== undefined && setting !== said && args.length > 0) {
      all.push(...setting)
      said = setting
    }
    // Not spread: a message may go to more sessions than a call may have arguments.
    for (const arg of args) all.push(arg)
  }
  return all
}

const isWrite = (it: WriteOperation | ReadOperation): it is WriteOperation => 'args' in it
const isRead = (it: WriteOperation | ReadOperation): it is ReadOperation => 'run' in it
const weightOf = (it: WriteOperation | ReadOperation): number => (isWrite(it) ? it.weight : 0)
