/** Gives a network its token and its way in from outside. */
import { createHash } from 'node:crypto'
import { COMMON_REASONS } from '../../crds/meta.ts'
import { NETWORK_REASONS, type NetworkStatus } from '../../crds/network.ts'
import { type Hub, NETWORKS, type Network, SECRETS, SERVICES } from '../api/resources.ts'
import { tokenSecret } from '../build/credentials.ts'
import { httpPath, routeKindOf } from '../build/gateway-route.ts'
import { LISTENERS_OF, networkListeners, networkServiceObject } from '../build/services.ts'
import { hubWorkload, networkService, networkTokenSecret } from '../compile/names.ts'
import type { Applier, Desired } from '../runtime/apply.ts'
import { type Finding, failing } from '../runtime/conditions.ts'
import type { Reconcile } from '../runtime/controller.ts'
import { ensureFinalizer, isDeleting } from '../runtime/finalizer.ts'
import { done, type Outcome, requeueAfter } from '../runtime/outcome.ts'
import { objectKey } from '../runtime/resource.ts'
import { writeStatus } from '../runtime/status.ts'
import { secretText } from '../watch/secret-reader.ts'
import { fieldsOf, isNewsWhileWaiting } from './awaiting.ts'
import { enter } from './entrance.ts'
import { EVENT_REASONS } from './event-reasons.ts'
import { next } from './hub.ts'
import { asKept } from './hub-part.ts'
import { endpoints } from './hub-status.ts'
import { finalizeMember } from './member-deletion.ts'
import { hubNotFound, hubOf, isPublished, memberFindings } from './member-status.ts'
import { dropRoutes, type GatewayPart, gatewayRoute } from './network-gateway.ts'
import { hasToken, networkToken, weakness } from './network-token.ts'
import { findOwnedSecret } from './owned-secret.ts'
import { tellReadiness } from './ready-events.ts'
import {
  createApplier,
  FIELD_MANAGERS,
  FINALIZER,
  type Problem,
  refusals,
  stalledBy,
  type Tools,
} from './tools.ts'

const TOKEN_BYTES = 32
/** Routes of Gateways are not watched: a cluster need not serve them. */
const GATEWAY_RETRY_MS = 30_000

interface NetworkScope {
  tools: Tools
  applier: Applier
  hub: Hub
  network: Network
  signal: AbortSignal
}

export function networkReconcile(tools: Tools): Reconcile {
  const applier = createApplier(tools, FIELD_MANAGERS.network)
  return async (key, context) => {
    const network = tools.world.networks.get(key)
    if (network === undefined) return done()
    const entering = { resource: NETWORKS, object: network, fieldManager: FIELD_MANAGERS.network }
    const closed = await enter(tools, { ...entering, signal: context.signal })
    if (closed !== undefined) return closed
    const member = { kind: 'Network', resource: NETWORKS, object: network } as const
    if (isDeleting(network)) return await finalizeMember(tools, applier, member, context)
    const { client } = tools
    const { signal } = context
    const finalizer = { client, resource: NETWORKS, object: network, finalizer: FINALIZER, signal }
    if ((await ensureFinalizer(finalizer)) === 'added') return done()
    const hub = hubOf(tools, network)
    if (hub !== undefined) return await run({ tools, applier, hub, network, signal })
    await patchStatus(tools, network, { fields: {}, findings: failing(hubNotFound(network)), signal })
    return done()
  }
}

async function run(scope: NetworkScope): Promise<Outcome> {
  const { tools, network, signal } = scope
  const isGateway = network.spec.exposure.type === 'Gateway'
  let result: Applied
  let gateway: GatewayPart = { problems: [], findings: [] }
  try {
    result = await applyAll(scope)
    if (isGateway) gateway = await gatewayRoute(scope, tools, scope.applier, signal)
    else await dropRoutes(network, tools, signal)
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error)
    const findings = failing({ reason: COMMON_REASONS.ReconcileFailed, message })
    const fields = fieldsOf(network.status)
    if (!signal.aborted)
      await patchStatus(tools, network, { fields, findings, signal }).catch(() => undefined)
    throw error
  }
  const problems = [...result.problems, ...gateway.problems]
  await tell(scope, { ...result, problems }, gateway.findings)
  if (isGateway) return requeueAfter(GATEWAY_RETRY_MS)
  return next(problems, undefined, tools.clock.now())
}

interface Applied {
  token: string | undefined
  problems: Problem[]
}

