/** The route of a network through a Gateway of the Gateway API, whose kinds a cluster may lack. */
import { NETWORK_REASONS } from '../../crds/network.ts'
import type { Hub, Network } from '../api/resources.ts'
import {
  GATEWAY_GROUP,
  type GatewayRoute,
  type GatewayRouteKind,
  gatewayRoutes,
  networkRoute,
  ROUTE_PLURALS,
  routeKindOf,
} from '../build/gateway-route.ts'
import { networkService } from '../compile/names.ts'
import { isNotFound } from '../runtime/api-error.ts'
import type { Applier } from '../runtime/apply.ts'
import { type Finding, findCondition } from '../runtime/conditions.ts'
import { isOwnedBy } from '../runtime/owner.ts'
import { objectKey, objectPath, type Resource } from '../runtime/resource.ts'
import { type Problem, refusals, stalledBy, type Tools, waitsFor } from './tools.ts'

/** Says of a network that it has a route, also when its spec asks for none any more. */
export const GATEWAY_CONDITION = 'GatewayAccepted'
/** Newest first: TLSRoute has come through all but v1beta1. */
const VERSIONS = ['v1', 'v1beta1', 'v1alpha3', 'v1alpha2']

export interface GatewayPart {
  problems: Problem[]
  findings: Finding[]
}

/** Applies the route and looks at what the Gateway says to it. */
export async function gatewayRoute(
  { hub, network }: { hub: Hub; network: Network },
  tools: Tools,
  applier: Applier,
  signal: AbortSignal,
): Promise<GatewayPart> {
  const kind = routeKindOf(network)
  const resource = await servedRoutes(kind, tools, signal)
  if (resource === undefined)
    return notAccepted(
      stalledBy(NETWORK_REASONS.GatewayNotAccepted, `the cluster does not serve ${kind}s of the Gateway API`),
    )
  await dropRoutes(network, tools, signal, kind)
  const route = networkRoute(hub, network, resource)
  if (route === undefined)
    return notAccepted(
      stalledBy(
        NETWORK_REASONS.ListenerClosed,
        `spec.exposure: the listener of the hub for a ${kind} is closed`,
      ),
    )
  const results = await applier.apply(network, [route], signal)
  const problems = refusals(results)
  const [result] = results
  if (problems.length > 0 || result === undefined || result.outcome === 'refused')
    return { problems, findings: [] }
  return verdictOf(result.object as GatewayRoute)
}

function verdictOf({ status }: GatewayRoute): GatewayPart {
  const conditions = (status?.parents ?? []).flatMap(({ conditions = [] }) => conditions)
  const refused = conditions.find(({ type, status: is }) => type === 'Accepted' && is === 'False')
  if (refused !== undefined)
    return notAccepted(
      waitsFor(NETWORK_REASONS.GatewayNotAccepted, refused.message ?? 'the Gateway refuses it'),
    )
  if (!conditions.some(({ type, status: is }) => type === 'Accepted' && is === 'True'))
    return notAccepted(waitsFor(NETWORK_REASONS.GatewayNotAccepted, 'the Gateway has not said anything yet'))
  const accepted = { reason: 'Accepted', message: 'the Gateway takes the route' }
  return { problems: [], findings: [{ type: GATEWAY_CONDITION, status: 'True', ...accepted }] }
}

const notAccepted = (problem: Problem): GatewayPart => ({
  problems: [problem],
  findings: [{ type: GATEWAY_CONDITION, status: 'False', reason: problem.reason, message: problem.message }],
})

/** Of a network that had a route: all but those of the kind it asks for. */
export async function dropRoutes(
  network: Network,
  tools: Tools,
  signal: AbortSignal,
  wanted?: GatewayRouteKind,
): Promise<void> {
  if (findCondition(network.status?.conditions, GATEWAY_CONDITION) === undefined) return
  for (const kind of Object.keys(ROUTE_PLURALS) as GatewayRouteKind[])
    if (kind !== wanted) await dropRoute(kind, network, tools, signal)
}

async function dropRoute(
  kind: GatewayRouteKind,
  network: Network,
  tools: Tools,
  signal: AbortSignal,
): Promise<void> {
  const resource = await servedRoutes(kind, tools, signal)
  if (resource === undefined) return
  const { namespace, name } = network.metadata
  const path = objectPath(resource, objectKey(namespace, networkService(name)))
  try {
    const { body } = await tools.client.request<GatewayRoute>({ method: 'GET', path, signal })
    if (!isOwnedBy(body, network)) return
    const preconditions = { uid: body.metadata.uid }
    await tools.client.request({ method: 'DELETE', path, body: { preconditions }, signal })
  } catch (error) {
    if (!isNotFound(error)) throw error
  }
}

/** By discovery, which everybody may ask. */
async function servedRoutes(
  kind: GatewayRouteKind,
  { client }: Tools,
  signal: AbortSignal,
): Promise<Resource | undefined> {
  for (const version of VERSIONS) {
    try {
      const path = `/apis/${GATEWAY_GROUP}/${version}`
      const { body } = await client.request<{ resources?: Array<{ name: string }> }>({
        method: 'GET',
        path,
        signal,
      })
      if (body.resources?.some(({ name }) => name === ROUTE_PLURALS[kind]))
        return gatewayRoutes(kind, version)
    } catch (error) {
      if (!isNotFound(error)) throw error
    }
  }
  return undefined
}
