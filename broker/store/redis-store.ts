import { randomUUID } from 'node:crypto'
import { storePrefix } from '../../contract/redis-keys.ts'
import type { ScriptArgument } from '../../contract/redis-script.ts'
import type { RouteStream } from '../../contract/route-stream.ts'
import { type RedisSettingsSource, RedisUnavailable } from '../redis/open-redis.ts'
import { Reconnecting } from '../redis/reconnecting.ts'
import { RedisPipeline, type StoreConnection, type WriteOperation } from './redis-pipeline.ts'
import { readQueuePart } from './redis-queue-reader.ts'
import { RedisRouteStream } from './redis-route-stream.ts'
import {
  decodeAccept,
  decodeMessage,
  decodeSession,
  decodeWill,
  encodeAccept,
  encodeLimits,
  encodeMessage,
  encodeSession,
} from './redis-store-codec.ts'
import { RedisStoreConnection, type StoreDanger } from './redis-store-connection.ts'
import { describeFault, faultOf, toStoreError } from './redis-store-faults.ts'
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
import { isExpired } from './stored-message.ts'

export interface RedisStoreOptions {
  hubUid: string
  settings: RedisSettingsSource
  /** ms since the epoch; decides at `open` what has expired. Default: the system clock. */
  now?: () => number
  /** [0, 1). Default: Math.random. */
  random?: () => number
  /** How long `open` tries to reach Redis, ms. Default 10,000. */
  openTimeoutMs?: number
  /** How long Redis may leave a command unanswered before the connection counts as dead, ms. Default 5,000. */
  timeoutMs?: number
  /** How long `close` waits for what is under way, ms. Default 5,000. */
  closeTimeoutMs?: number
  /** Replicas that have to have a message before it counts as stored (WAIT). Default 0. */
  replicas?: number
  /** Bounds of what waits while Redis is out of reach. Default 100,000 operations and 64 MiB of payload. */
  maxWaiting?: number
  maxWaitingBytes?: number
  /** Hears of failed writes that nobody waits for (acknowledgements, sweeps): each may lead to a repeat. */
  onLazyError?: (error: StoreError) => void
  /** With each turn between connected and not; `fault`: the word of `redisFault`. */
  onHealth?: (healthy: boolean, fault?: string) => void
  /** Told at `open`, when this Redis may lose what it has acknowledged. */
  onDanger?: (dangers: readonly StoreDanger[]) => void
  /** Awaited after each loss of the connection, before anything that waits is stored. */
  beforeResume?: () => Promise<void>
  /** Another broker has taken the store over. Every call fails with `STORE_CLOSED` from now on. */
  onFenced?: () => void
}

/** How often an idle store asks whether it is still the owner; a busy one learns it with each batch. */
const CHECK_MS = 2_000
const NOTHING_STORED: AcceptResult = Object.freeze({ duplicate: false, seqs: [], dropped: [] })
const NOTHING_SAID = (_answers: readonly number[], from: number): number => from

/**
 * A store in Redis, for one broker at a time: opening it takes it from whoever had it, and that broker's next
 * write fails with `STORE_CLOSED` before it changes anything. Answers are given after Redis has answered, so they
 * are as durable as it is (`appendfsync always` for what must survive a crash of Redis).
 *
 * With Redis out of reach calls wait, in order and within bounds, and each runs once: no acknowledgement goes
 * out meanwhile. Faults are `StoreError`s.
 */
export class RedisStore implements Store {
  readonly #options: RedisStoreOptions
  readonly #name: string
  readonly #pipeline: RedisPipeline
  readonly #routes: RedisRouteStream
  readonly #bootId = randomUUID()
  readonly #loop: Reconnecting
  readonly #opened = Promise.withResolvers<StoredState>()
  #state: 'New' | 'Opening' | 'Open' | 'Closed' = 'New'
  #healthy = false
  #lastFault: unknown
  /** The same array until the limits change, so that a batch says them once. */
  #limits: readonly ScriptArgument[] = []
  #toSweep = 0
  #sweeping = false
  #checking: NodeJS.Timeout | undefined