async function applyAll(scope: NetworkScope): Promise<Applied> {
  const { tools, applier, hub, network, signal } = scope
  const secret = await ensureToken(scope)
  const service = networkServiceObject(hub, network)
  const desired = [...secret.desired, ...(service === undefined ? [] : [service])]
  const results = await applier.apply(network, desired, signal)
  await applier.prune(network, [...desired, ...secret.kept], [SECRETS, SERVICES], signal)
  if (secret.isNew) {
    const note = `a token is in Secret ${networkTokenSecret(network.metadata.name)}`
    const reason = EVENT_REASONS.TokenIssued
    tools.events.event(network, { type: 'Normal', reason, action: 'Issue', note })
  }
  return { token: secret.token, problems: [...secret.problems, ...closed(scope), ...refusals(results)] }
}

function closed({ hub, network }: NetworkScope): Problem[] {
  if (networkListeners(hub, network).length > 0) return []
  const names = LISTENERS_OF[network.spec.type].join(' and ')
  const message = `a ${network.spec.type} network needs ${names} of the hub, which are closed`
  return [stalledBy(NETWORK_REASONS.ListenerClosed, message)]
}

interface EnsuredToken {
  token: string | undefined
  desired: Desired[]
  kept: Desired[]
  problems: Problem[]
  isNew: boolean
}

/** A token of ours is made once. One of the user's is only looked at. */
async function ensureToken({ tools, network, signal }: NetworkScope): Promise<EnsuredToken> {
  const none = { desired: [], kept: [], isNew: false }
  if (!hasToken(network)) return { ...none, token: undefined, problems: [] }
  if (network.spec.tokenSecretRef !== undefined) {
    const { token, problem } = await networkToken(network, tools, signal)
    return { ...none, token, problems: problem === undefined ? [] : [problem] }
  }
  const own = await findOwnedSecret(tools, network, networkTokenSecret(network.metadata.name), signal)
  if (own.problem !== undefined) return { ...none, token: undefined, problems: [own.problem] }
  const known = own.secret && secretText(own.secret, 'token')
  const isKept = known !== undefined && weakness(known) === undefined
  const token = isKept ? known : Buffer.from(tools.randomBytes(TOKEN_BYTES)).toString('base64url')
  const desired = { ...tokenSecret(network, token), known: own.secret ?? ('absent' as const) }
  return {
    token,
    desired: [desired],
    kept: own.secret === undefined ? [] : [asKept(own.secret)],
    problems: [],
    isNew: !isKept,
  }
}

async function tell(scope: NetworkScope, { token, problems }: Applied, extra: readonly Finding[]) {
  const { tools, network, signal } = scope
  const { name } = network.metadata
  const facts = token === undefined ? '' : createHash('sha256').update(token).digest('hex')
  const known = isPublished(tools, 'Network', network, facts)
  const findings = memberFindings({
    member: network,
    problems,
    isPublished: known,
    ready: { reason: COMMON_REASONS.Succeeded, message: 'brokers serve the network' },
  })
  const secretName = network.spec.tokenSecretRef?.name ?? networkTokenSecret(name)
  const fields = {
    endpoints: networkEndpoints(scope),
    ...(hasToken(network) ? { tokenSecretName: secretName } : {}),
  }
  if (!known && problems.length === 0 && !isNewsWhileWaiting(network.status, fields)) return
  const others = findings.filter(({ type }) => !extra.some((one) => one.type === type))
  await patchStatus(tools, network, { fields, findings: [...others, ...extra], signal })
}

function networkEndpoints({ tools, hub, network }: NetworkScope) {
  const { type, hostnames } = network.spec.exposure
  const { namespace } = network.metadata
  const { clusterDomain } = tools.settings
  const name = type === 'Hub' ? hubWorkload(hub.metadata.name) : networkService(network.metadata.name)
  const object = tools.world.services.get(objectKey(namespace, name))
  const suffix = `/networks/${network.metadata.name}`
  const options = { listeners: networkListeners(hub, network), suffix }
  const inside = endpoints(hub, { name, object, clusterDomain }, options)
  // A Gateway listens on ports of its own; only the names are known here.
  return type === 'Gateway'
    ? [...hostnames.map((host) => ({ name: 'gateway', url: gatewayUrl(network, host) })), ...inside]
    : inside
}

function gatewayUrl(network: Network, host: string): string {
  if (routeKindOf(network) === 'TLSRoute') return `tls://${host}`
  return `${network.spec.type === 'WebSocket' ? 'wss' : 'https'}://${host}${httpPath(network)}`
}

interface StatusPatch {
  fields: Omit<NetworkStatus, 'conditions' | 'observedGeneration'>
  findings: readonly Finding[]
  signal: AbortSignal
}

function patchStatus({ client, clock, world, events }: Tools, network: Network, patch: StatusPatch) {
  tellReadiness(events, network, patch.findings)
  return writeStatus<NetworkStatus>({
    client,
    clock,
    resource: NETWORKS,
    object: network,
    fieldManager: FIELD_MANAGERS.network,
    view: world.networks,
    ...patch,
  })
}
