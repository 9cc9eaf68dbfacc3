import type { StateChange } from '../../broker/state/state-source.ts'
import type { DeviceRecord } from '../../contract/hub-state.ts'
import { deviceName, isIssued } from '../../operator/compile/device-record.ts'
import type { Diagnostic } from '../../operator/compile/diagnostic.ts'
import type { DeviceAccess } from '../print/device-commands.ts'
import { deviceLines, formatHubPage, type HubPage } from '../print/hub-page.ts'
import type { HubPlan } from './hub-plan.ts'
import type { HubRunner } from './hub-runner.ts'
import type { RunnersObserver } from './hub-runners.ts'
import type { Reporter } from './reporter.ts'
import { withoutEffect } from './without-effect.ts'

export interface ObserverOptions {
  reporter: Reporter
  /** Host name or address that clients on this machine use. */
  host: string
  /** Path of a file of the data folder, as the user would type it. */
  file: (...parts: string[]) => string
}

/** Prints a page for every hub that comes up, and a line for every change. */
export function makeObserver({ reporter, host, file }: ObserverOptions): RunnersObserver {
  const { logger, style } = reporter
  const pageOf = (runner: HubRunner) => hubPage(runner, host, file)
  return {
    started(runner, reason) {
      if (reason === 'ListenersChanged')
        logger.warn({ hub: runner.plan.key }, 'started again, because its listeners have changed')
      reporter.page(formatHubPage(pageOf(runner), style))
    },
    updated(runner, change, previous) {
      const { plan } = runner
      const text = describeChange(change, previous, plan)
      if (text !== undefined) logger.info({ hub: plan.key }, text)
      for (const diagnostic of newDiagnostics(previous, plan))
        logger.warn({ hub: plan.key, reason: diagnostic.reason }, sentence(diagnostic))
      const page = pageOf(runner)
      const before = new Set(previous.state.devices.map(({ id }) => id))
      const added = page.devices.filter(({ record }) => !before.has(record.id))
      if (added.length > 0 && added.length <= MAX_ADDED_SHOWN) reporter.page(deviceLines(page, added, style))
    },
    stopped(key, reason) {
      const why = reason === 'Removed' ? 'its manifest is gone' : 'its listeners have changed'
      logger.info({ hub: key }, `stopped, because ${why}`)
    },
  }
}

/** Commands of more devices at once would only push the rest off the screen. */
const MAX_ADDED_SHOWN = 5

/** One line about what a new plan changes; undefined: nothing that a broker knows of. */
export function describeChange(change: StateChange, previous: HubPlan, next: HubPlan): string | undefined {
  const before = new Map(previous.state.devices.map((device) => [device.id, device]))
  const devices = next.state.devices.filter(({ id }) => change.devices.has(id))
  const parts = [
    change.hub ? 'hub' : '',
    change.networks ? 'networks' : '',
    change.routes ? 'routes' : '',
    counted(
      'added',
      devices.filter(({ id }) => !before.has(id)),
    ),
    counted(
      'changed',
      devices.filter(({ id }) => before.has(id)),
    ),
    counted(
      'removed',
      previous.state.devices.filter(({ id }) => change.removedDevices.has(id)),
    ),
  ].filter((part) => part !== '')
  return parts.length === 0 ? undefined : `manifests applied: ${parts.join(', ')}`
}

const MAX_NAMES = 5

function counted(verb: string, devices: readonly DeviceRecord[]): string {
  if (devices.length === 0) return ''
  const names = devices.slice(0, MAX_NAMES).map(({ name }) => name)
  const more = devices.length - names.length
  const list = more > 0 ? `${names.join(', ')} and ${more} more` : names.join(', ')
  return `${devices.length} device${devices.length === 1 ? '' : 's'} ${verb} (${list})`
}

const sentence = ({ kind, name, message, excluded }: Diagnostic): string =>
  `${kind} ${name}: ${message}${excluded ? ' (left out)' : ''}`

function newDiagnostics(previous: HubPlan, next: HubPlan): Diagnostic[] {
  const told = new Set(previous.diagnostics.map(sentence))
  return next.diagnostics.filter((diagnostic) => !told.has(sentence(diagnostic)))
}

function hubPage(runner: HubRunner, host: string, file: ObserverOptions['file']): HubPage {
  const { plan, ports, wanted } = runner
  const { key, state, manifests, diagnostics } = plan
  const objects = new Map(manifests.devices.map(({ object }) => [deviceName(object), object]))
  const access = (record: DeviceRecord): DeviceAccess => {
    const object = objects.get(record.name)
    if (object === undefined) return { record }
    const inFolder = (name: string) => file(key, 'devices', object.metadata.name, name)
    return {
      record,
      ...(isIssued(plan.hub, object) && {
        certificate: { certFile: inFolder('tls.crt'), keyFile: inFolder('tls.key') },
      }),
      ...(object.spec.certificate?.enrolled !== undefined && { enrolmentTokenFile: inFolder('token') }),
      ...(record.passwordVerifier !== undefined && { passwordFile: inFolder('password') }),
    }
  }
  return {
    state,
    access: { host, ports, caFile: file(key, 'ca.crt') },
    wanted,
    devices: state.devices.map(access),
    tokenFileOf: ({ name }) => file(key, 'networks', name, 'token'),
    diagnostics,
    notes: withoutEffect(manifests),
  }
}
