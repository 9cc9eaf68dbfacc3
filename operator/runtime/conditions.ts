/** Conditions as kstatus reads them: Ready sums up, Reconciling and Stalled are there only while they are true. */

export type ConditionStatus = 'True' | 'False' | 'Unknown'

/** What a reconcile found out about one aspect. */
export interface Finding {
  type: string
  status: ConditionStatus
  /** Stable, CamelCase. */
  reason: string
  /** For people. */
  message: string
}

export interface Condition extends Finding {
  observedGeneration?: number
  /** RFC 3339, whole seconds. */
  lastTransitionTime: string
}

type Why = Pick<Finding, 'reason' | 'message'>

/** Everything that the spec asks for is in place. */
export const ready = (why: Why): Finding[] => [{ type: 'Ready', status: 'True', ...why }]

/** On its way, nothing is wrong: first sight, or a new generation. */
export const progressing = (why: Why): Finding[] => [
  { type: 'Ready', status: 'Unknown', ...why },
  { type: 'Reconciling', status: 'True', ...why },
]

/** Something failed and is tried again by itself. */
export const failing = (why: Why): Finding[] => [
  { type: 'Ready', status: 'False', ...why },
  { type: 'Reconciling', status: 'True', ...why },
]

/** Only a person can help. */
export const stalled = (why: Why): Finding[] => [
  { type: 'Ready', status: 'False', ...why },
  { type: 'Stalled', status: 'True', ...why },
]

/** The API's bound; a longer message would make the whole status be refused. */
const MAX_MESSAGE = 32_768

export interface MergeOptions {
  /** `metadata.generation` of the object that was looked at. */
  generation: number | undefined
  /** ms since the epoch. */
  now: number
}

/**
 * The conditions to store: exactly `findings`, each with the time at which its status last changed. What
 * `previous` holds beside them is gone: a condition that nobody finds any more must not stay.
 */
export function mergeConditions(
  previous: readonly Condition[] | undefined,
  findings: readonly Finding[],
  { generation, now }: MergeOptions,
): Condition[] {
  const time = new Date(now).toISOString().replace(/\.\d{3}Z$/, 'Z')
  return findings.map((finding) => {
    const known = previous?.find(({ type }) => type === finding.type)
    const unchanged = known !== undefined && known.status === finding.status
    return {
      type: finding.type,
      status: finding.status,
      reason: finding.reason,
      message: finding.message.slice(0, MAX_MESSAGE),
      ...(generation === undefined ? {} : { observedGeneration: generation }),
      lastTransitionTime: unchanged ? known.lastTransitionTime : time,
    }
  })
}

/** The condition of that type, if there is one. */
export const findCondition = (
  conditions: readonly Condition[] | undefined,
  type: string,
): Condition | undefined => conditions?.find((condition) => condition.type === type)
