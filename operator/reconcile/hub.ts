/** Brings everything of a hub in place but its state, which has a loop of its own (`hub-state.ts`). */
import type { HubStatus } from '../../crds/hub-status.ts'
import { COMMON_REASONS } from '../../crds/meta.ts'
import { HUBS, type Hub, OWNED_RESOURCES } from '../api/resources.ts'
import { brokerDeployment } from '../build/deployment.ts'
import { brokerDisruptionBudget, brokerNetworkPolicy, brokerServiceAccount } from '../build/pod-guards.ts'
import { hubService } from '../build/services.ts'
import { hubDeletedDevicesConfigMap, hubRevokedConfigMap, hubWorkload } from '../compile/names.ts'
import type { Applier, Desired } from '../runtime/apply.ts'
import { type Finding, failing } from '../runtime/conditions.ts'
import type { Reconcile, ReconcileContext } from '../runtime/controller.ts'
import { ensureFinalizer, isDeleting } from '../runtime/finalizer.ts'
import { done, type Outcome, requeueAfter, Stalled } from '../runtime/outcome.ts'
import { keyOf, objectKey } from '../runtime/resource.ts'
import { writeStatus } from '../runtime/status.ts'
import { HUB_INDEX } from '../watch/indexes.ts'
import { fieldsOf, isNewsWhileWaiting } from './awaiting.ts'
import { deviceAuthority } from './device-authority.ts'
import { enter } from './entrance.ts'
import { finalizeHub, holders } from './hub-deletion.ts'
import { keptEntries } from './hub-entries.ts'
import { asKept, earliest, type HubPart, type HubScope } from './hub-part.ts'
import { hubFields, hubFindings, unsupported } from './hub-status.ts'
import { tellReadiness } from './ready-events.ts'
import { redisPart } from './redis-part.ts'
import { revokedCertificates, revokedStatus } from './revoked-certificates.ts'
import { routesPart } from './routes-part.ts'
import { serverCertificate } from './server-certificate.ts'
import { createApplier, FIELD_MANAGERS, FINALIZER, type Problem, refusals, type Tools } from './tools.ts'

/** A stranger's object of our name has no owner to wake when it goes, so it is looked at from time to time. */
export const NAME_TAKEN_RETRY_MS = 60_000

/** What a run puts together on its way to the status. */
interface HubRun extends HubScope {
  applier: Applier
  heldBy: readonly string[] | undefined
}

export function hubReconcile(tools: Tools): Reconcile {
  const applier = createApplier(tools, FIELD_MANAGERS.hub)
  return async (key, context) => {
    const hub = tools.world.hubs.get(key)
    if (hub === undefined) {
      tools.published.forget(key)
      return done()
    }
    const entering = { resource: HUBS, object: hub, fieldManager: FIELD_MANAGERS.hub }
    const closed = await enter(tools, { ...entering, signal: context.signal })
    if (closed !== undefined) return closed
    const heldBy = isDeleting(hub) ? holders(hub, tools.world) : undefined
    if (heldBy !== undefined && heldBy.length === 0) return await finalizeHub(tools, applier, hub, context)
    const { client } = tools
    const finalizer = { client, resource: HUBS, object: hub, finalizer: FINALIZER, signal: context.signal }
    if (heldBy === undefined && (await ensureFinalizer(finalizer)) === 'added') return done()
    const now = tools.clock.now()
    return await run({ tools, applier, hub, heldBy, now, signal: context.signal }, context)
  }
}

async function run(scope: HubRun, context: ReconcileContext): Promise<Outcome> {
  let parts: HubPart[]
  let problems: Problem[]
  try {
    parts = [
      await deviceAuthority(scope),
      await serverCertificate(scope),
      await redisPart(scope),
      await routesPart(scope),
    ]
    problems = [...unsupported(scope.hub), ...parts.flatMap((part) => part.problems)]
    problems.push(...(await applyAll(scope, parts)))
  } catch (error) {
    await tellFailure(scope, error)
    throw error
  }
  for (const event of parts.flatMap(({ events }) => events)) scope.tools.events.event(scope.hub, event)
  const status: Partial<HubStatus> = Object.assign(lastKnown(scope.hub), ...parts.map((part) => part.status))
  const found = parts.flatMap((part) => part.findings ?? [])
  await writeHubStatus(scope, status, { problems, found })
  const dueAt = earliest(parts.map((part) => part.dueAt))
  context.logger.debug({ dueAt, problems }, 'hub was looked after')
  return next(problems, dueAt, scope.now)
}

