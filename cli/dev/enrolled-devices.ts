import { join } from 'node:path'
import type { EnrolmentAnswer, EnrolmentRequest } from '../../contract/asks.ts'
import { type Device, ROTATE_ANNOTATION } from '../../crds/device.ts'
import { certificateSource, deviceName } from '../../operator/compile/device-record.ts'
import { parseDuration } from '../../operator/compile/duration.ts'
import type { DeviceFacts } from '../../operator/compile/facts.ts'
import {
  enrolmentRefusal,
  type Grounds,
  issueEnrolment,
  newToken,
  sha256,
  tokenStep,
} from '../../operator/pki/enrolment.ts'
import { facts } from '../../operator/pki/facts.ts'
import type { Pair } from '../../operator/pki/pair.ts'
import type { CertificateFiles, Surroundings } from './certificate-files.ts'
import type { DataFolder } from './data-folder.ts'
import { endingOf, isDeviceRevoked, withPromoted, withReplaced, withRevoked } from './device-identity.ts'
import type { HubManifests } from './hub-manifests.ts'
import type { DeviceIdentity, Ending } from './identity-record.ts'

export interface EnsuredEnrolment {
  identity: DeviceIdentity
  facts: Pick<DeviceFacts, 'certificate' | 'enrolment'>
}

type Enrolled = NonNullable<DeviceIdentity['enrolled']>

/** Where the token of a device lies, in the data folder. */
export const enrolmentTokenFile = (key: string, object: string) => join(key, 'devices', object, 'token')

/**
 * Devices with `certificate.enrolled`: they ask for their certificates over EST and keep their keys. Here are the
 * tokens for the first one, and what the certificates are known by.
 */
export class EnrolledDevices {
  readonly #folder: DataFolder
  readonly #certificates: CertificateFiles
  readonly #surroundings: Surroundings

  constructor(folder: DataFolder, certificates: CertificateFiles, surroundings: Surroundings) {
    this.#folder = folder
    this.#certificates = certificates
    this.#surroundings = surroundings
  }

  /** Makes the token that is due, and lets go of the one whose time is up. */
  ensure(device: Device, seen: DeviceIdentity, { hub, key }: HubManifests): EnsuredEnrolment {
    const now = this.#surroundings.now()
    const file = enrolmentTokenFile(key, device.metadata.name)
    const source = certificateSource(hub.object, device)
    const before = this.#enrolled(device, seen, key)
    if (isDeviceRevoked(device, seen) || source === 'None') {
      this.#folder.remove(file)
      const shown = before.current === undefined ? [] : [before.current]
      const identity = source === 'None' ? seen : withRevoked(seen, shown, now)
      return { identity: { ...identity, enrolled: {} }, facts: {} }
    }
    const { isRotationAsked, ...identity } = seen
    const asked = isRotationAsked === true ? new Date(now).toISOString() : before.asked
    const { token, enrolment } = this.#token(
      device,
      { ...identity, enrolled: present({ ...before, asked }) },
      file,
    )
    const enrolled: Enrolled = present({ ...before, asked, token })
    const next = promoted(device, source, { ...identity, enrolled })
    const certificate = before.current && certificateFacts(source, before.current, next)
    return { identity: next, facts: present({ certificate, enrolment }) }
  }

  /** The token that there is from now on, and what brokers know of it. */
  #token(
    device: Device,
    { handledRotation = '', enrolled = {} }: DeviceIdentity,
    file: string,
  ): { token?: Enrolled['token']; enrolment?: DeviceFacts['enrolment'] } {
    const now = this.#surroundings.now()
    const rotation = rotationOf(device, enrolled.asked)
    const kept = this.#folder.read(file) ? enrolled.token : undefined
    const step = tokenStep({
      hasCertificate: enrolled.current !== undefined,
      rotation,
      handledRotation,
      known: kept && { until: Date.parse(kept.until), rotation: kept.rotation },
      now,
    })
    if (step === 'None') this.#folder.remove(file)
    if (step === 'None') return {}
    const token = step === 'Make' || kept === undefined ? this.#make(file, device, rotation) : kept
    if (step === 'Expired') return { token }
    const tokenSha256 = sha256(this.#folder.read(file) ?? '')
    return { token, enrolment: { tokenSha256, until: token.until } }
  }

  /** A device that is not enrolled any more has no use for a token. */
  forget(device: Device, { enrolled: _, ...identity }: DeviceIdentity, key: string): DeviceIdentity {
    this.#folder.remove(enrolmentTokenFile(key, device.metadata.name))
    return identity
  }

  /** Decides about a request; the identity is the next one where a certificate was issued. */
  async enrol(
    device: Device,
    identity: DeviceIdentity,
    {
      manifests: { key, hub },
      ca,
      request,
    }: { manifests: HubManifests; ca: Pair; request: EnrolmentRequest },
  ): Promise<{ answer: EnrolmentAnswer; identity?: DeviceIdentity }> {
    const { now, random } = this.#surroundings
    const source = certificateSource(hub.object, device)
    const duration = parseDuration(device.spec.certificate?.enrolled?.duration ?? '') ?? 0
    const wish = { ca, commonName: deviceName(device), duration, now: now(), random }
    const text = this.#folder.read(enrolmentTokenFile(key, device.metadata.name))
    const answer =
      enrolmentRefusal(request, groundsOf(identity, { source, text, now: now() })) ??
      (await issueEnrolment(request, wish))
    if (!('certificate' in answer)) return { answer }
    const made = endingOf({ facts: facts(answer.certificate) })
    return { answer, identity: withIssued(device, identity, { made, request, source, now: now() }) }
  }

  /** A device that had a certificate of ours before goes on from it, as it does in a cluster. */
  #enrolled(device: Device, { enrolled }: DeviceIdentity, key: string): Enrolled {
    if (enrolled !== undefined) return enrolled
    const found = this.#certificates.find(join(key, 'devices', device.metadata.name, 'tls'))
    return found?.facts.commonName === deviceName(device) ? { current: endingOf(found) } : {}
  }

  #make(file: string, device: Device, rotation: string): NonNullable<Enrolled['token']> {
    const ttl = parseDuration(device.spec.certificate?.enrolled?.tokenTTL ?? '') ?? 0
    this.#folder.write(file, newToken(this.#surroundings.random))
    return { until: new Date(this.#surroundings.now() + ttl).toISOString(), rotation }
  }
}

