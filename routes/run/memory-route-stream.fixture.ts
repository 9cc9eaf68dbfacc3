/** The simplest stream that keeps what `route-stream.ts` promises, for tests of the worker. */
import {
  type DeadLetter,
  type RouteAppend,
  type RouteBacklog,
  type RouteEntry,
  type RouteStream,
  routePartition,
} from '../../contract/route-stream.ts'

type Place = Parameters<RouteStream['read']>[0]

export class MemoryRouteStream implements RouteStream {
  /** By route and partition, oldest first. */
  readonly #entries = new Map<string, RouteEntry[]>()
  readonly #letters = new Map<string, { partition: number; letter: DeadLetter }[]>()
  readonly #waiting = new Set<() => void>()
  #last = 0
  reads = 0
  /** Set to make every call fail, as a store out of reach does. */
  fault: Error | undefined

  append(routeId: string, partitions: number, message: Partial<RouteEntry> & { topic: string }): RouteEntry {
    this.#last += 1
    const position = String(this.#last).padStart(12, '0')
    const entry: RouteEntry = {
      id: `id-${this.#last}`,
      payload: Buffer.from(String(this.#last)),
      qos: 1,
      retain: false,
      time: Date.UTC(2026, 0, 1),
      ...message,
      position,
    }
    this.#list({ routeId, partition: routePartition(entry.topic, partitions) }).push(entry)
    for (const wake of [...this.#waiting]) wake()
    return entry
  }

  async read(place: Place, options: Parameters<RouteStream['read']>[1]): Promise<RouteEntry[]> {
    const { after = '', limit, waitMs, signal } = options
    this.#check()
    this.reads += 1
    const found = () =>
      this.#list(place)
        .filter(({ position }) => position > after)
        .slice(0, limit)
    if (found().length === 0 && waitMs > 0 && !signal.aborted) {
      await new Promise<void>((resolve) => {
        const wake = () => {
          this.#waiting.delete(wake)
          signal.removeEventListener('abort', wake)
          resolve()
        }
        this.#waiting.add(wake)
        signal.addEventListener('abort', wake)
      })
    }
    this.#check()
    return found()
  }

  async settle(place: Place, positions: readonly string[]): Promise<void> {
    this.#check()
    const gone = new Set(positions)
    this.#entries.set(
      keyOf(place),
      this.#list(place).filter(({ position }) => !gone.has(position)),
    )
  }

  async bury(place: Place, letters: readonly DeadLetter[], bounds: { maxMessages: number }): Promise<void> {
    await this.settle(
      place,
      letters.map(({ entry }) => entry.position),
    )
    const kept = this.#lettersOf(place.routeId)
    kept.push(...letters.map((letter) => ({ partition: place.partition, letter })))
    kept.splice(0, Math.max(0, kept.length - bounds.maxMessages))
  }

  async deadLetters(routeId: string, options: { after?: string; limit: number }): Promise<DeadLetter[]> {
    return this.#lettersOf(routeId)
      .map(({ letter }) => letter)
      .filter(({ entry }) => entry.position > (options.after ?? ''))
      .slice(0, options.limit)
  }

  async replay(routeId: string, positions: readonly string[], { partitions }: RouteAppend): Promise<number> {
    const chosen = this.#lettersOf(routeId).filter(({ letter }) => positions.includes(letter.entry.position))
    this.#keep(routeId, (letter) => !positions.includes(letter.entry.position))
    for (const { letter } of chosen) this.append(routeId, partitions, letter.entry)
    return chosen.length
  }

  async purge(routeId: string, which: Parameters<RouteStream['purge']>[1]): Promise<number> {
    const before = this.#lettersOf(routeId).length
    this.#keep(routeId, ({ entry, deadAt }) =>
      'positions' in which ? !which.positions.includes(entry.position) : deadAt >= which.deadBefore,
    )
    return before - this.#lettersOf(routeId).length
  }

  async backlog(routeId: string): Promise<RouteBacklog> {
    this.#check()
    const waiting = [...this.#entries]
      .filter(([key]) => key.startsWith(`${routeId}/`))
      .flatMap(([, entries]) => entries)
    return {
      messages: waiting.length,
      bytes: waiting.reduce((sum, { payload }) => sum + payload.length, 0),
      oldestTime: waiting.length === 0 ? undefined : Math.min(...waiting.map(({ time }) => time)),
      dropped: this.dropped,
      deadLetters: this.#lettersOf(routeId).length,
    }
  }

  dropped = 0

  async routeIds(): Promise<string[]> {
    const places = [...this.#entries.keys()].map((key) => key.slice(0, key.lastIndexOf('/')))
    return [...new Set([...places, ...this.#letters.keys()])]
  }

  async removeRoute(routeId: string): Promise<void> {
    for (const key of this.#entries.keys()) if (key.startsWith(`${routeId}/`)) this.#entries.delete(key)
    this.#letters.delete(routeId)
  }

  #check(): void {
    if (this.fault !== undefined) throw this.fault
  }

  #list(place: Place): RouteEntry[] {
    const list = this.#entries.get(keyOf(place)) ?? []
    this.#entries.set(keyOf(place), list)
    return list
  }

  #lettersOf(routeId: string) {
    const list = this.#letters.get(routeId) ?? []
    this.#letters.set(routeId, list)
    return list
  }

  #keep(routeId: string, wanted: (letter: DeadLetter) => boolean): void {
    this.#letters.set(
      routeId,
      this.#lettersOf(routeId).filter(({ letter }) => wanted(letter)),
    )
  }
}

const keyOf = ({ routeId, partition }: Place) => `${routeId}/${partition}`
