import type {
  DeadLetter,
  RouteAppend,
  RouteBacklog,
  RouteEntry,
  RouteStream,
} from '../../contract/route-stream.ts'
import { seqOf, seqsOf } from './route-entry.ts'
import type { RoutePlace, RouteReadOptions, RouteWaiters } from './route-waiters.ts'
import type { SqliteRoutes } from './sqlite-routes.ts'

/** Dead letters that one transaction removes when many are to go. */
const PURGE_ROWS = 500

export interface SqliteRouteStreamParts {
  /** Runs in a transaction; resolves after COMMIT. `weight`: payload bytes it writes. */
  submit: <T>(run: (routes: SqliteRoutes) => T, weight?: number) => Promise<T>
  waiters: RouteWaiters
  /** Rows of a removed route are left to be swept. */
  onRemoved: () => void
}

/** The streams of a SQLite store, for workers in the same process. Rejects with `StoreError`. */
export class SqliteRouteStream implements RouteStream {
  readonly #parts: SqliteRouteStreamParts

  constructor(parts: SqliteRouteStreamParts) {
    this.#parts = parts
  }

  read(place: RoutePlace, options: RouteReadOptions): Promise<RouteEntry[]> {
    const { submit, waiters } = this.#parts
    const { after, limit } = options
    const afterSeq = startAfter(after)
    return waiters.read(place, options, () => submit((routes) => routes.read(place, afterSeq, limit)))
  }

  settle(place: RoutePlace, positions: readonly string[]): Promise<void> {
    const seqs = seqsOf(positions)
    return this.#parts.submit((routes) => routes.settle(place, seqs))
  }

  bury(
    place: RoutePlace,
    letters: readonly DeadLetter[],
    { maxMessages }: { maxMessages: number },
  ): Promise<void> {
    return this.#parts.submit((routes) => routes.bury(place, letters, maxMessages))
  }

  deadLetters(routeId: string, { after, limit }: { after?: string; limit: number }): Promise<DeadLetter[]> {
    const afterSeq = startAfter(after)
    return this.#parts.submit((routes) => routes.deadLetters(routeId, afterSeq, limit))
  }

  replay(routeId: string, positions: readonly string[], append: RouteAppend): Promise<number> {
    const seqs = seqsOf(positions)
    return this.#parts.submit((routes) => routes.replay(routeId, seqs, append))
  }

  /** In steps: a million letters at once would stop the event loop. */
  async purge(
    routeId: string,
    which: { positions: readonly string[] } | { deadBefore: number },
  ): Promise<number> {
    const { submit } = this.#parts
    let total = 0
    if ('positions' in which) {
      const seqs = seqsOf(which.positions)
      for (let first = 0; first < seqs.length; first += PURGE_ROWS) {
        const some = seqs.slice(first, first + PURGE_ROWS)
        total += await submit((routes) => routes.purge(routeId, some))
      }
      return total
    }
    for (let count = PURGE_ROWS; count === PURGE_ROWS; total += count) {
      count = await submit((routes) => routes.purgeDeadBefore(routeId, which.deadBefore, PURGE_ROWS))
    }
    return total
  }

  backlog(routeId: string): Promise<RouteBacklog> {
    return this.#parts.submit((routes) => routes.backlog(routeId))
  }

  routeIds(): Promise<string[]> {
    return this.#parts.submit((routes) => routes.routeIds())
  }

  async removeRoute(routeId: string): Promise<void> {
    await this.#parts.submit((routes) => routes.removeRoute(routeId))
    this.#parts.onRemoved()
  }
}

/** From the start for a position that is none of ours. */
const startAfter = (after: string | undefined): number => (after === undefined ? 0 : (seqOf(after) ?? 0))
