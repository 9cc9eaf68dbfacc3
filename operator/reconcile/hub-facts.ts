/** What compile needs of a hub and its members beside their specs: gathered from Secrets of ours and from statuses. */

import { createHash } from 'node:crypto'
import type { Device, Hub, Network } from '../api/resources.ts'
import { ENROLMENT_EXPIRES_ANNOTATION } from '../build/credentials.ts'
import type { DeviceFacts, HubFacts, NetworkFacts } from '../compile/facts.ts'
import { deviceEnrolmentSecret, deviceVerifierSecret } from '../compile/names.ts'
import { forBrokers } from '../compile/revocation.ts'
import { secretText } from '../watch/secret-reader.ts'
import { certificateState } from './certificate-state.ts'
import type { DeviceTrust } from './device-trust.ts'
import { EVENT_REASONS } from './event-reasons.ts'
import { networkToken } from './network-token.ts'
import { knownOwnedSecret } from './owned-secret.ts'
import { revokedCertificates } from './revoked-certificates.ts'
import type { Tools } from './tools.ts'

export interface HubMembers {
  hub: Hub
  devices: readonly Device[]
  networks: readonly Network[]
}

export async function gatherFacts(
  { hub, devices, networks }: HubMembers,
  trust: DeviceTrust,
  tools: Tools,
  signal: AbortSignal,
): Promise<HubFacts> {
  const now = tools.clock.now()
  const tokens = new Map<string, NetworkFacts>()
  for (const network of networks) {
    const { token } = await networkToken(network, tools, signal)
    if (token !== undefined) tokens.set(network.metadata.name, { tokenSha256: sha256(token) })
  }
  return {
    now,
    ...(await issuerOf(devices, tools, signal)),
    deviceCACertificates: trust.caCertificates,
    revokedFingerprints: revokedCertificates(tools.world, hub, now),
    revocationLists: trust.lists.map(forBrokers),
    devices: new Map(devices.map((device) => [device.metadata.name, deviceFacts(device, tools, now)])),
    networks: tokens,
  }
}

/** Asked for only where somebody needs it: not every operator may read it. */
async function issuerOf(
  devices: readonly Device[],
  { tokenIssuer, events }: Tools,
  signal: AbortSignal,
): Promise<Pick<HubFacts, 'tokenIssuer'>> {
  const [first] = devices.filter(({ spec }) => spec.serviceAccount !== undefined)
  if (first === undefined) return {}
  try {
    return { tokenIssuer: await tokenIssuer.read(signal) }
  } catch (error) {
    signal.throwIfAborted()
    const note = `no token of a ServiceAccount is accepted: ${error instanceof Error ? error.message : String(error)}`
    events.event(first, { type: 'Warning', reason: EVENT_REASONS.TokenKeysUnknown, action: 'Read', note })
    return {}
  }
}

/**
 * The certificates that were found good last stand in the status, or will: a failure to look at one again must not cut
 * off a device.
 */
export function deviceFacts(
  device: Device,
  { world, computed }: Pick<Tools, 'world' | 'computed'>,
  now: number,
): DeviceFacts {
  const status = computed.statusOf(device)
  const { source, notAfter } = status?.certificate ?? {}
  const { current, retiring, revoked } = certificateState(status, now)
  const fingerprints = [...(current ? [current] : []), ...retiring].map(({ fingerprint }) => fingerprint)
  const passwordVerifier = verifierOf(device, world)
  const enrolment = enrolmentOf(device, world)
  return {
    ...(source === undefined || fingerprints.length === 0
      ? {}
      : { certificate: { source, fingerprints, ...(notAfter === undefined ? {} : { notAfter }) } }),
    revokedFingerprints: revoked,
    ...(enrolment === undefined ? {} : { enrolment }),
    ...(passwordVerifier === undefined ? {} : { passwordVerifier }),
  }
}

function verifierOf(device: Device, world: Tools['world']): string | undefined {
  if (device.spec.passwordSecretRef === undefined) return undefined
  const secret = knownOwnedSecret(world, device, deviceVerifierSecret(device.metadata.name))
  return secret && secretText(secret, 'verifier')
}

/** Brokers look at the date themselves. */
function enrolmentOf(device: Device, world: Tools['world']): DeviceFacts['enrolment'] {
  if (device.spec.certificate?.enrolled === undefined) return undefined
  const secret = knownOwnedSecret(world, device, deviceEnrolmentSecret(device.metadata.name))
  const token = secret && secretText(secret, 'token')
  const until = secret?.metadata.annotations?.[ENROLMENT_EXPIRES_ANNOTATION]
  return token === undefined || until === undefined ? undefined : { tokenSha256: sha256(token), until }
}

/** One text for the same facts: whether a device is published with them. */
export const factsText = (facts: DeviceFacts): string => JSON.stringify(facts)

const sha256 = (text: string): string => createHash('sha256').update(text).digest('hex')