/** What a step could not find out anew is still true. */
function lastKnown({ status = {} }: Hub): Partial<HubStatus> {
  const { deviceCA, serverCA, serverCertificateNotAfter } = status
  return {
    ...(deviceCA === undefined ? {} : { deviceCA }),
    ...(serverCA === undefined ? {} : { serverCA }),
    ...(serverCertificateNotAfter === undefined ? {} : { serverCertificateNotAfter }),
  }
}

/** Credentials before the pods that mount them; what the hub no longer asks for goes last. */
async function applyAll(scope: HubRun, parts: readonly HubPart[]): Promise<Problem[]> {
  const { tools, applier, hub, signal } = scope
  const service = hubService(hub)
  const redis = parts.find((part) => part.redis !== undefined)?.redis ?? ''
  const workload: Desired[] = [
    brokerServiceAccount(hub),
    brokerNetworkPolicy(hub),
    brokerDisruptionBudget(hub),
    ...(service === undefined ? [] : [service]),
    brokerDeployment(hub, tools.settings, redis),
  ]
  const desired = [...parts.flatMap((part) => part.desired), ...workload]
  const results = await applier.apply(hub, desired, signal)
  const { name } = hub.metadata
  const entries = [hubDeletedDevicesConfigMap(name), hubRevokedConfigMap(name)].map((one) =>
    keptEntries(hub, one),
  )
  const kept = [...parts.flatMap((part) => part.kept).map(asKept), ...entries]
  await applier.prune(hub, [...desired, ...kept], OWNED_RESOURCES, signal)
  return refusals(results)
}

async function writeHubStatus(
  scope: HubRun,
  parts: Partial<HubStatus>,
  { problems, found }: { problems: readonly Problem[]; found: readonly Finding[] },
): Promise<void> {
  const { tools, hub, heldBy } = scope
  const { world, published, settings } = tools
  const key = keyOf(hub)
  const workload = objectKey(hub.metadata.namespace, hubWorkload(hub.metadata.name))
  const deployment = world.deployments.get(workload)
  const fields = hubFields({
    hub,
    parts: { ...parts, ...revokedStatus(revokedCertificates(world, hub, scope.now)) },
    deployment,
    service: world.services.get(workload),
    clusterDomain: settings.clusterDomain,
    devices: world.devices.byIndex(HUB_INDEX, key).length,
    connectedDevices: tools.activities.connected(key),
  })
  const facts = { published: published.get(key), failure: published.failure(key) }
  const { findings, isWaiting } = hubFindings({ hub, problems, deployment, heldBy, found, ...facts })
  if (isWaiting && !isNewsWhileWaiting(hub.status, fields)) return
  await patchStatus(scope, fields, findings)
}

/** What was known before stays; only the conditions say that something went wrong. */
async function tellFailure(scope: HubRun, error: unknown): Promise<void> {
  if (scope.signal.aborted) return
  const fields = fieldsOf(scope.hub.status)
  const message = error instanceof Error ? error.message : String(error)
  const findings = failing({ reason: COMMON_REASONS.ReconcileFailed, message })
  // The failure itself is what the caller has to hear of.
  await patchStatus(scope, fields, findings).catch(() => undefined)
}

/** When to look again. A certificate is renewed in time also while something else waits for a person. */
export function next(problems: readonly Problem[], dueAt: number | undefined, now: number): Outcome {
  const stalled = problems.find((problem) => problem.stalled)
  const inTime = dueAt === undefined ? undefined : Math.max(1_000, dueAt - now)
  if (problems.some(({ reason }) => reason === COMMON_REASONS.NameTaken))
    return requeueAfter(Math.min(inTime ?? NAME_TAKEN_RETRY_MS, NAME_TAKEN_RETRY_MS))
  if (inTime !== undefined) return requeueAfter(inTime)
  if (stalled !== undefined) throw new Stalled(stalled.reason, stalled.message)
  return done()
}

function patchStatus(
  { tools, hub, signal }: HubScope,
  fields: Partial<HubStatus>,
  findings: readonly Finding[],
) {
  tellReadiness(tools.events, hub, findings)
  return writeStatus<HubStatus>({
    client: tools.client,
    clock: tools.clock,
    resource: HUBS,
    object: hub,
    fieldManager: FIELD_MANAGERS.hub,
    fields,
    findings,
    view: tools.world.hubs,
    signal,
  })
}
