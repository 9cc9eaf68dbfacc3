import type { RouteEntry, RouteStream } from '../../contract/route-stream.ts'
import { StoreError } from './store-error.ts'

export type RoutePlace = Parameters<RouteStream['read']>[0]
export type RouteReadOptions = Parameters<RouteStream['read']>[1]

/** Reads that wait for a message, each woken by the append that brings one. */
export class RouteWaiters {
  readonly #waiting = new Map<string, Set<() => void>>()
  #closed = false

  /** To be called when an append to the partition can be read. */
  wake(routeId: string, partition: number): void {
    if (this.#waiting.size === 0) return
    for (const wake of this.#waiting.get(keyOf({ routeId, partition })) ?? []) wake()
  }

  /** To be called when nobody knows what can be read. */
  wakeAll(): void {
    for (const waiting of this.#waiting.values()) for (const wake of waiting) wake()
  }

  open(): void {
    this.#closed = false
  }

  /** Nobody waits any longer: every read fails with `STORE_CLOSED`. */
  close(): void {
    this.#closed = true
    this.wakeAll()
  }

  /** Calls `readNow` until it finds something, and waits in between for an append. */
  async read(
    place: RoutePlace,
    { waitMs, signal }: RouteReadOptions,
    readNow: () => RouteEntry[] | Promise<RouteEntry[]>,
  ): Promise<RouteEntry[]> {
    const end = performance.now() + waitMs
    while (!signal.aborted) {
      if (this.#closed) throw new StoreError('STORE_CLOSED', 'the store is closed')
      // Before the look: what comes between the look and the wait must be heard.
      const watch = this.#watch(keyOf(place))
      try {
        const found = await readNow()
        const leftMs = end - performance.now()
        if (found.length > 0 || leftMs <= 0) return found
        await watch.within(leftMs, signal)
      } finally {
        watch.end()
      }
    }
    return []
  }

  #watch(key: string) {
    const { promise, resolve } = Promise.withResolvers<void>()
    const wake = () => resolve()
    const others = this.#waiting.get(key)
    if (others === undefined) this.#waiting.set(key, new Set([wake]))
    else others.add(wake)
    return {
      async within(ms: number, signal: AbortSignal): Promise<void> {
        const timer = setTimeout(wake, ms)
        signal.addEventListener('abort', wake)
        if (signal.aborted) wake()
        await promise
        clearTimeout(timer)
        signal.removeEventListener('abort', wake)
      },
      end: () => {
        const waiting = this.#waiting.get(key)
        waiting?.delete(wake)
        if (waiting?.size === 0) this.#waiting.delete(key)
      },
    }
  }
}

const keyOf = ({ routeId, partition }: RoutePlace): string => `${partition}/${routeId}`
