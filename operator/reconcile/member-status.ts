/** Conditions of a network or route, and whether brokers know it. */
import { COMMON_REASONS } from '../../crds/meta.ts'
import type { Hub, Network, Route } from '../api/resources.ts'
import { type Finding, failing, ready, stalled } from '../runtime/conditions.ts'
import { hubKeyOf } from '../watch/indexes.ts'
import { awaitingFindings } from './awaiting.ts'
import { type MemberKind, memberKey } from './published.ts'
import { type Problem, type Tools, waitsFor } from './tools.ts'

export const hubOf = (tools: Tools, member: Network | Route): Hub | undefined =>
  tools.world.hubs.get(hubKeyOf(member))

export const hubNotFound = ({ spec }: Network | Route): Problem =>
  waitsFor(COMMON_REASONS.HubNotFound, `spec.hubRef: there is no Hub ${spec.hubRef.name} in this namespace`)

/** Whether brokers know the object just as it is now. `facts` is what beside its spec goes into the state. */
export function isPublished(
  tools: Tools,
  kind: MemberKind,
  { metadata, spec }: Network | Route,
  facts: string,
): boolean {
  const key = hubKeyOf({ metadata, spec } as Network)
  const published = tools.published.get(key)
  const member = published?.members.get(memberKey(kind, metadata.name))
  return (
    published?.uid === tools.world.hubs.get(key)?.metadata.uid &&
    member?.uid === metadata.uid &&
    member?.generation === metadata.generation &&
    member?.facts === facts
  )
}

export interface MemberFindings {
  member: Network | Route
  problems: readonly Problem[]
  isPublished: boolean
  /** What Ready says when all is well. */
  ready: Pick<Finding, 'reason' | 'message'>
}

export function memberFindings(input: MemberFindings): Finding[] {
  const worst = input.problems.find((problem) => problem.stalled) ?? input.problems[0]
  if (worst !== undefined) return worst.stalled ? stalled(worst) : failing(worst)
  if (!input.isPublished) return awaitingFindings(input.member, 'it is on its way to the brokers')
  return ready(input.ready)
}
