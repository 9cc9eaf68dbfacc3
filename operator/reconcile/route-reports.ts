/** What workers last reported of routes, and which statuses do not say it yet. */
import type { RouteReport } from '../../contract/route-report.ts'
import type { Route } from '../api/resources.ts'
import { sameJson } from '../runtime/json.ts'
import { keyOf, type ObjectKey } from '../runtime/resource.ts'
import { routeFields } from './route-status.ts'

/** By route id. */
export type Reports = ReadonlyMap<string, RouteReport>

/** Numbers of a status may be so old; that deliveries fail or work again is told with the next look. */
const NUMBERS_EVERY_MS = 30_000
/** After a change they follow sooner: what waited is gone a moment after a destination is back. */
const NUMBERS_SOON_MS = 5_000
/** Statuses that one look at a hub has written, those whose conditions change first. */
const MAX_WRITES = 200

interface Known {
  uid: string
  /** Undefined: nobody reports on it. */
  report: RouteReport | undefined
  /** ms, of any clock that only rises. */
  toldAt: number
}

export class RouteReportsSeen {
  readonly #known = new Map<ObjectKey, Known>()

  /** Takes note of what was reported at `now` and returns the routes whose status is to be written. */
  note(reports: Reports, routes: readonly Route[], now: number): ObjectKey[] {
    const changed: ObjectKey[] = []
    const counted: ObjectKey[] = []
    for (const route of routes) {
      const { uid = '' } = route.metadata
      const key = keyOf(route)
      const report = reports.get(uid)
      const before = this.#known.get(key)
      const isSame = before !== undefined && before.uid === uid && looks(before.report) === looks(report)
      const isDue = before !== undefined && now - before.toldAt >= NUMBERS_EVERY_MS
      const isNews = report !== undefined && !saysAll(route, report)
      this.#known.set(key, {
        uid,
        report,
        toldAt: isSame ? before.toldAt : now - NUMBERS_EVERY_MS + NUMBERS_SOON_MS,
      })
      if (!isSame) changed.push(key)
      else if (isDue && isNews) {
        this.#known.set(key, { uid, report, toldAt: now })
        counted.push(key)
      }
    }
    return [...changed, ...counted].slice(0, MAX_WRITES)
  }

  /** `undefined`: nobody has looked since this process began. */
  of(route: Route): { report: RouteReport | undefined } | undefined {
    const known = this.#known.get(keyOf(route))
    return known?.uid === route.metadata.uid ? known : undefined
  }

  forget(route: ObjectKey): void {
    this.#known.delete(route)
  }
}

/** What conditions are made of. */
const looks = (report: RouteReport | undefined): string | undefined =>
  report === undefined
    ? undefined
    : JSON.stringify([
        report.health,
        report.isDown,
        report.delivered > 0,
        report.isDown && report.lastError?.code,
      ])

function saysAll({ status }: Route, report: RouteReport): boolean {
  const { conditions: _, observedGeneration: __, ...said } = status ?? {}
  return sameJson(said, routeFields(report))
}
