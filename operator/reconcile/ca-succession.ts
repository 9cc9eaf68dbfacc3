/** When a CA of ours gets a successor, and when that one begins to sign. Pure. */
import { needsRenewal } from '../pki/facts.ts'
import type { KeyAlgorithm } from '../pki/keys.ts'
import type { Pair } from '../pki/pair.ts'

const DAY_MS = 86_400_000
/** A CA lives ten years and gets a successor in the last of them. */
export const CA_RENEW_BEFORE_MS = 365 * DAY_MS

/** A CA that everybody is told to trust and that signs nothing yet. */
export interface NextCa {
  pair: Pair
  /** ms since the epoch at which it was published. */
  since: number
}

export interface SuccessionInput {
  current: Pair | undefined
  next: NextCa | undefined
  keyAlgorithm: KeyAlgorithm
  /** Somebody asks for a new CA that none was made for yet. */
  isAsked: boolean
  /** ms for which a CA is published before it signs; 0: those who check what it signs need not know it first. */
  leadMs: number
  now: number
}

/**
 * - Keep: as it is.
 * - Announce: a successor has to be made and published; the CA goes on signing.
 * - Promote: the successor signs from now on.
 * - Replace: a new CA has to be made that signs at once: there is none to go on with, or nobody has to be told.
 */
export type Succession = 'Keep' | 'Announce' | 'Promote' | 'Replace'

export function succession({
  current,
  next,
  keyAlgorithm,
  isAsked,
  leadMs,
  now,
}: SuccessionInput): Succession {
  if (current === undefined || current.facts.notAfter <= now)
    return next === undefined ? 'Replace' : 'Promote'
  if (next !== undefined) return now >= next.since + leadMs ? 'Promote' : 'Keep'
  const isOtherKind = current.keyAlgorithm !== keyAlgorithm
  if (!isOtherKind && !isAsked && !needsRenewal(current.facts, CA_RENEW_BEFORE_MS, now)) return 'Keep'
  return leadMs === 0 ? 'Replace' : 'Announce'
}
