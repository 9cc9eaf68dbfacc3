/** What the conditions of a device say. Pure. */
import { DEVICE_REASONS, type Device } from '../../crds/device.ts'
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
}

/** Reasons that pass by themselves once something else arrives. */
const PASSING: ReadonlySet<string> = new Set([COMMON_REASONS.SecretNotFound, COMMON_REASONS.IdMissing])

/** Ready, where there is nothing against it. */
export function deviceFindings({ device, problems, diagnostics }: DeviceFindingsInput): Finding[] {
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
