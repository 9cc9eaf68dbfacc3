/** Gives a device its certificate and its verifier, and says how it is known to the brokers. */
import type { DeviceStatus } from '../../crds/device-status.ts'
import { COMMON_REASONS } from '../../crds/meta.ts'
import { DEVICES, type Device, SECRETS } from '../api/resources.ts'
import { deviceRecord } from '../compile/device-record.ts'
import { pendingUntil } from '../compile/provisioned-device.ts'
import type { Applier } from '../runtime/apply.ts'
import { type Finding, failing } from '../runtime/conditions.ts'
import type { Reconcile } from '../runtime/controller.ts'
import { ensureFinalizer, isDeleting } from '../runtime/finalizer.ts'
import { done, type Outcome } from '../runtime/outcome.ts'
import { writeStatus } from '../runtime/status.ts'
import { hubKeyOf } from '../watch/indexes.ts'
import { fieldsOf } from './awaiting.ts'
import type { CertificatePart } from './certificate-part.ts'
import type { CertificateFields } from './computed-statuses.ts'
import { deviceCertificate } from './device-certificate.ts'
import type { DeviceScope } from './device-part.ts'
import { devicePassword } from './device-password.ts'
import { asProblem, deviceFindings } from './device-status.ts'
import { inForce, trustInForce } from './device-trust.ts'
import { enter } from './entrance.ts'
import { expirePending } from './expire-pending.ts'
import { next } from './hub.ts'
import { deviceFacts, factsText } from './hub-facts.ts'
import { earliest } from './hub-part.ts'
import { finalizeMember } from './member-deletion.ts'
import { memberKey } from './published.ts'
import { tellReadiness } from './ready-events.ts'
import {
  createApplier,
  FIELD_MANAGERS,
  FINALIZER,
  type Problem,
  refusals,
  type Tools,
  waitsFor,
} from './tools.ts'

export function deviceReconcile(tools: Tools): Reconcile {
  const applier = createApplier(tools, FIELD_MANAGERS.device)
  return async (key, context) => {
    const device = tools.world.devices.get(key)
    if (device === undefined) {
      tools.computed.forget(key)
      tools.held.forget(key)
      tools.activities.forgetDevice(key)
      return done()
    }
    const entering = { resource: DEVICES, object: device, fieldManager: FIELD_MANAGERS.device }
    const closed = await enter(tools, { ...entering, signal: context.signal })
    if (closed !== undefined) return closed
    const member = { kind: 'Device', resource: DEVICES, object: device } as const
    if (isDeleting(device)) return await finalizeMember(tools, applier, member, context)
    const { client } = tools
    const { signal } = context
    const finalizer = { client, resource: DEVICES, object: device, finalizer: FINALIZER, signal }
    if ((await ensureFinalizer(finalizer)) === 'added') return done()
    if (await expirePending(tools, device, signal)) return done()
    const found = findHub(tools, device, signal)
    if (found === 'unseen') return done()
    if ('problem' in found) {
      await patchStatus(tools, device, {
        fields: fieldsOf(device.status),
        findings: failing(found.problem),
        signal,
      })
      return done()
    }
    return await run(found.scope, applier)
  }
}

/** The hub wakes its devices when it comes, and when its certificates are in place. */
function findHub(
  tools: Tools,
  device: Device,
  signal: AbortSignal,
): { scope: DeviceScope } | { problem: Problem } | 'unseen' {
  const { name } = device.spec.hubRef
  const hub = tools.world.hubs.get(hubKeyOf(device))
  if (hub === undefined)
    return {
      problem: waitsFor(COMMON_REASONS.HubNotFound, `spec.hubRef: there is no Hub ${name} in this namespace`),
    }
  const now = tools.clock.now()
  const trust = trustInForce(tools.world, hub, now)
  if (trust === undefined && hub.status?.observedGeneration === undefined) return 'unseen'
  if (trust === undefined)
    return { problem: waitsFor(COMMON_REASONS.HubNotReady, `Hub ${name} has no device CA in place yet`) }
  return { scope: { tools, device, hub: inForce(hub, trust), trust, now, signal } }
}

