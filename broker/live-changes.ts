import type { DeviceRecord } from '../contract/hub-state.ts'
import type { LiveDevice } from './deliver/live-device.ts'
import { closeReason, surplusLinks } from './policy/disconnects.ts'
import { normalizeDeviceId } from './policy/identity.ts'
import { closeLink, raiseFor } from './session/close-link.ts'
import type { SessionContext } from './session/context.ts'
import type { Link } from './session/link.ts'
import { storeLimits } from './session/sessions.ts'
import type { StateChange } from './state/state-source.ts'

/** What a change of the hub means for the listeners. */
export interface ListenerChanges {
  setDeviceCa(): void
  limitsChanged(): void
}

/** Brings a change of the state into force on live links (design §3: within 2 s, others undisturbed). */
export async function applyChange(
  context: SessionContext,
  listeners: ListenerChanges | undefined,
  change: StateChange,
): Promise<void> {
  if (change.hub) applyHub(context, listeners)
  if (change.routes) context.routes.set(context.state.routes())
  for (const id of change.removedDevices) await removeDevice(context, normalizeDeviceId(id))
  for (const id of change.devices) await changeDevice(context, id)
}

function applyHub(context: SessionContext, listeners: ListenerChanges | undefined): void {
  const { limits } = context.hub()
  context.store.setLimits(storeLimits(limits))
  context.retained.setLimits({ messages: limits.retainedMessages, bytes: limits.retainedBytes })
  context.devices.refreshAll()
  context.generation += 1
  listeners?.setDeviceCa()
  listeners?.limitsChanged()
  for (const device of context.devices) closeIllegal(context, device, device.record)
}

async function changeDevice(context: SessionContext, id: string): Promise<void> {
  const device = context.devices.get(normalizeDeviceId(id))
  if (device === undefined) return
  const record = await context.state.deviceById(id)
  if (record === undefined) {
    await removeDevice(context, device.id)
    return
  }
  const known = device.record.templateErrors
  context.devices.ensure(record)
  // Filters and subscriptions of the device may match otherwise now: nothing remembered about topics holds.
  context.generation += 1
  context.subscriptions.touch()
  closeIllegal(context, device, record)
  for (const link of surplusLinks(record, linksOf(device))) {
    closeLink(context, link, { code: 'CONNECTION_REPLACED' })
  }
  const [first] = device.links
  for (const detail of record.templateErrors) {
    if (first !== undefined && !known.includes(detail))
      raiseFor(context, first, { code: 'FILTER_TEMPLATE', detail })
  }
}

async function removeDevice(context: SessionContext, id: string): Promise<void> {
  const device = context.devices.get(id)
  if (device !== undefined) {
    for (const link of linksOf(device)) closeLink(context, link, { code: 'DEVICE_DELETED' })
  }
  for (const session of [...context.sessions.ofDevice(id)]) {
    context.wills.fire(session.key)
    await context.sessions.end(session)
  }
  context.devices.remove(id)
}

function closeIllegal(context: SessionContext, device: LiveDevice<Link>, record: DeviceRecord): void {
  const hub = context.hub()
  const now = context.now()
  for (const link of linksOf(device)) {
    if (link.live === undefined) continue
    const code = closeReason(link.live, { hub, device: record }, now)
    if (code !== undefined) closeLink(context, link, { code })
  }
}

/** A copy: closing a link takes it out of the set. */
const linksOf = (device: LiveDevice<Link>): Link[] => [...device.links]
