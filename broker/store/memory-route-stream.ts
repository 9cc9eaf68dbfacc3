import {
  type DeadLetter,
  type RouteAppend,
  type RouteBacklog,
  type RouteEntry,
  type RouteStream,
  routePartition,
} from '../../contract/route-stream.ts'
import {
  hasRoom,
  mayMakeRoom,
  positionOf,
  routeBytes,
  routeContent,
  routeFacts,
  seqOf,
  seqsOf,
} from './route-entry.ts'
import { type RoutePlace, type RouteReadOptions, RouteWaiters } from './route-waiters.ts'
import { SparseLog } from './sparse-log.ts'
import type { ApplicationMessage, RouteDrops, RouteIntake } from './store.ts'

interface Stored {
  seq: number
  entry: RouteEntry
  bytes: number
}

interface MemoryRoute {
  partitions: Map<number, SparseLog<Stored>>
  /** In the order of their entries. */
  letters: Array<{ seq: number; letter: DeadLetter }>
  messages: number
  bytes: number
  dropped: number
}

/** Route streams that live as long as this process. Entries are shared with readers, who must not change them. */
export class MemoryRouteStream implements RouteStream {
  readonly #routes = new Map<string, MemoryRoute>()
  readonly #waiters = new RouteWaiters()
  #lastSeq = 0

  open(): void {
    this.#waiters.open()
  }

  close(): void {
    this.#waiters.close()
  }

  /** `message` is kept as it is; undefined: no route had to drop anything. */
  append(message: ApplicationMessage, intake: RouteIntake): RouteDrops | undefined {
    const content = routeContent(message)
    const facts = routeFacts(intake)
    const bytes = routeBytes(content)
    const drops: Array<{ routeId: string; count: number }> = []
    for (const append of intake.into) {
      const { routeId } = append
      const route = this.#route(routeId)
      const before = route.messages
      const fits = makeRoom(route, bytes, append)
      const count = before - route.messages + (fits ? 0 : 1)
      if (count > 0) {
        route.dropped += count
        drops.push({ routeId, count })
      }
      if (fits) this.#push(route, append, { ...content, ...facts })
    }
    return drops.length === 0 ? undefined : drops
  }