async function run(scope: DeviceScope, applier: Applier): Promise<Outcome> {
  const { tools, device, signal } = scope
  let certificate: CertificatePart
  let problems: Problem[]
  try {
    certificate = await deviceCertificate(scope)
    const password = await devicePassword(scope)
    const desired = [...certificate.desired, ...password.desired]
    const results = await applier.apply(device, desired, signal)
    await applier.prune(device, [...desired, ...certificate.kept, ...password.kept], [SECRETS], signal)
    for (const event of [...certificate.events, ...password.events]) tools.events.event(device, event)
    problems = [...refusals(results), ...certificate.problems, ...password.problems]
  } catch (error) {
    await tellFailure(scope, error)
    throw error
  }
  await tell(scope, certificate.status, problems)
  const dueAt = earliest([certificate.dueAt, pendingUntil(scope.hub, device)])
  return next(problems, dueAt, scope.now)
}

/**
 * Written once brokers know the device as it is now, or when something is wrong with it. Until then an older
 * observedGeneration, or the status of an object that nobody has looked at, says all there is to say.
 */
async function tell(
  scope: DeviceScope,
  certificate: CertificateFields,
  problems: readonly Problem[],
): Promise<void> {
  const { tools, device, signal } = scope
  tools.computed.set(device, certificate)
  const hubKey = hubKeyOf(device)
  const key = memberKey('Device', device.metadata.name)
  const published = tools.published.get(hubKey)
  const member = published?.uid === scope.hub.metadata.uid ? published?.members.get(key) : undefined
  const isPublished =
    member?.uid === device.metadata.uid &&
    member?.generation === device.metadata.generation &&
    member?.facts === factsText(deviceFacts(device, tools, scope.now))
  if (!isPublished) tools.wakeState(hubKey)
  const all = [...problems, ...ownProblems(scope), ...(isPublished ? [] : unpublishable(tools, hubKey))]
  // A hub that nobody has looked at wakes its devices once somebody has; until then there is nothing to tell.
  const isHubUnseen = scope.hub.status?.observedGeneration === undefined
  const isEarly = isHubUnseen && all.every(({ reason }) => reason === COMMON_REASONS.HubNotReady)
  if (!isPublished && (all.length === 0 || isEarly)) return
  const id = device.spec.id ?? device.metadata.uid ?? ''
  const fields = { id, ...certificate, ...tools.activities.fieldsOf(device) }
  const diagnostics = isPublished ? (published?.diagnostics.get(key) ?? []) : []
  await patchStatus(tools, device, {
    fields,
    findings: deviceFindings({
      device,
      problems: all,
      diagnostics,
      revoked: certificate.revokedFingerprints ?? [],
    }),
    signal,
  })
}

/** Of a device that brokers do not know, why they will not hear of it soon. */
function unpublishable(tools: Tools, hubKey: string): Problem[] {
  const failure = tools.published.failure(hubKey)
  if (failure === undefined) return []
  return [
    waitsFor(COMMON_REASONS.HubNotReady, `the state of the hub cannot be published: ${failure.message}`),
  ]
}

/** What compile will say of this device, told without waiting for it. */
function ownProblems({ tools, hub, device, now }: DeviceScope): Problem[] {
  const { remarks } = deviceRecord({
    device,
    id: device.spec.id ?? device.metadata.uid ?? '',
    hub: { object: hub, uid: hub.metadata.uid ?? '' },
    facts: deviceFacts(device, tools, now),
    now,
  })
  return remarks.map(asProblem)
}

async function tellFailure({ tools, device, signal }: DeviceScope, error: unknown): Promise<void> {
  if (signal.aborted) return
  const message = error instanceof Error ? error.message : String(error)
  const findings = failing({ reason: COMMON_REASONS.ReconcileFailed, message })
  // The failure itself is what the caller has to hear of.
  await patchStatus(tools, device, { fields: fieldsOf(device.status), findings, signal }).catch(
    () => undefined,
  )
}

interface StatusPatch {
  fields: Omit<DeviceStatus, 'conditions' | 'observedGeneration'>
  findings: readonly Finding[]
  signal: AbortSignal
}

function patchStatus({ client, clock, world, events }: Tools, device: Device, patch: StatusPatch) {
  tellReadiness(events, device, patch.findings)
  return writeStatus<DeviceStatus>({
    client,
    clock,
    resource: DEVICES,
    object: device,
    fieldManager: FIELD_MANAGERS.device,
    view: world.devices,
    ...patch,
  })
}
