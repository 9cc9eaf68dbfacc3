/** What every reconcile begins with: whether the operator may work in the namespace of the object at all. */
import { COMMON_REASONS } from '../../crds/meta.ts'
import { type Condition, stalled } from '../runtime/conditions.ts'
import { type Outcome, requeueAfter } from '../runtime/outcome.ts'
import type { KubeObject, Resource } from '../runtime/resource.ts'
import { writeStatus } from '../runtime/status.ts'
import { DENIED_MS } from '../watch/namespace-gate.ts'
import { fieldsOf } from './awaiting.ts'
import type { Tools } from './tools.ts'

/** Copies of a namespace that was just opened are filled within moments. */
export const OPENING_RETRY_MS = 200

interface WithStatus extends KubeObject {
  status?: { observedGeneration?: number; conditions?: Condition[] }
}

export interface Entering {
  resource: Resource
  object: WithStatus
  fieldManager: string
  signal: AbortSignal
}

/** Undefined: go on. Otherwise the run is over with this outcome. */
export async function enter(tools: Tools, { resource, object, fieldManager, signal }: Entering) {
  const { namespace = '' } = object.metadata
  const answer = await tools.gate.open(namespace, signal)
  if (answer === 'open') return undefined
  if (answer === 'opening') return requeueAfter(OPENING_RETRY_MS)
  const message =
    `the operator has no rights in namespace ${namespace}: add it to watch.namespaces of the Helm chart, or ` +
    'bind ClusterRole hublet-workloads to its service account there, by a RoleBinding'
  await writeStatus({
    client: tools.client,
    clock: tools.clock,
    resource,
    object,
    fieldManager,
    fields: fieldsOf(object.status),
    findings: stalled({ reason: COMMON_REASONS.AccessDenied, message }),
    signal,
  })
  return requeueAfter(DENIED_MS) satisfies Outcome
}
