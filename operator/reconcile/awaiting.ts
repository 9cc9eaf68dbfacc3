/** What a status says while an object is on its way to the brokers: it was looked after, and is not published yet. */
import { COMMON_REASONS } from '../../crds/meta.ts'
import { type Condition, type Finding, progressing } from '../runtime/conditions.ts'
import { sameJson } from '../runtime/json.ts'

interface Seen {
  metadata: { generation?: number }
  status?: { observedGeneration?: number; conditions?: Condition[] }
}

/**
 * For a generation that was judged before, what was said then: after a restart, or with a renewed certificate,
 * nothing is wrong, and the next run, which the publication brings, tells anew. For a new one: that it is on its way.
 */
export function awaitingFindings({ metadata, status }: Seen, message: string): Finding[] {
  const { observedGeneration, conditions = [] } = status ?? {}
  if (observedGeneration === undefined || observedGeneration !== metadata.generation)
    return progressing({ reason: COMMON_REASONS.Progressing, message })
  return conditions.map(({ type, status: is, reason, message: said }) => ({
    type,
    status: is,
    reason,
    message: said,
  }))
}

/** The fields of a status beside those that every kind has. */
export function fieldsOf<S extends { observedGeneration?: number; conditions?: Condition[] }>(
  status: S | undefined,
): Omit<S, 'observedGeneration' | 'conditions'> {
  const { observedGeneration: _, conditions: __, ...fields } = status ?? ({} as S)
  return fields
}

/**
 * Whether waiting is worth a write: a generation nobody has looked at says so by its older observedGeneration
 * already.
 */
export const isNewsWhileWaiting = (
  status: { observedGeneration?: number; conditions?: Condition[] } | undefined,
  fields: object,
): boolean => !sameJson(fieldsOf(status), fields)
