/** What compile needs of a hub and its members beside their specs: gathered from Secrets of ours and from statuses. */

import { createHash } from 'node:crypto'
import type { Device, Network } from '../api/resources.ts'
import type { DeviceFacts, HubFacts, NetworkFacts } from '../compile/facts.ts'
import { deviceVerifierSecret } from '../compile/names.ts'
import { secretText } from '../watch/secret-reader.ts'
import { certificateState } from './certificate-state.ts'
import type { DeviceTrust } from './device-trust.ts'
import { networkToken } from './network-token.ts'
import { knownOwnedSecret } from './owned-secret.ts'
import type { Tools } from './tools.ts'

export interface HubMembers {
  devices: readonly Device[]
  networks: readonly Network[]
}

export async function gatherFacts(
  { devices, networks }: HubMembers,
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
    deviceCACertificates: trust.caCertificates,
    devices: new Map(devices.map((device) => [device.metadata.name, deviceFacts(device, tools, now)])),
    networks: tokens,
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
  return {
    ...(source === undefined || fingerprints.length === 0
      ? {}
      : { certificate: { source, fingerprints, ...(notAfter === undefined ? {} : { notAfter }) } }),
    revokedFingerprints: revoked,
    ...(passwordVerifier === undefined ? {} : { passwordVerifier }),
  }
}

function verifierOf(device: Device, world: Tools['world']): string | undefined {
  if (device.spec.passwordSecretRef === undefined) return undefined
  const secret = knownOwnedSecret(world, device, deviceVerifierSecret(device.metadata.name))
  return secret && secretText(secret, 'verifier')
}

/** One text for the same facts: whether a device is published with them. */
export const factsText = (facts: DeviceFacts): string => JSON.stringify(facts)

const sha256 = (text: string): string => createHash('sha256').update(text).digest('hex')
