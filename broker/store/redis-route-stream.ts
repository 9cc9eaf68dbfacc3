import type { Redis } from 'ioredis'
import { busChannel, routesPrefix } from '../../contract/redis-keys.ts'
import type { RedisScript, ScriptRunner } from '../../contract/redis-script.ts'
import {
  type DeadLetter,
  type RouteAppend,
  type RouteBacklog,
  type RouteEntry,
  type RouteStream,
  routePartition,
} from '../../contract/route-stream.ts'
import {
  closeRedis,
  openRedis,
  type RedisSettingsSource,
  RedisUnavailable,
  untilClosed,
} from '../redis/open-redis.ts'
import { Reconnecting } from '../redis/reconnecting.ts'
import { decodeLetter, decodeRouteEntry, encodeLetter } from './redis-route-codec.ts'
import {
  backlogScript,
  buryScript,
  lettersScript,
  purgeOldScript,
  purgeScript,
  readEntriesScript,
  removeGoneScript,
  removeRouteScript,
  replayScript,
  settleScript,
} from './redis-route-script.ts'
import { describeFault, faultOf, toStoreError } from './redis-store-faults.ts'
import { routeBytes, seqOf, seqsOf } from './route-entry.ts'
import { type RoutePlace, type RouteReadOptions, RouteWaiters } from './route-waiters.ts'

export interface RedisRouteStreamOptions {
  hubUid: string
  settings: RedisSettingsSource
  /** [0, 1). Default: Math.random. */
  random?: () => number
  /** How long Redis may leave a command unanswered before the connection counts as dead, ms. Default 5,000. */
  timeoutMs?: number
  /** How long a call waits for a connection before it fails, ms. Default 5,000. */
  connectTimeoutMs?: number
  /**
   * Who settles and buries here, as `routes:owner` has to name it: with another there, both are refused. Default:
   * nobody has to own the routes.
   */
  fence?: string
  /** Awaited before each call: what the same process has on its way to Redis. */
  barrier?: () => Promise<void>
  /** With each turn between connected and not; `fault`: the word of `redisFault`. */
  onHealth?: (healthy: boolean, fault?: string) => void
}

interface Connections {
  commands: Redis
  /** Hears of appends. */
  bus: Redis
}

/** Letters that one script removes when many are to go. */
const PURGE_ROWS = 500
/** A connection that only listens has to hear something to know that it lives. */
const PING_MS = 2_000

/**
 * The streams of a hub in Redis, for workers in any process. Connects with the first call; with Redis out of reach
 * calls fail with `STORE_UNAVAILABLE`, and those who wait for messages find out with their next look.
 */
export class RedisRouteStream implements RouteStream {
  readonly #options: RedisRouteStreamOptions
  readonly #name: string
  readonly #ids: string
  readonly #fence: string
  readonly #waiters = new RouteWaiters()
  readonly #loop: Reconnecting
  #connected = Promise.withResolvers<Redis>()
  #isStarted = false
  #isClosed = false
  #lastFault: unknown