  read(place: RoutePlace, options: RouteReadOptions): Promise<RouteEntry[]> {
    const { after, limit } = options
    const afterSeq = after === undefined ? 0 : (seqOf(after) ?? 0)
    return this.#waiters.read(place, options, () => {
      const partition = this.#routes.get(place.routeId)?.partitions.get(place.partition)
      return partition?.after(afterSeq, limit).map(({ entry }) => entry) ?? []
    })
  }

  async settle({ routeId, partition }: RoutePlace, positions: readonly string[]): Promise<void> {
    const route = this.#routes.get(routeId)
    const log = route?.partitions.get(partition)
    if (route === undefined || log === undefined) return
    for (const seq of seqsOf(positions)) {
      const stored = log.take(seq)
      if (stored !== undefined) discount(route, stored)
    }
  }

  async bury(
    place: RoutePlace,
    letters: readonly DeadLetter[],
    { maxMessages }: { maxMessages: number },
  ): Promise<void> {
    const route = this.#route(place.routeId)
    for (const letter of letters) {
      const seq = seqOf(letter.entry.position)
      if (seq === undefined) continue
      const stored = route.partitions.get(place.partition)?.take(seq)
      if (stored !== undefined) discount(route, stored)
      const at = firstFrom(route.letters, seq)
      route.letters.splice(at, route.letters[at]?.seq === seq ? 1 : 0, { seq, letter })
    }
    route.letters.splice(0, Math.max(0, route.letters.length - maxMessages))
  }

  async deadLetters(
    routeId: string,
    { after, limit }: { after?: string; limit: number },
  ): Promise<DeadLetter[]> {
    const letters = this.#routes.get(routeId)?.letters ?? []
    const first = after === undefined ? 0 : firstFrom(letters, (seqOf(after) ?? 0) + 1)
    return letters.slice(first, first + limit).map(({ letter }) => letter)
  }

  async replay(routeId: string, positions: readonly string[], append: RouteAppend): Promise<number> {
    const route = this.#routes.get(routeId)
    if (route === undefined) return 0
    const asked = new Set(positions)
    const before = route.letters.length
    route.letters = route.letters.filter(({ letter: { entry } }) => {
      if (!asked.has(entry.position) || !hasRoom(route, routeBytes(entry), append)) return true
      this.#push(route, append, entry)
      return false
    })
    return before - route.letters.length
  }

  async purge(
    routeId: string,
    which: { positions: readonly string[] } | { deadBefore: number },
  ): Promise<number> {
    const route = this.#routes.get(routeId)
    if (route === undefined) return 0
    const before = route.letters.length
    const asked = 'positions' in which ? new Set(which.positions) : undefined
    route.letters = route.letters.filter(({ letter: { entry, deadAt } }) =>
      'deadBefore' in which ? deadAt >= which.deadBefore : asked?.has(entry.position) !== true,
    )
    return before - route.letters.length
  }

  async backlog(routeId: string): Promise<RouteBacklog> {
    const route = this.#routes.get(routeId)
    if (route === undefined) {
      return { messages: 0, bytes: 0, oldestTime: undefined, dropped: 0, deadLetters: 0 }
    }
    const { messages, bytes, dropped, letters } = route
    const oldestTime = oldestOf(route)?.first()?.entry.time
    return { messages, bytes, oldestTime, dropped, deadLetters: letters.length }
  }

  async routeIds(): Promise<string[]> {
    return [...this.#routes.keys()]
  }

  async removeRoute(routeId: string): Promise<void> {
    this.#routes.delete(routeId)
  }

  #route(routeId: string): MemoryRoute {
    let route = this.#routes.get(routeId)
    if (route === undefined) {
      route = { partitions: new Map(), letters: [], messages: 0, bytes: 0, dropped: 0 }
      this.#routes.set(routeId, route)
    }
    return route
  }

  #push(
    route: MemoryRoute,
    { routeId, partitions }: RouteAppend,
    content: Omit<RouteEntry, 'position'>,
  ): void {
    const partition = routePartition(content.topic, partitions)
    this.#lastSeq += 1
    const seq = this.#lastSeq
    const bytes = routeBytes(content)
    let log = route.partitions.get(partition)
    if (log === undefined) {
      log = new SparseLog()
      route.partitions.set(partition, log)
    }
    log.push(seq, { seq, entry: { ...content, position: positionOf(seq) }, bytes })
    route.messages += 1
    route.bytes += bytes
    this.#waiters.wake(routeId, partition)
  }
}

/** False: the new message has to go. */
function makeRoom(route: MemoryRoute, bytes: number, append: RouteAppend): boolean {
  if (hasRoom(route, bytes, append)) return true
  if (!mayMakeRoom(bytes, append)) return false
  do {
    const log = oldestOf(route)
    const oldest = log?.first()
    if (log === undefined || oldest === undefined) return false
    log.take(oldest.seq)
    discount(route, oldest)
  } while (!hasRoom(route, bytes, append))
  return true
}

/** The partition whose first entry is the oldest of the route. */
function oldestOf({ partitions }: MemoryRoute): SparseLog<Stored> | undefined {
  let oldest: SparseLog<Stored> | undefined
  let lowest = Number.POSITIVE_INFINITY
  for (const log of partitions.values()) {
    const seq = log.first()?.seq ?? Number.POSITIVE_INFINITY
    if (seq < lowest) [oldest, lowest] = [log, seq]
  }
  return oldest
}

function discount(route: MemoryRoute, { bytes }: Stored): void {
  route.messages -= 1
  route.bytes -= bytes
}

/** Index of the first letter whose number is `seq` or above. */
function firstFrom(letters: ReadonlyArray<{ seq: number }>, seq: number): number {
  let low = 0
  let high = letters.length
  while (low < high) {
    const middle = (low + high) >>> 1
    if (letters[middle]!.seq < seq) low = middle + 1
    else high = middle
  }
  return low
}
