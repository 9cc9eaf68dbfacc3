import type { Device, Hub } from '../api/resources.ts'
import type { Desired } from '../runtime/apply.ts'
import type { EventText } from '../runtime/events.ts'
import type { DeviceTrust } from './device-trust.ts'
import type { Problem, Tools } from './tools.ts'

/** A device with a hub that has a device CA. */
export interface DeviceScope {
  tools: Tools
  device: Device
  /** With the device CA in force. */
  hub: Hub
  trust: DeviceTrust
  /** ms since the epoch, the same for all steps of a run. */
  now: number
  signal: AbortSignal
}

/** What a step of a device's reconcile came to. */
export interface DevicePart {
  desired: Desired[]
  /** There already, and to be left as they are. */
  kept: Desired[]
  problems: Problem[]
  events: EventText[]
}

export const emptyDevicePart = (): DevicePart => ({ desired: [], kept: [], problems: [], events: [] })
