import type { EventCode } from '../../contract/hub-event.ts'

/** What a CONNECT comes with, reduced to what the decision depends on. */
export interface SecurityCase {
  encrypted: boolean
  /** `Nameless`: trusted by the hub's own CA, but without a common name that could name a device. */
  certificate: 'None' | 'Valid' | 'Nameless' | 'Invalid' | 'Revoked'
  device: 'Enabled' | 'Disabled' | 'Revoked' | 'Unknown'
  /** Of the device; false where it is unknown. */
  allowInsecure: boolean
}

export interface SecurityRow {
  when: Partial<SecurityCase>
  result: 'Accepted' | EventCode
}

/**
 * The connection security matrix of spec §2.2 in words, in the order in which it is read: the first row whose
 * conditions all hold decides. A deleted device leaves no record, so at CONNECT it is an unknown one.
 */
export const SECURITY_MATRIX: Readonly<Record<string, SecurityRow>> = {
  'a certificate that is outdated, untrusted or not of this device is refused, never passed over': {
    when: { certificate: 'Invalid' },
    result: 'INVALID_DEVICE_CERTIFICATE',
  },
  'a certificate of the own CA has to name a device': {
    when: { certificate: 'Nameless' },
    result: 'EMPTY_COMMON_NAME',
  },
  'a revoked certificate is refused': {
    when: { certificate: 'Revoked' },
    result: 'DEVICE_REVOKED',
  },
  'what names no device is refused': {
    when: { device: 'Unknown' },
    result: 'UNKNOWN_DEVICE',
  },
  'a revoked device is refused on every link': {
    when: { device: 'Revoked' },
    result: 'DEVICE_REVOKED',
  },
  'a disabled device is refused on every link': {
    when: { device: 'Disabled' },
    result: 'DEVICE_DISABLED',
  },
  'a valid certificate is accepted': {
    when: { encrypted: true, certificate: 'Valid' },
    result: 'Accepted',
  },
  'a device that denies insecure links needs a certificate on an encrypted one': {
    when: { allowInsecure: false, encrypted: true },
    result: 'MTLS_REQUIRED',
  },
  'a device that denies insecure links is refused on a plain one': {
    when: { allowInsecure: false, encrypted: false },
    result: 'MTLS_REQUIRED',
  },
  'a device that allows insecure links is accepted by its id on an encrypted one': {
    when: { allowInsecure: true, encrypted: true, certificate: 'None' },
    result: 'Accepted',
  },
  'a device that allows insecure links is accepted by its id on a plain one': {
    when: { allowInsecure: true, encrypted: false, certificate: 'None' },
    result: 'Accepted',
  },
}

const ROWS = Object.values(SECURITY_MATRIX)

/** The code of the refusal, or `Accepted`. What no row foresees is refused. */
export function judgeSecurity(facts: SecurityCase): SecurityRow['result'] {
  return ROWS.find(({ when }) => holds(when, facts))?.result ?? 'MTLS_REQUIRED'
}

function holds(when: Partial<SecurityCase>, facts: SecurityCase): boolean {
  return (
    (when.certificate ?? facts.certificate) === facts.certificate &&
    (when.device ?? facts.device) === facts.device &&
    (when.encrypted ?? facts.encrypted) === facts.encrypted &&
    (when.allowInsecure ?? facts.allowInsecure) === facts.allowInsecure
  )
}
