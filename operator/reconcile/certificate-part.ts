import type { DeviceStatus } from '../../crds/device-status.ts'
import { type CertificateState, nextEnd } from './certificate-state.ts'
import { type DevicePart, emptyDevicePart } from './device-part.ts'

export interface CertificatePart extends DevicePart {
  /** Fields of the status that this step answers for. */
  status: Pick<DeviceStatus, 'certificate' | 'revokedFingerprints'>
  /** ms since the epoch at which something is due. */
  dueAt?: number
}

export type Source = NonNullable<NonNullable<DeviceStatus['certificate']>['source']>

export interface PartInput {
  source: Source
  state: CertificateState
  now: number
  secretName?: string
  /** Further times at which something is due; those in the past are of no use. */
  dueAt?: readonly number[]
}

/** What a device's status says of its certificates, and when it will have to say something else. */
export function partOf({ source, state, now, secretName, dueAt = [] }: PartInput): CertificatePart {
  const { current, retiring, revoked, used, enrolment, handledRotation } = state
  const fingerprints = [...(current ? [current] : []), ...retiring].map(({ fingerprint }) => fingerprint)
  const end = nextEnd(state)
  const ends = current === undefined ? [] : [Date.parse(current.until)]
  const times = [...dueAt, ...ends, ...(end === undefined ? [] : [end])].filter((time) => time > now)
  return {
    ...emptyDevicePart(),
    status: {
      certificate: {
        source,
        ...(fingerprints.length === 0 ? {} : { fingerprints }),
        ...(retiring.length === 0 ? {} : { retiring: [...retiring] }),
        ...(current === undefined ? {} : { notAfter: current.until }),
        ...(current?.serial === undefined ? {} : { serial: current.serial }),
        ...(used === undefined ? {} : { used }),
        ...(secretName === undefined ? {} : { secretName }),
        ...(enrolment === undefined ? {} : { enrolment }),
        ...(handledRotation === undefined ? {} : { handledRotation }),
      },
      ...(revoked.length === 0 ? {} : { revokedFingerprints: [...revoked] }),
    },
    ...(times.length === 0 ? {} : { dueAt: Math.min(...times) }),
  }
}
