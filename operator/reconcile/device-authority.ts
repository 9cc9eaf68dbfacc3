/** The step of a hub's reconcile that finds its device CA, and makes it where that is ours to do. */

import { HUB_REASONS, ROTATE_DEVICE_CA_ANNOTATION } from '../../crds/hub.ts'
import { COMMON_REASONS } from '../../crds/meta.ts'
import type { Hub, Secret } from '../api/resources.ts'
import { deviceCaSecret } from '../build/credentials.ts'
import { parseDuration } from '../compile/duration.ts'
import { hubDeviceCaSecret, hubDeviceTrustSecret } from '../compile/names.ts'
import { type DatedRevocationList, listStatus } from '../compile/revocation.ts'
import { DEFAULT_CA_OVERLAP, rollOver, type TrustedCas } from '../compile/trusted-cas.ts'
import { certificatesIn, facts } from '../pki/facts.ts'
import { PkiError } from '../pki/pki-error.ts'
import { openProvidedCa, readCas } from '../pki/provided-ca.ts'
import { openSecretCa } from '../pki/secret-ca.ts'
import type { EventText } from '../runtime/events.ts'
import { objectKey } from '../runtime/resource.ts'
import { secretText } from '../watch/secret-reader.ts'
import { deviceLists } from './device-crl.ts'
import {
  caStatus,
  type DeviceCA,
  type DeviceTrust,
  readTrust,
  trustSecret,
  trustStatus,
} from './device-trust.ts'
import { EVENT_REASONS } from './event-reasons.ts'
import { earliest, emptyPart, failedPart, type HubPart, type HubScope } from './hub-part.ts'
import { ensureManagedCa } from './managed-ca.ts'
import { managedCrl } from './managed-crl.ts'
import { findOwnedSecret } from './owned-secret.ts'
import { type Problem, stalledBy, waitsFor } from './tools.ts'

export async function deviceAuthority(scope: HubScope): Promise<HubPart> {
  const { hub, now } = scope
  const trust = await findOwnedSecret(scope.tools, hub, hubDeviceTrustSecret(hub.metadata.name), scope.signal)
  if (trust.problem !== undefined) return failedPart(trust.problem)
  // The key of a CA is not thrown away because the spec looks elsewhere for a while.
  const own = await findOwnedSecret(scope.tools, hub, hubDeviceCaSecret(hub.metadata.name), scope.signal)
  const before = trust.secret && readTrust(trust.secret, now)
  const found = await findAuthority(scope, before?.deviceCA.managed === undefined ? before : undefined)
  if ('problem' in found) {
    const part = failedPart(found.problem, trust.secret, own.secret)
    // The status tells what is in force, so it stays when the new one is no good.
    if (before === undefined) return part
    const ends = before.cas.retired.map(({ until }) => Date.parse(until))
    const dueAt = earliest(ends)
    const status = { deviceCA: { ...hub.status?.deviceCA, ...trustStatus(before.cas) } }
    return { ...part, status, ...(dueAt === undefined ? {} : { dueAt }) }
  }
  const { part, kept, cas, lists } = found
  const made = trustSecret(hub, { deviceCA: kept, cas, lists })
  const desired = { ...made, known: trust.secret ?? ('absent' as const) }
  const isMade = hub.spec.deviceCA.managed !== undefined
  return {
    ...part,
    desired: [...part.desired, desired],
    kept: isMade || own.secret === undefined ? [] : [own.secret],
  }
}

/** What the status can hold. */
const MAX_ROTATION = 256

/** The value of an annotation by which a person asks for a new CA. */
export const rotationOf = ({ metadata }: Hub, annotation: string): string | undefined =>
  metadata.annotations?.[annotation]?.slice(0, MAX_ROTATION)

interface Authority {
  part: HubPart
  cas: TrustedCas
  lists: DatedRevocationList[]
  kept: DeviceCA
}

async function findAuthority(
  scope: HubScope,
  before: DeviceTrust | undefined,
): Promise<Authority | { problem: Problem }> {
  const { secretRef, provided } = scope.hub.spec.deviceCA
  if (secretRef === undefined && provided === undefined) return await managedAuthority(scope)
  try {
    const current = secretRef ? await casOfSecret(scope, secretRef.name) : casOfSpec(scope, provided!)
    if ('problem' in current) return current
    const next = await nextCas(scope)
    if ('problem' in next) return next
    const cas = rolledOver(scope, before?.cas, { current: current.found, next: next.found })
    const { lists, ...listed } = await deviceLists(scope, cas, before?.lists ?? [])
    const kept: DeviceCA = secretRef
      ? { secretRef: { name: secretRef.name } }
      : { provided: { certificate: '', challengeCertificate: '' } }
    const ends = [...current.found, ...next.found].map((pem) => facts(pem).notAfter)
    const retirements = cas.retired.map(({ until }) => Date.parse(until))
    const dueAt = earliest(
      [...ends, ...retirements, listed.dueAt ?? scope.now].filter((end) => end > scope.now),
    )
    const part = {
      ...emptyPart(),
      problems: listed.problems,
      findings: listed.findings,
      status: {
        deviceCA: { ...trustStatus(cas), ...(lists.length === 0 ? {} : { crl: listStatus(lists) }) },
      },
      events: retirementEvents(before?.cas, cas),
      ...(dueAt === undefined ? {} : { dueAt }),
    }
    return { part, cas, lists, kept }
  } catch (error) {
    if (!(error instanceof PkiError)) throw error
    const isChallenge = error.field.endsWith('challengeCertificate')
    const reason = isChallenge ? HUB_REASONS.ChallengeFailed : HUB_REASONS.DeviceCAInvalid
    return { problem: stalledBy(reason, error.message) }
  }
}

