/** Which CA the devices of a hub are checked by, and which one was checked by the operator last. */

import { HUB_REASONS } from '../../crds/hub.ts'
import { COMMON_REASONS } from '../../crds/meta.ts'
import type { Hub, Secret } from '../api/resources.ts'
import { deviceCaSecret, deviceTrustSecret } from '../build/credentials.ts'
import { hubDeviceCaSecret, hubDeviceTrustSecret } from '../compile/names.ts'
import { openCa } from '../pki/certificate-authority.ts'
import { facts, readCertificate } from '../pki/facts.ts'
import { PkiError } from '../pki/pki-error.ts'
import { openProvidedCa } from '../pki/provided-ca.ts'
import { objectKey } from '../runtime/resource.ts'
import { secretText } from '../watch/secret-reader.ts'
import { emptyPart, failedPart, type HubPart, type HubScope } from './hub-part.ts'
import { ensureManagedCa } from './managed-ca.ts'
import { findOwnedSecret, knownOwnedSecret } from './owned-secret.ts'
import { certificatesIn } from './pairs.ts'
import { stalledBy, type Tools, waitsFor } from './tools.ts'

type DeviceCA = Hub['spec']['deviceCA']

export interface DeviceTrust {
  /** As the spec had it when it was found good; of a provided one without the certificates. */
  deviceCA: DeviceCA
  /** PEM, one text each. */
  caCertificates: string[]
}

/** The device CA in force; undefined: none was found good yet. */
export function trustInForce(world: Pick<Tools['world'], 'secrets'>, hub: Hub): DeviceTrust | undefined {
  const secret = knownOwnedSecret(world, hub, hubDeviceTrustSecret(hub.metadata.name))
  return secret && readTrust(secret)
}

/** The hub as its devices see it: with the device CA in force, whatever the spec asks for by now. */
export const inForce = (hub: Hub, { deviceCA }: DeviceTrust): Hub => ({
  ...hub,
  spec: { ...hub.spec, deviceCA },
})

function readTrust(secret: Secret): DeviceTrust | undefined {
  try {
    const deviceCA = JSON.parse(secretText(secret, 'device-ca.json') ?? '') as DeviceCA
    if (!['managed', 'secretRef', 'provided'].some((name) => name in deviceCA)) return undefined
    return { deviceCA, caCertificates: certificatesIn(secretText(secret, 'ca.crt') ?? '').filter(isReadable) }
  } catch {
    // Edited by somebody; the next run of the hub writes it anew.
    return undefined
  }
}

function isReadable(pem: string): boolean {
  try {
    readCertificate(pem, 'ca.crt')
    return true
  } catch {
    return false
  }
}

/** The step of a hub's reconcile that finds its device CA, and makes it where that is ours to do. */
export async function deviceAuthority(scope: HubScope): Promise<HubPart> {
  const { hub } = scope
  const { deviceCA } = hub.spec
  const trust = await findOwnedSecret(scope.tools, hub, hubDeviceTrustSecret(hub.metadata.name), scope.signal)
  if (trust.problem !== undefined) return failedPart(trust.problem)
  // The key of a CA is not thrown away because the spec looks elsewhere for a while.
  const own = await findOwnedSecret(scope.tools, hub, hubDeviceCaSecret(hub.metadata.name), scope.signal)
  const found = await findAuthority(scope)
  if ('problem' in found) return withStatus(failedPart(found.problem, trust.secret, own.secret), trust.secret)
  const { part, caPem, kept } = found
  const desired = { ...deviceTrustSecret(hub, kept, caPem), known: trust.secret ?? ('absent' as const) }
  const isMade = deviceCA.managed !== undefined
  return {
    ...part,
    desired: [...part.desired, desired],
    kept: isMade || own.secret === undefined ? [] : [own.secret],
    status: { deviceCA: caStatus(certificatesIn(caPem)) },
  }
}

type Authority =
  | { part: HubPart; caPem: string; kept: DeviceCA }
  | { problem: ReturnType<typeof stalledBy>; part?: undefined }

