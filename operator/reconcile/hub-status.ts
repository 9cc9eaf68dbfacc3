/** What the status of a hub says, worked out from what is known. Pure. */

import { HUB_REASONS } from '../../crds/hub.ts'
import type { HubStatus } from '../../crds/hub-status.ts'
import { COMMON_REASONS, type Endpoint } from '../../crds/meta.ts'
import type { Deployment, Hub, Service } from '../api/resources.ts'
import { type ListenerName, openListeners } from '../build/containers.ts'
import { brokerReplicas } from '../build/deployment.ts'
import { DEFAULT_NAMESPACE } from '../compile/hub-record.ts'
import { hubWorkload } from '../compile/names.ts'
import { type Finding, failing, findCondition, ready, stalled } from '../runtime/conditions.ts'
import { awaitingFindings } from './awaiting.ts'
import type { PublishedHub, PublishFailure } from './published.ts'
import { type Problem, stalledBy, waitsFor } from './tools.ts'

export interface HubFacts {
  hub: Hub
  problems: readonly Problem[]
  deployment: Deployment | undefined
  published: PublishedHub | undefined
  failure: PublishFailure | undefined
  /** Names of Devices that keep a hub from being deleted; undefined: nobody asked for that. */
  heldBy: readonly string[] | undefined
  /** Conditions that the steps of the run have found, beside Ready. */
  found?: readonly Finding[]
}

/** What this version cannot do. The hub goes on with what it can. */
export function unsupported({ spec }: Hub): Problem[] {
  const problems: Problem[] = []
  if (spec.replicas > 1)
    problems.push(
      stalledBy(
        HUB_REASONS.MultiBrokerUnsupported,
        `spec.replicas: expected 1, as brokers cannot share a hub yet, got ${spec.replicas}; one broker serves it`,
      ),
    )
  return problems
}

/** Ready only when nothing is wrong, brokers run and what they are to know has reached Redis. */
export function hubFindings(facts: HubFacts): { findings: Finding[]; isWaiting: boolean } {
  const problems = [...facts.problems, ...runningProblems(facts)]
  const worst = problems.find((problem) => problem.stalled) ?? problems[0]
  const limit = [...limitFindings(facts), ...(facts.found ?? [])]
  if (worst !== undefined)
    return { findings: [...(worst.stalled ? stalled(worst) : failing(worst)), ...limit], isWaiting: false }
  if (isPublished(facts)) return { findings: [...readyFindings(facts), ...limit], isWaiting: false }
  const findings = awaitingFindings(facts.hub, 'the state is on its way to the brokers')
  return { findings, isWaiting: true }
}

function readyFindings(facts: HubFacts): Finding[] {
  const why = facts.hub.spec.enabled
    ? { reason: COMMON_REASONS.Succeeded, message: 'brokers are ready and know the state of the hub' }
    : { reason: HUB_REASONS.Disabled, message: 'spec.enabled is false: nobody can connect' }
  return ready(why)
}

/** Whether brokers know the hub just as it is now. */
export const isPublished = ({ hub, published }: Pick<HubFacts, 'hub' | 'published'>): boolean =>
  published !== undefined &&
  published.uid === hub.metadata.uid &&
  published.generation === hub.metadata.generation

function runningProblems({ hub, heldBy, failure, deployment }: HubFacts): Problem[] {
  const problems: Problem[] = []
  if (heldBy !== undefined && heldBy.length > 0) problems.push(heldProblem(heldBy))
  if (failure !== undefined) {
    const isForPerson = failure.code === 'HUB_STATE_TOO_NEW'
    problems.push({ reason: HUB_REASONS.RedisUnavailable, message: failure.message, stalled: isForPerson })
  }
  const notReady = brokersNotReady(hub, deployment)
  return notReady === undefined ? problems : [...problems, notReady]
}

const MAX_NAMES = 5

function heldProblem(names: readonly string[]): Problem {
  const some = names.slice(0, MAX_NAMES).join(', ')
  const more = names.length > MAX_NAMES ? ` and ${names.length - MAX_NAMES} more` : ''
  const message = `the hub is deleted once these Devices are (spec.deletionPolicy is Protect): ${some}${more}`
  return waitsFor(HUB_REASONS.DevicesExist, message)
}

