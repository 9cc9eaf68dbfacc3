/** Which CA the devices of a hub are checked by: the one that was found good last, kept in a Secret of the hub. */

import type { Hub, Secret } from '../api/resources.ts'
import { deviceTrustSecret } from '../build/credentials.ts'
import { hubDeviceTrustSecret } from '../compile/names.ts'
import type { DatedRevocationList } from '../compile/revocation.ts'
import { allTrusted, living, type RetiredCa, type TrustedCas } from '../compile/trusted-cas.ts'
import { certificatesIn, facts, readCertificate } from '../pki/facts.ts'
import { unrevokedCas } from '../pki/revocation-list.ts'
import type { Desired } from '../runtime/apply.ts'
import { secretText } from '../watch/secret-reader.ts'
import { knownOwnedSecret } from './owned-secret.ts'
import type { Tools } from './tools.ts'

export type DeviceCA = Hub['spec']['deviceCA']

export interface DeviceTrust {
  /** As the spec had it when it was found good; of a provided one without the certificates. */
  deviceCA: DeviceCA
  cas: TrustedCas
  /** What they have revoked. */
  lists: DatedRevocationList[]
  /** All CAs but those that are revoked, PEM, one text each, in the order in which brokers take them. */
  caCertificates: string[]
}

/** The device CA in force; undefined: none was found good yet. */
export function trustInForce(
  world: Pick<Tools['world'], 'secrets'>,
  hub: Hub,
  now: number,
): DeviceTrust | undefined {
  const secret = knownOwnedSecret(world, hub, hubDeviceTrustSecret(hub.metadata.name))
  return secret && readTrust(secret, now)
}

/** The hub as its devices see it: with the device CA in force, whatever the spec asks for by now. */
export const inForce = (hub: Hub, { deviceCA }: DeviceTrust): Hub => ({
  ...hub,
  spec: { ...hub.spec, deviceCA },
})

/** What `readTrust` reads. Retired CAs go by the clock, also while the spec cannot be followed. */
export function trustSecret(
  hub: Hub,
  { deviceCA, cas, lists }: Pick<DeviceTrust, 'deviceCA' | 'cas' | 'lists'>,
): Desired {
  const { next, retired } = cas
  return deviceTrustSecret(hub, {
    deviceCA,
    caPem: cas.current.join(''),
    beside: {
      ...(next.length + retired.length === 0 ? {} : { beside: { next, retired } }),
      ...(lists.length === 0 ? {} : { lists }),
    },
  })
}

export function readTrust(secret: Secret, now: number): DeviceTrust | undefined {
  try {
    const deviceCA = JSON.parse(secretText(secret, 'device-ca.json') ?? '') as DeviceCA
    if (!['managed', 'secretRef', 'provided'].some((name) => name in deviceCA)) return undefined
    const current = certificatesIn(secretText(secret, 'ca.crt') ?? '').filter(isReadable)
    const cas = { current, ...casBeside(secret, now) }
    const lists = JSON.parse(secretText(secret, 'lists.json') ?? '[]') as DatedRevocationList[]
    return { deviceCA, cas, lists, caCertificates: unrevokedCas(allTrusted(cas), lists) }
  } catch {
    // Edited by somebody; the next run of the hub writes it anew.
    return undefined
  }
}

function casBeside(secret: Secret, now: number): Pick<TrustedCas, 'next' | 'retired'> {
  const text = secretText(secret, 'beside.json')
  if (text === undefined) return { next: [], retired: [] }
  const { next, retired } = JSON.parse(text) as { next: string[]; retired: RetiredCa[] }
  return {
    next: next.filter(isReadable),
    retired: living(retired, now).filter(({ certificate }) => isReadable(certificate)),
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

/** The same of CAs of the user's, with what becomes of each. The hub's own comes first. */
export function trustStatus({ current, next, retired }: TrustedCas) {
  const [coming] = next.filter((pem) => !current.includes(pem))
  const leaving = retired
    .filter(({ certificate }) => !current.includes(certificate))
    .map(({ certificate, until }) => ({ fingerprint: facts(certificate).fingerprint, until }))
  return {
    ...caStatus([...new Set([...current, ...next, ...retired.map(({ certificate }) => certificate)])]),
    ...(coming === undefined ? {} : { next: { fingerprint: facts(coming).fingerprint } }),
    ...(leaving.length === 0 ? {} : { retired: leaving }),
  }
}
