/** Answers a device that asks for a certificate, once that is in force and noted for good. */
import type { EnrolmentAnswer, EnrolmentRequest } from '../../contract/asks.ts'
import type { Device, Hub } from '../api/resources.ts'
import { isPending } from '../compile/device-record.ts'
import { isDeleting } from '../runtime/finalizer.ts'
import { keyOf } from '../runtime/resource.ts'
import { HUB_INDEX } from '../watch/indexes.ts'
import type { Enrolment } from './enrolments.ts'
import { memberKey } from './published.ts'
import type { Tools } from './tools.ts'

export function answerEnrolment(
  tools: Tools,
  hub: Hub,
  askId: string,
  request: EnrolmentRequest,
): EnrolmentAnswer | 'wait' {
  const device = deviceOf(tools, hub, request.deviceId)
  if (device === undefined)
    return { refusal: 'NOT_ENROLLABLE', detail: 'expected a Device with certificate.enrolled' }
  const { enrolment, isNew } = tools.enrolments.take(askId, device, request)
  if (isNew) tools.wakeDevice(keyOf(device))
  if (enrolment.outcome === undefined || !isInForce(tools, hub, device, enrolment)) return 'wait'
  tools.enrolments.forget(askId)
  return enrolment.outcome
}

function deviceOf({ world }: Tools, hub: Hub, id: string): Device | undefined {
  return world.devices
    .byIndex(HUB_INDEX, keyOf(hub))
    .find(
      (device) =>
        (device.spec.id ?? device.metadata.uid) === id &&
        device.spec.certificate?.enrolled !== undefined &&
        device.spec.enabled &&
        !isPending(device) &&
        !isDeleting(device),
    )
}

/** In the status, so that a restart does not forget it, and with the brokers, so that it can be used. */
function isInForce(
  { world, published }: Tools,
  hub: Hub,
  device: Device,
  { fingerprint }: Enrolment,
): boolean {
  if (fingerprint === undefined) return true
  const noted = world.devices.get(keyOf(device))?.status?.certificate?.fingerprints ?? []
  const member = published.get(keyOf(hub))?.members.get(memberKey('Device', device.metadata.name))
  return noted.includes(fingerprint) && (member?.facts.includes(fingerprint) ?? false)
}
