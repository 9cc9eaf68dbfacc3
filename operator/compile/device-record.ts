import type { DeviceRecord, RevokedFingerprint } from '../../contract/hub-state.ts'
import { DEVICE_REASONS, type Device } from '../../crds/device.ts'
import type { Hub } from '../../crds/hub.ts'
import { COMMON_REASONS } from '../../crds/meta.ts'
import type { DeviceFacts } from './facts.ts'
import { trustMode } from './hub-record.ts'
import { expandRule } from './templates.ts'

type CertificateRecord = DeviceRecord['certificate']

/** Something about a device that its owner should know; the device stays in the hub. */
export interface DeviceRemark {
  reason: string
  message: string
}

export interface DeviceInput {
  device: Device
  /** `spec.id`, else the uid. */
  id: string
  hub: { object: Hub; uid: string }
  facts: DeviceFacts
  /** ms since the epoch. */
  now: number
}

/** Common name of its certificates. */
export const deviceName = ({ spec, metadata }: Device) => spec.name ?? metadata.name

/** Whether the operator issues the certificate of a device, whichever way the broker then matches it. */
export function isIssued(hub: Hub, device: Device): boolean {
  const { certificate } = device.spec
  if (hub.spec.deviceCA.provided !== undefined) return false
  return certificate === undefined || certificate.managed !== undefined
}

/** How the spec wants a client certificate to be matched. None: the hub cannot do what the device asks for. */
export function certificateSource(hub: Hub, { spec }: Device): CertificateRecord['source'] {
  if (spec.certificate?.provided !== undefined) return 'Provided'
  if (trustMode(hub) === 'Managed') return spec.certificate?.hubCA === undefined ? 'Managed' : 'None'
  const { managed, enrolled } = spec.certificate ?? {}
  const isAsked = managed !== undefined || enrolled !== undefined
  const isImpossible = isAsked && hub.spec.deviceCA.provided !== undefined
  return isImpossible ? 'None' : 'HubCA'
}

/** The record of one device. What cannot be worked out is closed, never left open. */
export function deviceRecord(input: DeviceInput): { record: DeviceRecord; remarks: DeviceRemark[] } {
  const { device, id, facts, now } = input
  const { spec } = device
  const filters = deviceFilters(input)
  const password = passwordOf(device, facts)
  const certificate = certificateOf(input)
  return {
    record: {
      id,
      name: deviceName(device),
      enabled: spec.enabled && (!isPending(device) || quarantineOf(input.hub.object) !== undefined),
      revoked: spec.revoked,
      allowInsecure: spec.allowInsecure && password.isKnown && !isPending(device),
      allowMultipleConnections: spec.allowMultipleConnections,
      filters: filters.rules,
      templateErrors: filters.errors,
      certificate: certificate.record,
      revokedFingerprints: revokedFingerprints(device, facts, now),
      ...(spec.serviceAccount === undefined ? {} : { serviceAccount: spec.serviceAccount.name }),
      ...(spec.certificate?.enrolled === undefined || facts.enrolment === undefined
        ? {}
        : { enrolment: facts.enrolment }),
      ...(password.verifier === undefined ? {} : { passwordVerifier: password.verifier }),
    },
    remarks: [
      ...certificate.remarks,
      ...password.remarks,
      ...filters.errors.map((message) => ({ reason: DEVICE_REASONS.FilterTemplateInvalid, message })),
    ],
  }
}

/** Nobody has approved it yet. */
export const isPending = ({ spec }: Device): boolean => spec.approved === false

const quarantineOf = (hub: Hub) => hub.spec.autoProvisioning.quarantine

/** Its own filters, or while it waits for approval those of the quarantine. */
function filtersOf({ device, hub }: DeviceInput): Device['spec']['messageFilters'] {
  if (!isPending(device)) return device.spec.messageFilters
  const { publish = [], subscribe = [] } = quarantineOf(hub.object) ?? {}
  return {
    publish: { policy: 'Accept', topics: publish },
    subscribe: { policy: 'Accept', topics: subscribe },
  }
}

function deviceFilters(input: DeviceInput) {
  const { device, id, hub } = input
  const variables = {
    'device.id': id,
    'device.name': deviceName(device),
    'hub.id': hub.uid,
    'hub.name': hub.object.metadata.name,
  }
  const messageFilters = filtersOf(input)
  const publish = expandRule(messageFilters.publish, variables, 'publish')
  const subscribe = expandRule(messageFilters.subscribe, variables, 'subscribe')
  return {
    rules: { publish: publish.rule, subscribe: subscribe.rule },
    errors: [...publish.errors, ...subscribe.errors],
  }
}

function certificateOf({ device, hub, facts, now }: DeviceInput): {
  record: CertificateRecord
  remarks: DeviceRemark[]
} {
  const source = certificateSource(hub.object, device)
  if (source === 'HubCA') return { record: { source, fingerprints: [] }, remarks: [] }
  if (source === 'None') {
    const asked = device.spec.certificate?.hubCA === undefined ? 'managed' : 'hubCA'
    const has = hub.object.spec.deviceCA.managed === undefined ? 'provided' : 'managed'
    const message = `certificate.${asked} is not possible on a hub with deviceCA.${has}`
    return {
      record: { source, fingerprints: [] },
      remarks: [{ reason: DEVICE_REASONS.CertificateNotPossible, message }],
    }
  }
  const found = facts.certificate
  if (found?.source !== source) return { record: { source: 'None', fingerprints: [] }, remarks: [] }
  return {
    record: { source, fingerprints: [...new Set(found.fingerprints)].sort() },
    remarks: expiryRemarks(found.notAfter, now),
  }
}

function expiryRemarks(notAfter: string | undefined, now: number): DeviceRemark[] {
  if (notAfter === undefined || Date.parse(notAfter) > now) return []
  const message = `the certificate has expired on ${notAfter}`
  return [{ reason: DEVICE_REASONS.CertificateInvalid, message }]
}

/** A password that is asked for and not known closes the links that would need it. */
function passwordOf({ spec }: Device, { passwordVerifier }: DeviceFacts) {
  if (spec.passwordSecretRef === undefined) return { isKnown: true, remarks: [] }
  if (passwordVerifier !== undefined) return { isKnown: true, verifier: passwordVerifier, remarks: [] }
  const { name, key } = spec.passwordSecretRef
  const message = `key ${key} of Secret ${name} is not there: links without a client certificate are refused`
  return { isKnown: false, remarks: [{ reason: COMMON_REASONS.SecretNotFound, message }] }
}

/** Of the status and of the facts; the later end counts, what has ended is left out. */
function revokedFingerprints(device: Device, facts: DeviceFacts, now: number): RevokedFingerprint[] {
  const ends = new Map<string, string>()
  const all = [...(device.status?.revokedFingerprints ?? []), ...(facts.revokedFingerprints ?? [])]
  for (const { fingerprint, until } of all) {
    const known = ends.get(fingerprint)
    if (known === undefined || Date.parse(known) < Date.parse(until)) ends.set(fingerprint, until)
  }
  return [...ends]
    .filter(([, until]) => !(Date.parse(until) <= now))
    .map(([fingerprint, until]) => ({ fingerprint, until }))
    .sort((a, b) => (a.fingerprint < b.fingerprint ? -1 : 1))
}