/** What a request is judged by. `text`: the token in its file. */
function groundsOf(
  { enrolled = {}, retiring }: DeviceIdentity,
  { source, text, now }: { source: string; text: string | undefined; now: number },
): Grounds {
  const { current, token, used } = enrolled
  const isInTime = token !== undefined && Date.parse(token.until) > now
  const good = [...(current === undefined ? [] : [current]), ...retiring]
  return {
    // Where the chain counts, any certificate of the CA may be the device's.
    accepted: source === 'HubCA' ? 'Chain' : good.map(({ fingerprint }) => fingerprint),
    token: isInTime && text ? sha256(text) : undefined,
    used,
  }
}

interface Issued {
  made: Ending
  request: EnrolmentRequest
  source: string
  /** ms since the epoch. */
  now: number
}

function withIssued(
  device: Device,
  identity: DeviceIdentity,
  { made, request: { tokenSha256, csr }, source, now }: Issued,
): DeviceIdentity {
  const { current, used, asked } = identity.enrolled ?? {}
  const overlap = parseDuration(device.spec.certificate?.enrolled?.overlap ?? '') ?? 0
  // On a hub with a CA of the user's the chain counts, so a replaced certificate is good until it ends.
  const overlapUntil = source === 'HubCA' ? Number.POSITIVE_INFINITY : now + overlap
  const replaced = current === undefined ? identity : withReplaced(identity, current, overlapUntil)
  const usedNow = tokenSha256 === undefined ? used : { token: tokenSha256, request: sha256(csr) }
  const rotation = rotationOf(device, asked)
  return {
    ...replaced,
    enrolled: { ...identity.enrolled, ...present({ current: made, used: usedNow }) },
    ...(rotation === '' ? {} : { handledRotation: rotation }),
  }
}

/** Without the fields that are undefined. */
const present = <T extends object>(fields: T) =>
  Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as {
    [K in keyof T]?: Exclude<T[K], undefined>
  }

/** What a person has asked for last, by annotation or by command; empty: nothing. */
const rotationOf = ({ metadata }: Device, asked: string | undefined): string =>
  [metadata.annotations?.[ROTATE_ANNOTATION], asked].filter((part) => part).join(' ')

/** As in the operator: where the chain counts, or several clients share a certificate, use proves nothing. */
function promoted(device: Device, source: string, identity: DeviceIdentity): DeviceIdentity {
  const isShared = source === 'HubCA' || device.spec.allowMultipleConnections
  return isShared ? identity : withPromoted(identity, identity.enrolled?.current?.fingerprint)
}

const certificateFacts = (
  source: 'Managed' | 'Provided' | 'HubCA',
  current: Ending,
  { retiring }: DeviceIdentity,
): NonNullable<DeviceFacts['certificate']> => ({
  source,
  fingerprints: [current, ...retiring].map(({ fingerprint }) => fingerprint),
  notAfter: current.until,
})