async function findAuthority(scope: HubScope): Promise<Authority> {
  const { managed, secretRef, provided } = scope.hub.spec.deviceCA
  if (secretRef !== undefined) return await authorityOfSecret(scope, secretRef.name)
  if (provided !== undefined) return authorityOfSpec(scope, provided)
  const { name } = scope.hub.metadata
  const keyAlgorithm = managed?.keyAlgorithm ?? 'ECDSA-P256'
  const made = await ensureManagedCa(scope, {
    secretName: hubDeviceCaSecret(name),
    commonName: `${name} device CA`,
    keyAlgorithm,
    build: (pair, bundlePem) => deviceCaSecret(scope.hub, pair, bundlePem),
  })
  if ('problem' in made) return made
  const { desired, events, dueAt, bundlePem } = made.ca
  const part = { ...emptyPart(), desired: [desired], events, dueAt }
  return { part, caPem: bundlePem, kept: { managed: { keyAlgorithm } } }
}

/** A CA of the user's with its key: read anew at every run, so a renewed one takes effect by itself. */
async function authorityOfSecret({ tools, hub, now, signal }: HubScope, name: string): Promise<Authority> {
  const key = objectKey(hub.metadata.namespace, name)
  const secret = await tools.secrets.read(key, signal)
  if (secret === undefined)
    return {
      problem: waitsFor(COMMON_REASONS.SecretNotFound, `spec.deviceCA.secretRef: there is no Secret ${name}`),
    }
  const certificatePem = secretText(secret, 'tls.crt') ?? ''
  const privateKeyPem = secretText(secret, 'tls.key') ?? ''
  try {
    openCa({ certificatePem, privateKeyPem }, now)
  } catch (error) {
    if (!(error instanceof PkiError)) throw error
    const part = error.field === 'ca.privateKeyPem' ? 'tls.key' : 'tls.crt'
    const { expected, got } = error.fault
    const message = `spec.deviceCA.secretRef[${part}]: expected ${expected}, got ${got}`
    return { problem: stalledBy(HUB_REASONS.DeviceCAInvalid, message) }
  }
  const caPem = [
    ...new Set([...certificatesIn(certificatePem), ...certificatesIn(secretText(secret, 'ca.crt') ?? '')]),
  ].join('')
  const dueAt = facts(certificatePem).notAfter
  return { part: { ...emptyPart(), dueAt }, caPem, kept: { secretRef: { name } } }
}

/** A CA without its key has to be shown to be the user's: by a certificate that only its owner can have made. */
function authorityOfSpec({ hub, now }: HubScope, provided: NonNullable<DeviceCA['provided']>): Authority {
  const { uid = '', name, namespace } = hub.metadata
  try {
    const names = [uid, `${name}.${namespace}`]
    const chain = openProvidedCa(provided, { field: 'spec.deviceCA.provided', names, now })
    return {
      part: { ...emptyPart(), dueAt: Math.min(...chain.map((pem) => facts(pem).notAfter)) },
      caPem: chain.join(''),
      kept: { provided: { certificate: '', challengeCertificate: '' } },
    }
  } catch (error) {
    if (!(error instanceof PkiError)) throw error
    const isChallenge = error.field.endsWith('challengeCertificate')
    const reason = isChallenge ? HUB_REASONS.ChallengeFailed : HUB_REASONS.DeviceCAInvalid
    return { problem: stalledBy(reason, error.message) }
  }
}

/** The status tells what is in force, so it stays when the new one is no good. */
function withStatus(part: HubPart, trust: Secret | undefined): HubPart {
  const known = trust && readTrust(trust)
  return known === undefined ? part : { ...part, status: { deviceCA: caStatus(known.caCertificates) } }
}

/** The API takes 16 fingerprints. */
const MAX_FINGERPRINTS = 16

export function caStatus(certificates: readonly string[]): { fingerprints: string[]; notAfter?: string } {
  const all = certificates.map((pem) => facts(pem)).slice(0, MAX_FINGERPRINTS)
  if (all.length === 0) return { fingerprints: [] }
  const first = Math.min(...all.map(({ notAfter }) => notAfter))
  return {
    fingerprints: all.map(({ fingerprint }) => fingerprint),
    notAfter: new Date(first).toISOString().replace(/\.\d{3}Z$/, 'Z'),
  }
}