  constructor(options: RedisStoreOptions) {
    this.#options = options
    this.#name = `store of hub ${options.hubUid}`
    const { maxWaiting = 100_000, maxWaitingBytes = 64 * 1024 * 1024 } = options
    this.#pipeline = new RedisPipeline({
      maxWaiting,
      maxWaitingBytes,
      describe: (fault) => describeFault(this.#name, fault),
      onFenced: () => this.#onFenced(),
    })
    const { hubUid, settings } = options
    this.#routes = new RedisRouteStream({ hubUid, settings, barrier: () => this.#turn() })
    this.#loop = new Reconnecting({
      serve: (signal, settled) => this.#serve(signal, settled),
      onFault: (error) => this.#onFault(error),
      random: options.random ?? Math.random,
    })
  }

  async open(limits: StoreLimits): Promise<StoredState> {
    if (this.#state !== 'New') throw new StoreError('STORE_IN_USE', `${this.#name} is open already`)
    this.#state = 'Opening'
    this.setLimits(limits)
    this.#loop.start()
    const late = setTimeout(
      () => this.#opened.reject(toStoreError(this.#name, this.#lastFault)),
      this.#options.openTimeoutMs ?? 10_000,
    )
    try {
      const state = await this.#opened.promise
      this.#state = 'Open'
      this.#checking = setInterval(() => this.#check(), CHECK_MS)
      this.#checking.unref()
      return this.#forgetExpired(state)
    } catch (error) {
      this.#state = 'Closed'
      await this.#loop.stop()
      throw error
    } finally {
      clearTimeout(late)
    }
  }

  /** False while Redis is out of reach: what is accepted waits. */
  healthy(): boolean {
    return this.#healthy
  }

  setLimits(limits: StoreLimits): void {
    this.#limits = encodeLimits(limits)
  }

  /** A worker of another process opens a stream of its own; this one connects when it is first used. */
  routes(): RouteStream {
    return this.#routes
  }

  accept(request: AcceptRequest): AcceptResult | Promise<AcceptResult> {
    const storesNothing =
      request.targets.length === 0 &&
      request.retained === undefined &&
      request.incoming === undefined &&
      request.willOf === undefined &&
      (request.routes?.into.length ?? 0) === 0
    if (storesNothing && this.#state === 'Open' && this.#pipeline.idle) return NOTHING_STORED
    const args = storesNothing ? [] : encodeAccept(request)
    return new Promise((resolve, reject) => {
      this.#submit({
        args,
        setting: this.#limits,
        weight: request.message.payload.length,
        frees:
          request.targets.length === 0 &&
          request.retained !== 'Set' &&
          request.incoming === undefined &&
          request.routes === undefined,
        done: (answers, from) => {
          if (storesNothing) {
            resolve(NOTHING_STORED)
            return from
          }
          const { result, end } = decodeAccept(request, answers, from)
          resolve(result)
          return end
        },
        failed: reject,
      })
    })
  }

  /** Resolves when all that was asked for before has been done. */
  #turn(): Promise<void> {
    return new Promise((resolve, reject) => {
      const run = async () => resolve()
      if (this.#state !== 'Open') reject(describeFault(this.#name, 'NOT_OPEN'))
      else this.#pipeline.submit({ run, failed: reject })
    })
  }

  putSession(session: SessionRecord): Promise<void> {
    return this.#write(['P', session.key, encodeSession(session)])
  }

  async deleteSession(key: string): Promise<void> {
    await this.#write(['D', key], { frees: true })
    this.#toSweep += 1
    void this.#sweep()
  }

  readQueue(key: string, afterSeq: number, limit: number, now: number): Promise<QueueEntry[]> {
    return new Promise((resolve, reject) => {
      const run = async (connection: StoreConnection) =>
        resolve(await readQueuePart(connection, { key, afterSeq, limit, now }))
      if (this.#state !== 'Open') reject(describeFault(this.#name, 'NOT_OPEN'))
      else this.#pipeline.submit({ run, failed: reject })
    })
  }

  async release(key: string, seq: number): Promise<void> {
    if (isSeq(seq)) await this.#write(['R', key, String(seq)], { frees: true })
  }

  acknowledge(key: string, seq: number): void {
    if (!isSeq(seq) || this.#state !== 'Open') return
    const failed = (error: StoreError) => this.#options.onLazyError?.(error)
    const operation = { args: ['K', key, String(seq)], weight: 0, frees: true, done: NOTHING_SAID, failed }
    this.#pipeline.submit(operation, true)
  }

  forgetIncoming(key: string, packetId: number): Promise<void> {
    return this.#write(['F', key, String(packetId)], { frees: true })
  }

  putWill({ sessionKey, deviceId, message }: WillRecord): Promise<void> {
    return this.#write(['W', sessionKey, encodeMessage(message, deviceId)], {
      weight: message.payload.length,
    })
  }

  deleteWill(sessionKey: string): Promise<void> {
    return this.#write(['X', sessionKey], { frees: true })
  }

  async close(): Promise<void> {
    const wasOpen = this.#state === 'Open'
    this.#state = 'Closed'
    clearInterval(this.#checking)
    await this.#routes.close()
    if (wasOpen) {
      const timeout = Promise.withResolvers<void>()
      const late = setTimeout(timeout.resolve, this.#options.closeTimeoutMs ?? 5_000)
      await Promise.race([this.#pipeline.drained(), timeout.promise])
      clearTimeout(late)
    }
    this.#pipeline.end(describeFault(this.#name, 'NOT_OPEN'))
    this.#opened.reject(describeFault(this.#name, 'NOT_OPEN'))
    this.#opened.promise.catch(() => {})
    await this.#loop.stop()
  }

  #write(
    args: readonly ScriptArgument[],
    { weight = 0, frees = false }: { weight?: number; frees?: boolean } = {},
  ): Promise<void> {
    return new Promise((resolve, reject) => {
      const done = (_answers: readonly number[], from: number) => {
        resolve()
        return from
      }
      this.#submit({ args, weight, frees, done, failed: reject })
    })
  }

  #submit(operation: WriteOperation): void {
    if (this.#state === 'Open') this.#pipeline.submit(operation)
    else operation.failed(describeFault(this.#name, 'NOT_OPEN'))
  }

  async #serve(signal: AbortSignal, settled: () => void): Promise<void> {
    const { settings, timeoutMs = 5_000, replicas = 0, hubUid } = this.#options
    const prefix = storePrefix(hubUid)
    const bootId = this.#bootId
    const connection = await RedisStoreConnection.open({
      settings,
      prefix,
      bootId,
      timeoutMs,
      replicas,
      signal,
    })
    const closed = connection.untilClosed().then(() => {
      throw new RedisUnavailable('CLOSED')
    })
    closed.catch(() => {})
    const onAbort = () => connection.close()
    signal.addEventListener('abort', onAbort)
    try {
      if (this.#state === 'Opening') {
        this.#toSweep = await connection.claim()
        const dangers = await connection.dangers()
        if (dangers.length > 0) this.#options.onDanger?.(dangers)
        this.#opened.resolve(await readState(connection))
      } else {
        await Promise.race([this.#options.beforeResume?.(), closed])
      }
      settled()
      this.#setHealthy(true)
      this.#pipeline.attach(connection)
      await closed
    } finally {
      signal.removeEventListener('abort', onAbort)
      this.#pipeline.detach()
      connection.close()
    }
  }

  /** What has expired while nobody looked. A will stays: it is due once its session has ended. */
  #forgetExpired(state: StoredState): StoredState {
    const now = (this.#options.now ?? Date.now)()
    const lazily = (...args: string[]) => {
      const failed = (error: StoreError) => this.#options.onLazyError?.(error)
      this.#pipeline.submit({ args, weight: 0, frees: true, done: NOTHING_SAID, failed })
    }
    const isOver = ({ expiresAt }: SessionRecord) => expiresAt !== undefined && expiresAt <= now
    for (const session of state.sessions) if (isOver(session)) lazily('E', session.key)
    for (const message of state.retained) if (isExpired(message, now)) lazily('T', message.topic)
    void this.#sweep()
    return {
      sessions: state.sessions.filter((session) => !isOver(session)),
      retained: state.retained.filter((message) => !isExpired(message, now)),
      wills: state.wills,
    }
  }

  /** Lets go of deleted queues bit by bit: a long one must not hold up Redis. */
  async #sweep(): Promise<void> {
    if (this.#sweeping || this.#state !== 'Open') return
    this.#sweeping = true
    try {
      while (this.#toSweep > 0 && this.#state === 'Open') this.#toSweep = await this.#sweepOnce()
    } catch (error) {
      // The next deletion or the next start goes on from here.
      this.#options.onLazyError?.(toStoreError(this.#name, error))
    } finally {
      this.#sweeping = false
    }
  }

  #sweepOnce(): Promise<number> {
    return new Promise((resolve, reject) => {
      const done = (answers: readonly number[], from: number) => {
        resolve(answers[from] ?? 0)
        return from + 1
      }
      this.#submit({ args: ['S'], weight: 0, frees: true, done, failed: reject })
    })
  }

  /** Finds out about a new owner, and about a connection that died without a word. */
  #check(): void {
    if (!this.#pipeline.idle || !this.#healthy) return
    const run = async (connection: StoreConnection) => {
      await connection.read(['', '0', '0', '0', '1'])
    }
    this.#pipeline.submit({ run, failed: () => {} })
  }

  #onFault(error: unknown): void {
    this.#lastFault = error
    this.#setHealthy(false, faultOf(error))
    // No later attempt can end otherwise.
    if (faultOf(error) === 'TOONEW') this.#opened.reject(toStoreError(this.#name, error))
  }

  #setHealthy(healthy: boolean, fault?: string): void {
    if (this.#healthy === healthy || this.#state === 'Closed') return
    this.#healthy = healthy
    this.#options.onHealth?.(healthy, fault)
  }

  #onFenced(): void {
    this.#state = 'Closed'
    clearInterval(this.#checking)
    this.#healthy = false
    void this.#loop.stop()
    this.#options.onFenced?.()
  }
}

async function readState(connection: RedisStoreConnection): Promise<StoredState> {
  const state: StoredState = { sessions: [], retained: [], wills: [] }
  await connection.readHash('sessions', (_, value) => state.sessions.push(decodeSession(value.toString())))
  await connection.readHash('retained', (_, value) => state.retained.push(decodeMessage(value)))
  await connection.readHash('wills', (key, value) => state.wills.push(decodeWill(key.toString(), value)))
  return state
}

const isSeq = (seq: number): boolean => Number.isSafeInteger(seq) && seq > 0