/** As the Deployment's controller tells; what it says of an earlier generation counts for nothing. */
function brokersNotReady(hub: Hub, deployment: Deployment | undefined): Problem | undefined {
  const wanted = brokerReplicas(hub)
  const { observedGeneration = 0, updatedReplicas = 0, availableReplicas = 0 } = deployment?.status ?? {}
  const isSeen = observedGeneration >= (deployment?.metadata.generation ?? 1)
  if (isSeen && updatedReplicas >= wanted && availableReplicas >= wanted) return undefined
  const stuck = deployment?.status?.conditions?.find(
    ({ type, status }) => type === 'Progressing' && status === 'False',
  )
  const detail = stuck?.message === undefined ? '' : `: ${stuck.message}`
  const count = isSeen ? Math.min(updatedReplicas, availableReplicas) : 0
  return waitsFor(
    HUB_REASONS.BrokersNotReady,
    `${count} of ${wanted} broker pods are up to date and available${detail}`,
  )
}

function limitFindings({ hub, published }: HubFacts): Finding[] {
  const type = HUB_REASONS.DeviceLimitReached
  if (published === undefined) {
    const known = findCondition(hub.status?.conditions, type)
    return known === undefined ? [] : [{ type, status: 'True', reason: type, message: known.message }]
  }
  const left = [...published.diagnostics.values()].flat().filter(({ reason }) => reason === type)
  if (left.length === 0) return []
  const message = `${left.length} devices are left out (spec.limits.devices)`
  return [{ type, status: 'True', reason: type, message }]
}

const URLS: Readonly<Record<ListenerName, { scheme: string; path: string }>> = {
  mqtts: { scheme: 'mqtts', path: '' },
  wss: { scheme: 'wss', path: '/mqtt' },
  https: { scheme: 'https', path: '' },
  mqtt: { scheme: 'mqtt', path: '' },
  ws: { scheme: 'ws', path: '/mqtt' },
  http: { scheme: 'http', path: '' },
}
const MAX_ENDPOINTS = 32

/** URLs of some listeners of a hub at a Service, the encrypted ones first; `suffix` goes at the end of HTTP ones. */
export function endpoints(
  hub: Hub,
  service: { name: string; object: Service | undefined; clusterDomain: string },
  {
    listeners = openListeners(hub),
    suffix = '',
  }: { listeners?: readonly ListenerName[]; suffix?: string } = {},
): Endpoint[] {
  const namespace = hub.metadata.namespace ?? DEFAULT_NAMESPACE
  const balanced = (service.object?.status?.loadBalancer?.ingress ?? []).flatMap(
    ({ hostname, ip }) => hostname ?? (ip?.includes(':') ? `[${ip}]` : ip) ?? [],
  )
  const hosts = balanced.length > 0 ? balanced : [`${service.name}.${namespace}.svc.${service.clusterDomain}`]
  const open = (Object.keys(URLS) as ListenerName[]).filter((name) => listeners.includes(name))
  return hosts
    .flatMap((host) =>
      open.map((name) => {
        const { scheme, path } = URLS[name]
        const tail = name === 'https' || name === 'http' ? suffix : path
        return { name, url: `${scheme}://${host}:${hub.spec.listeners[name].port}${tail}` }
      }),
    )
    .slice(0, MAX_ENDPOINTS)
}

export interface HubFieldFacts {
  hub: Hub
  /** From the steps of the run. */
  parts: Partial<HubStatus>
  deployment: Deployment | undefined
  service: Service | undefined
  clusterDomain: string
  devices: number
  /** As brokers reported last; undefined: they did not. */
  connectedDevices: number | undefined
}

/** The fields of the status beside its conditions. */
export function hubFields(facts: HubFieldFacts): Partial<HubStatus> {
  const { hub, deployment, service, clusterDomain } = facts
  const name = hubWorkload(hub.metadata.name)
  const connectedDevices = facts.connectedDevices ?? hub.status?.connectedDevices
  return {
    ...facts.parts,
    endpoints: endpoints(hub, { name, object: service, clusterDomain }),
    devices: facts.devices,
    ...(connectedDevices === undefined ? {} : { connectedDevices }),
    replicas: deployment?.status?.replicas ?? 0,
    readyReplicas: deployment?.status?.readyReplicas ?? 0,
  }
}
