import type { HubStatus } from '../../crds/hub-status.ts'
import type { Hub, Secret } from '../api/resources.ts'
import { SECRETS } from '../api/resources.ts'
import type { Desired } from '../runtime/apply.ts'
import type { Finding } from '../runtime/conditions.ts'
import type { EventText } from '../runtime/events.ts'
import type { Problem, Tools } from './tools.ts'

/** What one step of a hub's reconcile came to. Steps change nothing; what they want is applied afterwards. */
export interface HubPart {
  /** In the order to apply them. */
  desired: Desired[]
  /** There already, and to be left as they are. */
  kept: Secret[]
  problems: Problem[]
  status: Partial<HubStatus>
  /** Told once what is desired is in place. */
  events: EventText[]
  /** Conditions beside Ready: what is true and does not keep the hub from its work. */
  findings?: Finding[]
  /** ms since the epoch at which something is due. */
  dueAt?: number
  /** Of the step for Redis: which one it is. */
  redis?: string
}

/** What every step gets. */
export interface HubScope {
  tools: Tools
  hub: Hub
  /** ms since the epoch, the same for all steps of a run. */
  now: number
  signal: AbortSignal
}

export const emptyPart = (): HubPart => ({ desired: [], kept: [], problems: [], status: {}, events: [] })

export const failedPart = (problem: Problem, ...kept: ReadonlyArray<Secret | undefined>): HubPart => ({
  ...emptyPart(),
  problems: [problem],
  kept: kept.filter((secret) => secret !== undefined),
})

/** For `prune`, which looks at names only. */
export const asKept = (secret: Secret): Desired => ({ resource: SECRETS, object: secret })

export const earliest = (times: ReadonlyArray<number | undefined>): number | undefined => {
  const known = times.filter((time) => time !== undefined)
  return known.length === 0 ? undefined : Math.min(...known)
}
