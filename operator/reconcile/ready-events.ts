import { type Condition, type Finding, findCondition } from '../runtime/conditions.ts'
import type { EventSink } from '../runtime/events.ts'
import type { KubeObject } from '../runtime/resource.ts'
import { EVENT_REASONS } from './event-reasons.ts'

interface WithStatus extends KubeObject {
  status?: { conditions?: Condition[] }
}

/**
 * Tells by an Event that an object is not ready any more, or for another reason than before, and of a hub that it is
 * ready again. `object` still has the status before.
 */
export function tellReadiness(events: EventSink, object: WithStatus, findings: readonly Finding[]): void {
  const before = findCondition(object.status?.conditions, 'Ready')
  const now = findings.find(({ type }) => type === 'Ready')
  if (now === undefined || (before?.status === now.status && before.reason === now.reason)) return
  if (now.status === 'False') {
    events.event(object, { type: 'Warning', reason: now.reason, action: 'Reconcile', note: now.message })
  } else if (now.status === 'True' && object.kind === 'Hub') {
    const note = now.message
    events.event(object, { type: 'Normal', reason: EVENT_REASONS.Ready, action: 'Reconcile', note })
  }
}