async function managedAuthority(scope: HubScope): Promise<Authority | { problem: Problem }> {
  const { hub } = scope
  const { name } = hub.metadata
  const keyAlgorithm = hub.spec.deviceCA.managed?.keyAlgorithm ?? 'ECDSA-P256'
  const made = await ensureManagedCa(scope, {
    secretName: hubDeviceCaSecret(name),
    commonName: `${name} device CA`,
    keyAlgorithm,
    // Nobody but brokers checks what it signs, and those know it before any device does.
    leadMs: 0,
    rotation: rotationOf(hub, ROTATE_DEVICE_CA_ANNOTATION),
    handledRotation: hub.status?.deviceCA?.handledRotation,
    build: (pair, bundlePem) => deviceCaSecret(hub, pair, bundlePem),
  })
  if ('problem' in made) return made
  const { desired, events, dueAt, bundlePem, handledRotation } = made.ca
  const crl = await managedCrl(scope, made.ca.pair)
  const current = certificatesIn(bundlePem)
  const handled = handledRotation === undefined ? {} : { handledRotation }
  const status = { deviceCA: { ...caStatus(current), ...handled } }
  return {
    part: {
      ...emptyPart(),
      desired: [desired, crl.desired],
      events,
      dueAt: Math.min(dueAt, crl.dueAt),
      status,
    },
    cas: { current, next: [], retired: [] },
    lists: [],
    kept: { managed: { keyAlgorithm } },
  }
}

type Found = { found: string[] } | { problem: Problem }

/** A CA of the user's with its key: read anew at every run, so a renewed one takes effect by itself. */
async function casOfSecret(scope: HubScope, name: string): Promise<Found> {
  const field = 'spec.deviceCA.secretRef'
  const secret = await namedSecret(scope, name, field)
  if ('problem' in secret) return secret
  const text = (key: string) => secretText(secret.found, key) ?? ''
  const pair = { certificatePem: text('tls.crt'), privateKeyPem: text('tls.key') }
  return { found: openSecretCa(pair, text('ca.crt'), { field, now: scope.now }) }
}

/** A CA without its key has to be shown to be the user's: by a certificate that only its owner can have made. */
function casOfSpec({ hub, now }: HubScope, provided: NonNullable<DeviceCA['provided']>): Found {
  const { uid = '', name, namespace } = hub.metadata
  const names = [uid, `${name}.${namespace}`]
  return { found: openProvidedCa(provided, { field: 'spec.deviceCA.provided', names, now }) }
}

async function nextCas(scope: HubScope): Promise<Found> {
  const { next } = scope.hub.spec.deviceCA
  const { now } = scope
  if (next?.secretRef === undefined)
    return {
      found:
        next?.certificate === undefined
          ? []
          : readCas(next.certificate, 'spec.deviceCA.next.certificate', now),
    }
  const field = 'spec.deviceCA.next.secretRef'
  const { name, key } = next.secretRef
  const secret = await namedSecret(scope, name, field)
  if ('problem' in secret) return secret
  return { found: readCas(secretText(secret.found, key) ?? '', `${field}[${key}]`, now) }
}

async function namedSecret(
  { tools, hub, signal }: HubScope,
  name: string,
  field: string,
): Promise<{ found: Secret } | { problem: Problem }> {
  const secret = await tools.secrets.read(objectKey(hub.metadata.namespace, name), signal)
  if (secret !== undefined) return { found: secret }
  return { problem: waitsFor(COMMON_REASONS.SecretNotFound, `${field}: there is no Secret ${name}`) }
}

function rolledOver(
  { hub, now }: HubScope,
  before: TrustedCas | undefined,
  wanted: { current: string[]; next: string[] },
): TrustedCas {
  const overlapMs = parseDuration(hub.spec.deviceCA.overlap ?? DEFAULT_CA_OVERLAP) ?? 0
  return rollOver({ before, wanted, overlapMs, now, endOf: (pem) => facts(pem).notAfter })
}

function retirementEvents(before: TrustedCas | undefined, cas: TrustedCas): EventText[] {
  const [first] = before?.current ?? []
  if (first === undefined || first === cas.current[0]) return []
  const retired = cas.retired.find(({ certificate }) => certificate === first)
  const note = retired
    ? `another device CA has taken the place of the one before, which is trusted until ${retired.until}`
    : 'another device CA has taken the place of the one before, which is trusted no more'
  return [{ type: 'Normal', reason: EVENT_REASONS.CAReplaced, action: 'Trust', note }]
}
