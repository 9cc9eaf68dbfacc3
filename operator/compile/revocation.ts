/** What the revocation lists of a hub's CAs come to. Pure. */
import type { RevocationList } from '../../contract/hub-state.ts'

/** A list that was found good, with its dates (RFC 3339). */
export interface DatedRevocationList extends RevocationList {
  thisUpdate: string
  nextUpdate?: string
}

export type StalePolicy = 'Accept' | 'Refuse'

export const forBrokers = ({ issuers, serials, refuseAfter }: DatedRevocationList): RevocationList => ({
  issuers,
  serials,
  ...(refuseAfter === undefined ? {} : { refuseAfter }),
})

/** A list says until when it counts; the hub says what that means. */
export function withPolicy(list: DatedRevocationList, policy: StalePolicy): DatedRevocationList {
  const { refuseAfter: _, ...rest } = list
  const { nextUpdate } = list
  return policy === 'Accept' || nextUpdate === undefined ? rest : { ...rest, refuseAfter: nextUpdate }
}

/**
 * The first of `lists` that is older than one in force of the same CA; undefined: none. Who brings an old file back,
 * from a repository or a backup, must not let in again what was revoked since.
 */
export const outdone = (
  lists: readonly DatedRevocationList[],
  inForce: readonly DatedRevocationList[],
): DatedRevocationList | undefined =>
  lists.find((list) =>
    inForce.some(
      ({ issuers, thisUpdate }) =>
        issuers.some((issuer) => list.issuers.includes(issuer)) &&
        Date.parse(list.thisUpdate) < Date.parse(thisUpdate),
    ),
  )

/** Says for people which list is out of date at `now`, and what that means; undefined: none is. */
export function staleText(
  lists: readonly DatedRevocationList[],
  policy: StalePolicy,
  now: number,
): string | undefined {
  const [since] = ends(lists)
    .filter((end) => end <= now)
    .sort((one, other) => one - other)
  if (since === undefined) return undefined
  const what =
    policy === 'Accept' ? 'what was revoked since is let in' : 'whatever its CA has signed is refused'
  return `a newer list was due ${new Date(since).toISOString()}: ${what} (whenStale: ${policy})`
}

/** When each list that is good at `now` is out of date, ms since the epoch. */
export const nextStale = (lists: readonly DatedRevocationList[], now: number): number[] =>
  ends(lists).filter((end) => end > now)

const ends = (lists: readonly DatedRevocationList[]): number[] =>
  lists.flatMap(({ nextUpdate }) => (nextUpdate === undefined ? [] : [Date.parse(nextUpdate)]))

export function listStatus(lists: readonly DatedRevocationList[]): { revoked: number; nextUpdate?: string } {
  const dates = lists.flatMap(({ nextUpdate }) => nextUpdate ?? [])
  const revoked = lists.reduce((sum, { serials }) => sum + serials.length, 0)
  const [nextUpdate] = dates.sort((a, b) => Date.parse(a) - Date.parse(b))
  return { revoked, ...(nextUpdate === undefined ? {} : { nextUpdate }) }
}
