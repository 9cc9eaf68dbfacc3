/** What becomes of a command about devices of a running hub. */
import type { Device } from '../../crds/device.ts'
import type { Hub } from '../../crds/hub.ts'
import { deviceName, isIssued, isPending } from '../../operator/compile/device-record.ts'
import { shownPath } from '../manifests/load-manifests.ts'
import type { LoadedManifest, ManifestSet } from '../manifests/manifest-set.ts'
import type {
  ApproveAnswer,
  ApproveCall,
  Decided,
  DeviceAnswer,
  DeviceCall,
  Refusal,
} from './device-calls.ts'
import { hubsOf } from './hub-manifests.ts'
import type { IdentityStore } from './identity-store.ts'
import type { ProvisionedDevices } from './provisioned-devices.ts'

/** What is kept of devices beside the manifests. */
export interface Kept {
  identities: IdentityStore
  provisioned: ProvisionedDevices
}

/** Gives a device another certificate, or revokes what it has. `set`: the manifests of the user. */
export function changeDevice(
  set: ManifestSet,
  { identities, provisioned }: Kept,
  call: DeviceCall,
): Decided<DeviceAnswer> {
  const found = findDevice(provisioned.addTo(set), call.device, call.hub)
  if ('refused' in found) return { answer: found, isChanged: false }
  const device = deviceName(found.object)
  const isAskedFor = found.object.spec.certificate?.enrolled !== undefined
  if (call.call === 'rotate' && !isAskedFor && !isIssued(found.hub, found.object)) {
    const message = `the certificate of device ${call.device} is not issued here`
    return { answer: { refused: 'NotIssued', message }, isChanged: false }
  }
  identities.change(found.key, found.object.metadata.name, call.call)
  return { answer: { done: call.call, hub: found.key, device, isAskedFor }, isChanged: true }
}

/** Lets devices in that wait for it: all that are named, or none, as half a list has to be sorted out by hand. */
export function approveDevices(
  set: ManifestSet,
  { provisioned }: Kept,
  call: ApproveCall,
): Decided<ApproveAnswer> {
  const complete = provisioned.addTo(set)
  const chosen = call.devices.map((name) => {
    const found = findDevice(complete, name, call.hub)
    return 'refused' in found ? found : (declaredIn(set, found) ?? found)
  })
  const refusals = chosen.flatMap((one) => ('refused' in one ? [one] : []))
  if (refusals.length > 0) return { answer: { refusals }, isChanged: false }
  const approved = chosen
    .flatMap((one) => ('refused' in one ? [] : [one]))
    .map(({ key, object }) => {
      const isWaiting = isPending(object)
      if (isWaiting) provisioned.approve(key, object.metadata.name)
      return { hub: key, device: deviceName(object), wasApproved: !isWaiting }
    })
  return { answer: { approved }, isChanged: approved.some(({ wasApproved }) => !wasApproved) }
}

/** A manifest of the user's is the user's to change. Undefined: there is nothing to change in it. */
function declaredIn(set: ManifestSet, { object, source }: Found): Refusal | undefined {
  const isDeclared = [...set.values()].some((manifest) => manifest.object === object)
  if (!isDeclared || !isPending(object)) return undefined
  const where = `${shownPath(source.file)}:${source.lineOf('spec.approved')}`
  const message = `device ${deviceName(object)} stands in your manifests: set spec.approved to true in ${where}`
  return { refused: 'Declared', message }
}

interface Found {
  key: string
  hub: Hub
  object: Device
  source: LoadedManifest['source']
}

function findDevice(set: ManifestSet, name: string, hub: string | undefined): Found | Refusal {
  const found = hubsOf(set)
    .filter(({ key }) => hub === undefined || key === hub)
    .flatMap(({ key, hub, devices }) => devices.map((one) => ({ key, hub: hub.object, ...one })))
    .filter(({ object }) => [deviceName(object), object.metadata.name].includes(name))
  const [only, ...others] = found
  if (only === undefined)
    return {
      refused: 'DeviceUnknown',
      message: `expected a device of a hub here, got ${JSON.stringify(name)}`,
    }
  if (others.length === 0) return only
  const message = `hubs ${found.map(({ key }) => key).join(', ')} have a device ${name}: name one with --hub`
  return { refused: 'DeviceAmbiguous', message }
}
