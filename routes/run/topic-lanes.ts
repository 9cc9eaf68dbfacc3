/**
 * Messages in memory, one queue ("lane") a topic: a lane that is busy or held back keeps its messages in order
 * and stands in nobody's way. Pure: no time, no I/O. Lanes take turns, so a busy topic starves no other.
 */
export interface Queued {
  readonly bytes: number
  /** Goes by itself: it was in a batch that failed. */
  alone: boolean
}

export interface TakeBounds {
  maxMessages: number
  maxBytes: number
}

interface Lane<T extends Queued> {
  key: string
  queue: T[]
  /** Of `queue`. */
  bytes: number
  state: 'Ready' | 'Busy' | 'Held'
}

export class TopicLanes<T extends Queued> {
  readonly #lanes = new Map<string, Lane<T>>()
  /** Insertion order is the order of turns. */
  readonly #ready = new Set<Lane<T>>()
  /** Those of them whose first message goes by itself. */
  readonly #readyAlone = new Set<Lane<T>>()
  #readyItems = 0
  #readyBytes = 0
  #heldItems = 0

  get readyItems(): number {
    return this.#readyItems
  }

  get readyBytes(): number {
    return this.#readyBytes
  }

  /** Messages in lanes that wait for a retry, first ones included. */
  get heldItems(): number {
    return this.#heldItems
  }

  get heldLanes(): number {
    let count = 0
    for (const lane of this.#lanes.values()) if (lane.state === 'Held') count += 1
    return count
  }

  has(key: string): boolean {
    return this.#lanes.has(key)
  }

  push(key: string, item: T): void {
    let lane = this.#lanes.get(key)
    if (lane === undefined) {
      lane = { key, queue: [], bytes: 0, state: 'Ready' }
      this.#lanes.set(key, lane)
      this.#ready.add(lane)
    }
    lane.queue.push(item)
    lane.bytes += item.bytes
    if (lane.state === 'Held') this.#heldItems += 1
    if (lane.state !== 'Ready') return
    this.#readyItems += 1
    this.#readyBytes += item.bytes
  }

  /** The next message that has to go by itself, if one is ready; its lane is busy until `finish`. */
  takeAlone(): T | undefined {
    const [lane] = this.#readyAlone
    return lane === undefined ? undefined : this.#takeFrom(lane, 1)[0]
  }

  /** As many ready messages as fit, but at least one if any is ready; their lanes are busy until `finish`. */
  take({ maxMessages, maxBytes }: TakeBounds): T[] {
    const taken: T[] = []
    let bytes = 0
    for (const lane of this.#ready) {
      const room = { maxMessages: maxMessages - taken.length, maxBytes: maxBytes - bytes }
      const count = fitting(lane, room, taken.length === 0)
      const more = count === 0 ? [] : this.#takeFrom(lane, count)
      taken.push(...more)
      bytes += bytesOf(more)
      if (taken.length >= maxMessages || bytes >= maxBytes) break
    }
    return taken
  }

  /** The messages taken from `key` are done with; `back` are those that are not, first in the lane again. */
  finish(key: string, back: readonly T[] = []): void {
    const lane = this.#lanes.get(key)
    if (lane === undefined) return
    putBack(lane, back)
    if (lane.queue.length === 0) this.#lanes.delete(key)
    else this.#makeReady(lane)
  }

  /** As `finish`, but nothing of the lane is ready until `release`. */
  hold(key: string, back: readonly T[]): void {
    const lane = this.#lanes.get(key)
    if (lane === undefined) return
    putBack(lane, back)
    lane.state = 'Held'
    this.#heldItems += lane.queue.length
  }

  release(key: string): void {
    const lane = this.#lanes.get(key)
    if (lane?.state !== 'Held') return
    this.#heldItems -= lane.queue.length
    this.#makeReady(lane)
  }

  /** Forgets what waits behind the first message of every held lane, and gives it back. */
  evictHeld(): { key: string; items: T[] }[] {
    const evicted: { key: string; items: T[] }[] = []
    for (const lane of this.#lanes.values()) {
      if (lane.state !== 'Held' || lane.queue.length < 2) continue
      const items = lane.queue.splice(1)
      this.#heldItems -= items.length
      lane.bytes = bytesOf(lane.queue)
      evicted.push({ key: lane.key, items })
    }
    return evicted
  }

  #takeFrom(lane: Lane<T>, count: number): T[] {
    this.#ready.delete(lane)
    this.#readyAlone.delete(lane)
    this.#readyItems -= lane.queue.length
    this.#readyBytes -= lane.bytes
    lane.state = 'Busy'
    const taken = lane.queue.splice(0, count)
    lane.bytes -= bytesOf(taken)
    return taken
  }

  #makeReady(lane: Lane<T>): void {
    lane.state = 'Ready'
    this.#ready.add(lane)
    if (lane.queue[0]?.alone === true) this.#readyAlone.add(lane)
    this.#readyItems += lane.queue.length
    this.#readyBytes += lane.bytes
  }
}

/** How many of the first messages of the lane go into a batch; one at least when it is the `first` lane. */
function fitting<T extends Queued>(lane: Lane<T>, room: TakeBounds, first: boolean): number {
  let count = 0
  let bytes = 0
  for (const item of lane.queue) {
    const fits = count < room.maxMessages && bytes + item.bytes <= room.maxBytes
    if (item.alone || (!fits && !(first && count === 0))) break
    bytes += item.bytes
    count += 1
  }
  return count
}

function putBack<T extends Queued>(lane: Lane<T>, items: readonly T[]): void {
  if (items.length === 0) return
  lane.queue = [...items, ...lane.queue]
  lane.bytes += bytesOf(items)
}

const bytesOf = (items: readonly Queued[]) => items.reduce((sum, { bytes }) => sum + bytes, 0)
