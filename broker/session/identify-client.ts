import type { ConnectPacket } from 'aedes'
import { certificateOf } from '../policy/certificate.ts'
import {
  admit,
  type ConnectFacts,
  type FoundDevice,
  type Identity,
  type IdentityVerdict,
  identify,
  identityQuery,
} from '../policy/identity.ts'
import type { LinkFacts } from '../policy/link.ts'
import { type Denied, deny, type Verdict } from '../policy/verdict.ts'
import type { SessionContext } from './context.ts'
import { identifyByToken } from './identify-by-token.ts'
import type { Link } from './link.ts'
import type { PasswordChecks } from './password-checks.ts'

export type ClientVerdict = Verdict<Identity> & { deviceId?: string }

/** Who a CONNECT is, or why it may not be. */
export async function identifyClient(
  context: SessionContext,
  link: Link,
  packet: ConnectPacket,
  passwords: PasswordChecks,
): Promise<ClientVerdict> {
  const { username, password } = packet
  const connect: ConnectFacts = {
    clientId: packet.clientId,
    username: username === undefined ? undefined : String(username),
    hasPassword: password !== undefined && password.length > 0,
  }
  if (certificateOf(link.facts) === undefined) {
    const byToken = await identifyByToken(context, link.facts, connect, password)
    if (byToken !== undefined) return byToken
  }
  const found = await lookUp(context, link.facts, connect)
  if (found === 'Unavailable') return deny('HUB_BUSY', 'the state of the hub cannot be read')
  const first = identify({ link: link.facts, connect, hub: context.hub(), found, now: context.now() })
  const verdict = first.allowed ? first : await afterProvisioning(context, link, connect, first)
  if (!verdict.allowed) return verdict
  const candidate = verdict.value
  const { passwordVerifier, identity } = candidate
  if (passwordVerifier === undefined) return admit(candidate)
  const matches = await passwords.verify(passwordVerifier, Buffer.from(password ?? ''))
  if (matches === undefined) return deny('HUB_BUSY', 'too many passwords are being verified')
  const admitted = admit(candidate, matches)
  return admitted.allowed ? admitted : named(admitted, identity)
}

const named = (denied: Denied, { device }: Identity) => ({ ...denied, deviceId: device.id })

/** A device that nobody has declared may have made itself known by now (spec §1.7); else it is as it was. */
async function afterProvisioning(
  context: SessionContext,
  link: Link,
  connect: ConnectFacts,
  denied: Denied,
): Promise<IdentityVerdict> {
  const certificate = certificateOf(link.facts)
  const { provisioner } = context
  if (denied.code !== 'UNKNOWN_DEVICE' || certificate === undefined || provisioner === undefined)
    return denied
  if (context.hub().autoProvisioning === undefined) return denied
  const outcome = await provisioner.provision(certificate, link.facts.remoteAddress)
  if (!outcome.allowed) return outcome
  const found = await lookUp(context, link.facts, connect)
  if (found === 'Unavailable' || found === undefined)
    return deny('HUB_BUSY', 'the new device is not known yet')
  const { id, name } = found.device
  if (outcome.created) {
    const extra = { 'object-name': name, 'source-address': link.facts.remoteAddress }
    context.raise({ code: 'DEVICE_AUTO_PROVISIONED', objectType: 'device', objectId: id, extra })
  }
  return identify({ link: link.facts, connect, hub: context.hub(), found, now: context.now() })
}

/** The device that the first of the look-ups finds. */
export async function lookUp(
  context: Pick<SessionContext, 'state' | 'logger' | 'hub'>,
  link: LinkFacts,
  connect: ConnectFacts,
): Promise<FoundDevice | 'Unavailable' | undefined> {
  const { state, logger } = context
  try {
    for (const { by, value } of identityQuery(link, connect, context.hub())) {
      const device =
        by === 'Fingerprint'
          ? await state.deviceByFingerprint(value)
          : by === 'CommonName'
            ? await state.deviceByName(value)
            : await state.deviceById(value)
      if (device !== undefined) return { by, device }
    }
    return undefined
  } catch (error) {
    logger.warn({ err: error }, 'the state of a device could not be read')
    return 'Unavailable'
  }
}
