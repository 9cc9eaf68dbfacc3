/**
 * What lies between a broker and the worker that delivers its routes: one bounded stream of messages a route,
 * split into partitions by topic, and its dead letters. Brokers append in the step that accepts the message, so
 * what a device was told is stored is in the stream; workers read, deliver and settle. One contract suite holds
 * every implementation (memory, embedded, Redis) to the same promises.
 */

/** A message that a route has taken. */
export interface RouteEntry {
  /** Its place in the partition: opaque, unique within the route, the same when it is read again. */
  position: string
  /** Stable over retries, restarts and replays: a sink with a unique key on it stores the message once. */
  id: string
  topic: string
  payload: Buffer
  qos: 0 | 1 | 2
  retain: boolean
  /** When the hub accepted the message, ms since the epoch. */
  time: number
  /** The device that published it; absent for token networks, events and replies. */
  deviceId?: string
  /** MQTT 5 content type. */
  contentType?: string
  /** Ids of the routes whose replies led to this message, oldest first: ends loops. */
  trail?: readonly string[]
}

/** What to append when a message is accepted. */
export interface RouteAppend {
  routeId: string
  partitions: number
  /**
   * Bounds of the whole route, all partitions together; bytes are those of topic, payload and content type. A
   * message that is larger than all of `bytes` is dropped itself, under either policy.
   */
  buffer: { messages: number; bytes: number; overflow: 'DropOldest' | 'DropNewest' }
}

export interface RouteBacklog {
  messages: number
  bytes: number
  /** `time` of the entry that was appended first; undefined when nothing waits. */
  oldestTime: number | undefined
  /** Messages lost to the bound since the stream was made. */
  dropped: number
  deadLetters: number
}

export interface DeadLetter {
  entry: RouteEntry
  attempts: number
  /** Stable words and texts without payload or secret. */
  firstError: RouteFailure
  lastError: RouteFailure
  /** ms since the epoch. */
  deadAt: number
}

export interface RouteFailure {
  code: string
  message: string
  /** ms since the epoch. */
  time: number
}

export interface RouteStream {
  /**
   * Entries after `after` (from the start when absent), oldest first, at most `limit`, fewer when they are large.
   * Waits up to `waitMs` when there are none; resolves with none once `signal` aborts. Nothing is taken out: a
   * worker that dies is followed by one that reads the same again.
   */
  read(
    place: { routeId: string; partition: number },
    options: { after?: string; limit: number; waitMs: number; signal: AbortSignal },
  ): Promise<RouteEntry[]>
  /** Delivered: the entries are gone when this resolves. Unknown positions are done already. */
  settle(place: { routeId: string; partition: number }, positions: readonly string[]): Promise<void>
  /**
   * Given up: settled and kept as dead letters in one step. Beyond `maxMessages` those with the oldest entries
   * make room. A letter whose entry is gone already is kept too; one that is there already is replaced.
   */
  bury(
    place: { routeId: string; partition: number },
    letters: readonly DeadLetter[],
    bounds: { maxMessages: number },
  ): Promise<void>
  /** Dead letters after `after` (an entry's position), in the order of their entries, fewer when they are large. */
  deadLetters(routeId: string, options: { after?: string; limit: number }): Promise<DeadLetter[]>
  /**
   * Puts dead letters back at the end of their partitions, with the same ids, in one step; tells how many. Nothing
   * is dropped to make room: those for which there is none stay dead letters.
   */
  replay(routeId: string, positions: readonly string[], append: RouteAppend): Promise<number>
  /** Removes dead letters, by position or all older than a time (ms since the epoch); tells how many. */
  purge(routeId: string, which: { positions: readonly string[] } | { deadBefore: number }): Promise<number>
  backlog(routeId: string): Promise<RouteBacklog>
  /** Every route of which something is kept: messages, dead letters, or only a count. */
  routeIds(): Promise<string[]>
  /** Removes everything of a route that is gone. */
  removeRoute(routeId: string): Promise<void>
}

/** The partition of a topic: FNV-1a, so that every broker and every restart agrees. */
export function routePartition(topic: string, partitions: number): number {
  let hash = 0x811c9dc5
  for (let i = 0; i < topic.length; i += 1) {
    hash ^= topic.charCodeAt(i)
    hash = Math.imul(hash, 0x01000193)
  }
  return (hash >>> 0) % partitions
}
