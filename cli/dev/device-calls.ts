/** What a command may ask of a running `hublet dev` about its devices. */
import { type Static, Type } from 'typebox'
import { Compile } from 'typebox/compile'

/** Devices that one call may name. */
export const MAX_NAMES = 1_000

/** Key of a hub; needed where several have a device of that name. */
const hub = Type.Optional(Type.String({ minLength: 1, maxLength: 253 }))
/** Name of the device, or of its object. */
const device = Type.String({ minLength: 1, maxLength: 253 })

export const DeviceCall = Type.Object({
  call: Type.Union([Type.Literal('rotate'), Type.Literal('revoke'), Type.Literal('restore')]),
  hub,
  device,
})
export type DeviceCall = Static<typeof DeviceCall>
export type DeviceChange = DeviceCall['call']

export const ApproveCall = Type.Object({
  call: Type.Literal('approve'),
  hub,
  devices: Type.Array(device, { minItems: 1, maxItems: MAX_NAMES }),
})
export type ApproveCall = Static<typeof ApproveCall>

const check = Compile(Type.Union([DeviceCall, ApproveCall]))

/** Undefined: not such a call. */
export const parseDeviceCall = (value: unknown): DeviceCall | ApproveCall | undefined =>
  check.Check(value) ? value : undefined

export interface Refusal {
  refused: 'DeviceUnknown' | 'DeviceAmbiguous' | 'NotIssued' | 'Declared'
  message: string
}

export type DeviceAnswer =
  | {
      done: DeviceChange
      hub: string
      device: string
      /** The device asks for its certificates itself. */
      isAskedFor: boolean
    }
  | Refusal

/** All that were named, or why none of them. */
export type ApproveAnswer =
  | { approved: Array<{ hub: string; device: string; wasApproved: boolean }> }
  | { refusals: Refusal[] }

/** An answer that counts once what was changed is in force. */
export interface Decided<T> {
  answer: T
  isChanged: boolean
}
