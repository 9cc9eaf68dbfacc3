/** What the conditions of a device say. Pure. */
import { DEVICE_REASONS, type Device } from '../../crds/device.ts'
import type { DeviceStatus } from '../../crds/device-status.ts'
import { COMMON_REASONS } from '../../crds/meta.ts'
import type { Diagnostic } from '../compile/diagnostic.ts'
import { type Finding, failing, ready, stalled } from '../runtime/conditions.ts'
import { type Problem, stalledBy, waitsFor } from './tools.ts'

export interface DeviceFindingsInput {
  device: Device
  /** Of this run, in the order of their weight. */
  problems: readonly Problem[]
  /** What compile said about the device as it is now. */
  diagnostics: readonly Diagnostic[]
  /** Certificates that are refused until they end. */
  revoked: NonNullable<DeviceStatus['revokedFingerprints']>
}

/** Reasons that pass by themselves once something else arrives. */
const PASSING: ReadonlySet<string> = new Set([COMMON_REASONS.SecretNotFound, COMMON_REASONS.IdMissing])

/** Ready, where there is nothing against it. */
export function deviceFindings(input: DeviceFindingsInput): Finding[] {
  return [...readiness(input), ...revocation(input)]
}

/** Beside readiness, as it has a time of its own: when the device was cut off, and how much is refused since. */
function revocation({ device, revoked }: DeviceFindingsInput): Finding[] {
  if (!device.spec.revoked) return []
  const last = revoked
    .map(({ until }) => until)
    .sort((a, b) => Date.parse(a) - Date.parse(b))
    .at(-1)
  const known = `${revoked.length} ${revoked.length === 1 ? 'certificate' : 'certificates'}`
  const message = `the device is refused, and ${known} of it${last === undefined ? '' : ` until ${last}`}`
  return [{ type: 'Revoked', status: 'True', reason: DEVICE_REASONS.Revoked, message }]
}

function readiness({ device, problems, diagnostics }: DeviceFindingsInput): Finding[] {
  const all = [
    ...problems,
    ...diagnostics.filter(({ excluded }) => excluded).map(asProblem),
    ...pending(device),
  ]
  const worst = all.find((problem) => problem.stalled) ?? all[0]
  if (worst !== undefined) return worst.stalled ? stalled(worst) : failing(worst)
  return ready(readyText(device))
}

/** A diagnostic as a problem of the device it is about. */
export const asProblem = ({ reason, message }: Pick<Diagnostic, 'reason' | 'message'>): Problem =>
  PASSING.has(reason) ? waitsFor(reason, message) : stalledBy(reason, message)

/** Only a person can approve. */
const pending = ({ spec }: Device): Problem[] =>
  spec.approved === false && !spec.revoked
    ? [stalledBy(DEVICE_REASONS.PendingApproval, 'the device may connect once spec.approved is true')]
    : []

/** A device that is refused because its spec says so is as it should be. */
function readyText({ spec }: Device): Pick<Finding, 'reason' | 'message'> {
  if (spec.revoked)
    return { reason: DEVICE_REASONS.Revoked, message: 'spec.revoked is true: the device is refused' }
  if (!spec.enabled)
    return { reason: DEVICE_REASONS.Disabled, message: 'spec.enabled is false: the device cannot connect' }
  return { reason: COMMON_REASONS.Succeeded, message: 'brokers know the device' }
}