  constructor(options: RedisRouteStreamOptions) {
    this.#options = options
    this.#name = `routes of hub ${options.hubUid}`
    this.#ids = `${routesPrefix(options.hubUid)}ids`
    this.#fence = options.fence ?? ''
    this.#waiters.open()
    this.#loop = new Reconnecting({
      serve: (signal, settled) => this.#serve(signal, settled),
      onFault: (error) => {
        this.#lastFault = error
        options.onHealth?.(false, faultOf(error))
      },
      random: options.random ?? Math.random,
    })
  }

  read(place: RoutePlace, options: RouteReadOptions): Promise<RouteEntry[]> {
    const { routeId, partition } = place
    const { after, limit } = options
    return this.#waiters.read(place, options, async () => {
      const reply = await this.#run(readEntriesScript, [routeId, partition, startAfter(after), limit])
      return pairs(reply, decodeRouteEntry)
    })
  }

  async settle({ routeId, partition }: RoutePlace, positions: readonly string[]): Promise<void> {
    await this.#run(settleScript, [this.#fence, routeId, partition, ...seqsOf(positions)])
  }

  async bury(
    { routeId, partition }: RoutePlace,
    letters: readonly DeadLetter[],
    { maxMessages }: { maxMessages: number },
  ): Promise<void> {
    const each = letters.flatMap((letter) => {
      const seq = seqOf(letter.entry.position)
      return seq === undefined ? [] : [seq, letter.deadAt, encodeLetter(letter)]
    })
    await this.#run(buryScript, [this.#fence, routeId, partition, maxMessages, ...each])
  }

  async deadLetters(
    routeId: string,
    { after, limit }: { after?: string; limit: number },
  ): Promise<DeadLetter[]> {
    return pairs(await this.#run(lettersScript, [routeId, startAfter(after), limit]), decodeLetter)
  }

  async replay(routeId: string, positions: readonly string[], append: RouteAppend): Promise<number> {
    const { messages, bytes } = append.buffer
    const asked = new Set(seqsOf(positions))
    let count = 0
    // Where a letter goes is told by its topic, which only the letter knows.
    for (const seq of [...asked].sort((a, b) => a - b)) {
      const [letter] = await this.deadLetters(routeId, { after: String(seq - 1), limit: 1 })
      if (letter === undefined || letter.entry.position !== String(seq)) continue
      const { topic, time } = letter.entry
      const partition = routePartition(topic, append.partitions)
      const place = [seq, partition, routeBytes(letter.entry), time]
      count += Number(await this.#run(replayScript, [routeId, messages, bytes, ...place]))
    }
    return count
  }

  /** In steps: a million letters at once would hold up Redis. */
  async purge(
    routeId: string,
    which: { positions: readonly string[] } | { deadBefore: number },
  ): Promise<number> {
    let total = 0
    if ('positions' in which) {
      const seqs = seqsOf(which.positions)
      for (let first = 0; first < seqs.length; first += PURGE_ROWS)
        total += Number(await this.#run(purgeScript, [routeId, ...seqs.slice(first, first + PURGE_ROWS)]))
      return total
    }
    for (let count = PURGE_ROWS; count === PURGE_ROWS; total += count)
      count = Number(await this.#run(purgeOldScript, [routeId, which.deadBefore, PURGE_ROWS]))
    return total
  }

  async backlog(routeId: string): Promise<RouteBacklog> {
    const reply = (await this.#run(backlogScript, [routeId])) as Buffer[]
    const [messages = 0, bytes = 0, dropped = 0, deadLetters = 0] = reply.map(Number)
    const oldest = String(reply[4])
    return { messages, bytes, oldestTime: oldest === '' ? undefined : Number(oldest), dropped, deadLetters }
  }

  async routeIds(): Promise<string[]> {
    return await this.#call((redis) => redis.smembers(this.#ids))
  }

  async removeRoute(routeId: string): Promise<void> {
    await this.#run(removeRouteScript, [routeId])
  }

  /**
   * Removes what is kept of routes that the hub no longer has; tells which. `known`: those that need no look. All
   * others are looked up in the stored state in the same step: a broker may hear of a new route, and take messages
   * for it, before this process does.
   */
  async removeGone(known: ReadonlySet<string>): Promise<string[]> {
    const unknown = (await this.routeIds()).filter((routeId) => !known.has(routeId))
    if (unknown.length === 0) return []
    return ((await this.#run(removeGoneScript, unknown)) as Buffer[]).map(String)
  }

  async close(): Promise<void> {
    this.#isClosed = true
    this.#waiters.close()
    this.#connected.promise.catch(() => {})
    this.#connected.reject(describeFault(this.#name, 'NOT_OPEN'))
    await this.#loop.stop()
  }

  #run(script: RedisScript, args: readonly (string | number | Buffer)[]): Promise<unknown> {
    return this.#call((redis) => {
      // Payloads are no text.
      const binary: ScriptRunner = { call: (command, all) => redis.callBuffer(command, all) }
      return script.run(binary, [this.#ids], args)
    })
  }

  async #call<T>(run: (redis: Redis) => Promise<T>): Promise<T> {
    if (this.#isClosed) throw describeFault(this.#name, 'NOT_OPEN')
    await this.#options.barrier?.()
    try {
      return await run(await this.#connection())
    } catch (error) {
      throw toStoreError(this.#name, error)
    }
  }

  async #connection(): Promise<Redis> {
    if (!this.#isStarted) {
      this.#isStarted = true
      this.#loop.start()
    }
    const late = Promise.withResolvers<never>()
    const timer = setTimeout(
      () => late.reject(toStoreError(this.#name, this.#lastFault)),
      this.#options.connectTimeoutMs ?? 5_000,
    )
    try {
      return await Promise.race([this.#connected.promise, late.promise])
    } finally {
      clearTimeout(timer)
    }
  }

  async #serve(signal: AbortSignal, settled: () => void): Promise<void> {
    const { commands, bus } = await this.#open(signal)
    const closed = Promise.race([untilClosed(commands), untilClosed(bus)]).then(() => {
      throw new RedisUnavailable('CLOSED')
    })
    closed.catch(() => {})
    const pinging = setInterval(() => void bus.ping().catch(() => {}), PING_MS)
    const onAbort = () => {
      closeRedis(commands)
      closeRedis(bus)
    }
    signal.addEventListener('abort', onAbort)
    try {
      bus.on('message', (_, place: string) => {
        const slash = place.indexOf('/')
        this.#waiters.wake(place.slice(slash + 1), Number(place.slice(0, slash)))
      })
      await bus.subscribe(busChannel(this.#options.hubUid, 'routes'))
      settled()
      this.#options.onHealth?.(true)
      this.#connected.resolve(commands)
      // What came while nobody listened.
      this.#waiters.wakeAll()
      await closed
    } finally {
      clearInterval(pinging)
      signal.removeEventListener('abort', onAbort)
      if (!this.#isClosed) this.#connected = Promise.withResolvers<Redis>()
      onAbort()
    }
  }

  async #open(signal: AbortSignal): Promise<Connections> {
    const { settings, timeoutMs = 5_000 } = this.#options
    const commands = await openRedis({ settings, name: 'hublet-routes', timeoutMs, signal })
    try {
      return { commands, bus: await openRedis({ settings, name: 'hublet-routes-bus', timeoutMs, signal }) }
    } catch (error) {
      closeRedis(commands)
      throw error
    }
  }
}

/** From the start for a position that is none of ours. */
const startAfter = (after: string | undefined): number => (after === undefined ? 0 : (seqOf(after) ?? 0))

function pairs<T>(reply: unknown, decode: (seq: number, bytes: Buffer) => T): T[] {
  const parts = reply as Buffer[]
  const all: T[] = []
  for (let at = 0; at + 1 < parts.length; at += 2) all.push(decode(Number(parts[at]), parts[at + 1]!))
  return all
}
